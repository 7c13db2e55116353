"""The words of cards of earlier releases: by their hash, a card of then is known to be true of a config still.

No card is written in them any more, so nothing here changes with what cards say.
"""

import json
import re
from typing import Any

from .card_snippet import PLACEHOLDER
from .normalization_statistics import STATISTICS
from .weight_quantization import gigabytes

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


FORMER_SIZES = re.compile(r"^\| parameters \| [\d,]+ in .*\|\n", re.MULTILINE)  # the row about the weights


def without_former_sizes(card: str) -> str:
    """Such a card without what it says of its weights, after others were saved beside it."""
    return FORMER_SIZES.sub("", card)


def former_card_body(config: Any) -> str:
    """The text that such a card's mark is the hash of; config: of one of our families."""
    if config.predicts == "trajectories":
        what, call = "from camera frames and the path just driven to reasoning and trajectories", CAR_CALL
    elif config.predicts == "text":
        what, call = "from camera images and text to text; it has no action head", TEXT_CALL
    else:
        what, call = former_words(config), former_call(config)
    architecture = config.auto_classes["AutoModel"].split(".")[-1]
    usage = LOAD.format(repository=PLACEHOLDER, call=call)
    parts = [f"# {architecture}", f"A vision-language-action model: {what}.", usage]
    if config.described:
        rows = "\n".join(f"| {name} | `{value}` |" for name, value in config.described.items())
        parts.append(f"| | |\n| --- | --- |\n{rows}")
    if config.weight_quantization:
        parts.append(describe_quantization(config.weight_quantization))
    if statistics := config.norm_stats:
        rows = [former_row(statistics[key], key) for key in sorted(statistics)]
        parts.append(STATISTICS_TABLE + "\n".join(rows))
        names = " and ".join(STATISTICS[config.normalization_type])
        parts.append(f"Normalisation: `{config.normalization_type}`, {names} of each dimension.")
    return "\n\n".join(parts)


def former_words(config: Any) -> str:
    """What a robot's model reads and what it gives, in words for the card: `from ... to ...`."""
    views = config.num_images_in_input
    images = "camera images" if views is None else f"{views} camera image" + "s" * (views != 1)
    inputs = f"{images}, an instruction and the robot's state" if config.state_size else f"{images} and an instruction"
    chunk = config.num_action_chunks
    return f"from {inputs} to " + ("one action" if chunk == 1 else f"a chunk of {chunk} actions")


def former_call(config: Any) -> str:
    """The example of a prediction, with this config's views, state, statistics and sizes."""
    views, size = config.num_images_in_input or 1, config.state_size
    return ROBOT_CALL.format(
        images="[" + ", ".join(f'Image.open("view_{i}.png")' for i in range(views)) + "]",
        state=f"    state=[0.0] * {size},  # in the robot's units\n" if size else "",
        key=json.dumps(min(config.norm_stats), allow_nan=False) if config.norm_stats else "None",
        chunk=config.num_action_chunks,
        dim=config.action_dim,
    )


def former_row(statistics: dict, key: str) -> str:
    """One line of the table: the key, how much data it stands for, and the dimensions that pass unchanged."""
    sizes = [f"{statistics[name]:,}" if name in statistics else "" for name in ("num_trajectories", "num_transitions")]
    mask = statistics.get("action", {}).get("mask") or []
    unchanged = ", ".join(str(i) for i, wanted in enumerate(mask) if not wanted) or "none"
    return "| " + " | ".join([f"`{key}`", *sizes, unchanged]) + " |"


def describe_quantization(given: dict[str, Any]) -> str:
    """Some sentences about weights of lower precision."""
    sizes = given.get("bytes")
    size = f" {gigabytes(sizes['stored'])} of weights in place of {gigabytes(sizes['whole'])}." if sizes else ""
    layers = "; ".join(f"{kind}: {', '.join(f'`{name}`' for name in names)}" for kind, names in given["layers"].items())
    return (
        f"The weights of linear layers are stored in lower precision ({given['kind']}) and multiplied in the dtype of "
        f"what they are given. {layers}. All else, policy heads and embeddings among it, is stored as it was."
        f"{size}"
    )
