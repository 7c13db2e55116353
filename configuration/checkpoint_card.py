"""README.md of a checkpoint: a short one from the config alone, and how a text of ours is told from an edited one.

A card carries a comment with a hash of its own text: while the two agree nobody has edited it, and it may be renewed.
A second hash says for which config it was written.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers.utils import logging

from .normalization_statistics import STATISTICS
from .weight_quantization import describe_quantization

logger = logging.get_logger(__name__)
CARD_NAME = "README.md"
PLACEHOLDER = "user/name"  # of the repository, until its name is known
MARK = "<!-- Written by vlahub, which renews this text until it is edited. text: {text}, config: {config} -->"
MARK_PATTERN = re.compile(r"<!-- Written by vlahub\b[^>]*text: ([0-9a-f]{64}), config: ([0-9a-f]{64}|none) -->\n*")
FRONT_MATTER = re.compile(r"^---\n.*?\n---\n", re.DOTALL)
# What transformers uploads where there is no card, in the words of `create_and_tag_model_card`.
TRANSFORMERS_TEXT = (
    "This is the model card of a 🤗 transformers model that has been pushed on the Hub. This model card has been "
    "automatically generated."
)

LOAD = """## Load it

```python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

repository = "{repository}"
processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)
model = AutoModelForImageTextToText.from_pretrained(repository, trust_remote_code=True, dtype="auto")

{call}
```

This works with transformers 4.57 and 5.x; in 4.57 `AutoModelForVision2Seq` loads it too. The code of the model lies
beside the weights."""
ROBOT_CALL = """inputs = processor(
    images={images},
    text="pick up the bowl",
{state}    unnorm_key={key},
)
actions = model.predict_action(**inputs, unnorm_key={key})  # (batch, {chunk}, {dim}), in the robot's units"""
TEXT_CALL = """model.generate(**processor(images=[Image.open("view_0.png")], text="What is on the table?"))"""
CAR_CALL = """inputs = processor(images=images, ego_history_xyz=xyz, ego_history_rot=rot)  # see the processor
output = model.sample_trajectories(**inputs, num_traj_samples=6)
output.pred_xyz  # (batch, sets, samples, waypoints, 3) metres"""
STATISTICS_TABLE = """The statistics of the training data turn predictions into the robot's units; `unnorm_key` says
which:

| `unnorm_key` | trajectories | transitions | dimensions that pass unchanged |
| --- | --- | --- | --- |
"""


# Whose text it is


def stamped(text: str, config: Any = None) -> str:
    """The card with the comment that says that it is ours.

    text: with its front matter, stamped before or not.
    config: that it was written for, `None` where that is not of one of our families.
    """
    head = f"---\n{ModelCard(text).data.to_yaml()}\n---\n\n"
    body = MARK_PATTERN.sub("", body_of(text)).strip() + "\n"
    mark = MARK.format(text=text_hash(head + body), config=config_hash(config))
    return f"{head}{mark}\n\n{body}"


def is_unedited(text: str) -> bool:
    """Whether a card is as it was written here, or as transformers writes it where there is none."""
    mark = MARK_PATTERN.search(text)
    return mark[1] == text_hash(text) if mark else is_transformers_own(text)


def is_stamped(text: str) -> bool:
    """Whether a card is one of ours: it has the comment with the hash."""
    return bool(MARK_PATTERN.search(text))


def stamped_again(text: str, changed: str) -> str:
    """A card of ours after a change that is ours, too: the same comment with the new hash."""
    mark = MARK_PATTERN.search(text)
    return changed.replace(mark[1], text_hash(changed)) if mark else changed


def is_transformers_own(text: str) -> bool:
    """Whether a card is the empty one that transformers writes."""
    if TRANSFORMERS_TEXT not in text:
        return False
    template = ModelCard.from_template(ModelCardData(), model_description=TRANSFORMERS_TEXT)
    return normalised(body_of(text)) == normalised(template.text)


def body_of(text: str) -> str:
    """A card without its front matter, which need not be valid."""
    return FRONT_MATTER.sub("", normalised(text) + "\n")


def is_of(text: str, config: Any) -> bool:
    """Whether a stamped card was written for a config that says the same as this one."""
    mark = MARK_PATTERN.search(text)
    return bool(mark) and mark[2] == config_hash(config)


def text_hash(text: str) -> str:
    """Of front matter and text without the comment, whatever the ends of lines."""
    return sha256(normalised(MARK_PATTERN.sub("", normalised(text))))


def config_hash(config: Any) -> str:
    """Of all that a card says about a config."""
    return "none" if config is None else sha256(card_body(config, PLACEHOLDER))


def normalised(text: str) -> str:
    """Without spaces at the ends of lines and of the text."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def sha256(text: str) -> str:
    """Of the text in UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# The short card


def is_model_of(model: Any, config: Any) -> bool:
    """Whether a model is the whole that a config's Auto classes load, not a part of it.

    Of a sharded model (FSDP2) the class is one that torch derived from ours.
    """
    classes = {value.split(".")[-1] for value in getattr(config, "auto_classes", {}).values()}
    return any(kind.__name__ in classes for kind in type(model).__mro__)


def write_checkpoint_card(folder: str | os.PathLike, config: Any, repository: str = PLACEHOLDER) -> None:
    """Write README.md for a model of one of our families, unless there is one that was edited or is true still."""
    path = Path(folder) / CARD_NAME
    known = path.read_text(encoding="utf-8") if path.is_file() else None
    if known is not None and is_of(known, config):
        return
    if known is None or is_unedited(known):
        path.write_text(checkpoint_card(config, repository, known), encoding="utf-8")
    elif is_stamped(known):
        logger.warning(f"{CARD_NAME} was edited and stays as it is, but it was written for another config.")


def checkpoint_card(config: Any, repository: str = PLACEHOLDER, known: str | None = None) -> str:
    """A card from the config alone; known: an older one, whose licence and base model still hold."""
    kept = ModelCard(known).data.to_dict() if known and MARK_PATTERN.search(known) else {}
    metadata = {name: kept[name] for name in kept if name.startswith(("license", "base_model"))}
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="robotics",
        tags=["robotics", "vision-language-action", config.model_type],
        **metadata,
    )
    return stamped(f"---\n{data.to_yaml()}\n---\n\n{card_body(config, repository)}", config)


def card_body(config: Any, repository: str) -> str:
    """Everything below the front matter.

    config: of one of our families.
    """
    if config.predicts == "trajectories":
        what, call = "from camera frames and the path just driven to reasoning and trajectories", CAR_CALL
    elif config.predicts == "text":
        what, call = "from camera images and text to text; it has no action head", TEXT_CALL
    else:
        what, call = what_it_does(config), robot_call(config)
    architecture = config.auto_classes["AutoModel"].split(".")[-1]
    usage = LOAD.format(repository=repository, call=call)
    parts = [f"# {architecture}", f"A vision-language-action model: {what}.", usage]
    if config.described:
        rows = "\n".join(f"| {name} | `{value}` |" for name, value in config.described.items())
        parts.append(f"| | |\n| --- | --- |\n{rows}")
    if config.weight_quantization:
        parts.append(describe_quantization(config.weight_quantization))
    if statistics := config.norm_stats:
        rows = [statistics_row(statistics[key], key) for key in sorted(statistics)]
        parts.append(STATISTICS_TABLE + "\n".join(rows))
        names = " and ".join(STATISTICS[config.normalization_type])
        parts.append(f"Normalisation: `{config.normalization_type}`, {names} of each dimension.")
    return "\n\n".join(parts)


def what_it_does(config: Any) -> str:
    """What a robot's model reads and what it gives, in words for the card: `from ... to ...`."""
    views = config.num_images_in_input
    images = "camera images" if views is None else f"{views} camera image" + "s" * (views != 1)
    inputs = f"{images}, an instruction and the robot's state" if config.state_size else f"{images} and an instruction"
    chunk = config.num_action_chunks
    return f"from {inputs} to " + ("one action" if chunk == 1 else f"a chunk of {chunk} actions")


def robot_call(config: Any) -> str:
    """The example of a prediction, with this config's views, state, statistics and sizes."""
    views, size = config.num_images_in_input or 1, config.state_size
    return ROBOT_CALL.format(
        images="[" + ", ".join(f'Image.open("view_{i}.png")' for i in range(views)) + "]",
        state=f"    state=[0.0] * {size},  # in the robot's units\n" if size else "",
        key=json.dumps(min(config.norm_stats), allow_nan=False) if config.norm_stats else "None",
        chunk=config.num_action_chunks,
        dim=config.action_dim,
    )


def statistics_row(statistics: dict, key: str) -> str:
    """One line of the table: the key, how much data it stands for, and the dimensions that pass unchanged."""
    sizes = [f"{statistics[name]:,}" if name in statistics else "" for name in ("num_trajectories", "num_transitions")]
    mask = statistics.get("action", {}).get("mask") or []
    unchanged = ", ".join(str(i) for i, wanted in enumerate(mask) if not wanted) or "none"
    return "| " + " | ".join([f"`{key}`", *sizes, unchanged]) + " |"


def is_repository(name: str) -> bool:
    """Whether a name has the form `owner/name` of the Hub; a folder's own name has no slash."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
