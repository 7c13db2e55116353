"""README.md of a checkpoint: what its config says, and when it is written.

Sections that know more, such as how a checkpoint was converted, are added in conversion/model_card.py.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers.utils import logging

from .card_example import EXAMPLE_BLOCK, SEEN_BLOCK, block, without_seen
from .card_markdown import code, fenced, sections, table
from .card_metadata import kept_metadata, origin_text, pipeline_of
from .card_snippet import EXAMPLE, PLACEHOLDER, Asked, snippet
from .card_stamp import (
    TRANSFORMERS_TEXT,
    body_of,
    config_mark,
    is_stamped,
    is_unedited,
    normalised,
    sha256,
    stamped_again,
    stamped_with,
)
from .card_statistics import statistics_text
from .card_weights import quantization_text, sizes_block, stored_tensors, with_other_weights
from .former_card import former_card_body
from .normalization_statistics import STATISTICS
from .weight_parts import TensorEntry

__all__ = [
    "CARD_NAME",
    "PLACEHOLDER",
    "TRANSFORMERS_TEXT",
    "body_of",
    "checkpoint_card",
    "is_of",
    "is_stamped",
    "is_unedited",
    "normalised",
    "stamped",
    "stamped_again",
    "write_checkpoint_card",
]
logger = logging.get_logger(__name__)
CARD_NAME = "README.md"
USE = """This works with transformers 4.57 and 5.x; in 4.57 `AutoModelForVision2Seq` loads it too. The code of the model
lies beside the weights and needs transformers, torch and Pillow, nothing else: `trust_remote_code=True` runs it, and
`revision=` with a commit's hash pins code and weights."""
LIMITS = """Robots act on what this predicts. It knows the cameras, the scenes, the robot and the instructions of its
training data, and nothing says how far beyond them it holds: try it in a simulator, or slowly and beside a stop button,
first."""
LIMITS_OF_CARS = """For research: it is no driver. Trajectories and reasoning are samples, which differ from call to
call, and a text need not be the reason of the trajectory beside it."""
LIMITS_OF_TEXT = "It writes text that may be wrong, and has no action head: it moves no robot."


# Whose text it is


def stamped(text: str, config: Any = None) -> str:
    """The card with the comment that says that it is ours; config: `None` where it is of no family of ours."""
    return stamped_with(text, config_hash(config))


def is_of(text: str, config: Any) -> bool:
    """Whether a stamped card, of this release or an earlier one, was written for a config that says the same."""
    known = config_mark(text)
    return known == config_hash(config) or (config is not None and known == sha256(former_card_body(config)))


def config_hash(config: Any) -> str:
    """Of all that a card says about a config."""
    return "none" if config is None else sha256(f"{title_of(config)}\n{card_body(config)}")


# When it is written


def is_model_of(model: Any, config: Any) -> bool:
    """Whether a model is the whole that a config's Auto classes load, not a part of it.

    Of a sharded model (FSDP2) the class is one that torch derived from ours.
    """
    classes = {value.split(".")[-1] for value in getattr(config, "auto_classes", {}).values()}
    return any(kind.__name__ in classes for kind in type(model).__mro__)


def write_checkpoint_card(
    folder: str | os.PathLike,
    config: Any,
    repository: str = PLACEHOLDER,
    tensors: Sequence[TensorEntry] | None = None,
    origin: str = "",
    warning: str = "",
) -> None:
    """Write README.md for a model of one of our families whose weights were just saved there.

    One that was edited stays, but for what it says was seen with the former weights. One that is ours and still true of
    the config keeps what it says beyond that, but for what was true of former weights: their sizes, and what they were
    seen to predict.

    Args:
        tensors: of the model; those whose files lie in the folder where they are not given.
        origin, warning: see `checkpoint_card`.
    """
    path = Path(folder) / CARD_NAME
    known = path.read_text(encoding="utf-8") if path.is_file() else None
    if known is not None and not is_unedited(known):
        if is_stamped(known) and not is_of(known, config):
            logger.warning(f"{CARD_NAME} was edited and stays as it is, but it was written for another config.")
        if (text := without_seen(known)) != known:
            path.write_text(text, encoding="utf-8")
        return
    sizes = sizes_block(stored_tensors(Path(folder)) if tensors is None else tensors, config.weight_parts)
    if known is not None and is_of(known, config):
        text = stamped(with_other_weights(known, sizes), config)
    else:
        text = checkpoint_card(config, repository, known, sizes, origin, warning)
    path.write_text(text, encoding="utf-8")


def checkpoint_card(
    config: Any,
    repository: str = PLACEHOLDER,
    known: str | None = None,
    sizes: str = "",
    origin: str = "",
    warning: str = "",
) -> str:
    """A card from the config alone.

    Args:
        known: an older one, whose licence, base model and datasets still hold.
        sizes: of the weights beside it, see `card_weights`.
        origin: the sections that say where the weights are from; by default what `known` says in its metadata.
        warning: above all else, that the weights are not trained.
    """
    kept = kept_metadata(known)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=pipeline_of(config),
        tags=["robotics", "vision-language-action", config.model_type, *(["untrained"] if warning else [])],
        **kept,
    )
    body = sections(card_body(config, repository, sizes=sizes), origin or origin_text(kept))
    return stamped(f"---\n{data.to_yaml()}\n---\n\n# {title_of(config)}\n\n{warning}{body}", config)


# What it says


def card_body(
    config: Any,
    repository: str = PLACEHOLDER,
    asked: Asked = EXAMPLE,
    seen: str = "",
    sizes: str = "",
    facts: dict[str, str] | None = None,
    names: Sequence[str] = (),
) -> str:
    """Everything that a config says, from what the model is to where its limits are.

    Args:
        config: of one of our families.
        asked: what the example asks.
        seen: what that printed, and further what was seen with these weights.
        sizes: the table of the weights.
        facts: further rows about the model, Markdown by name, before the config's own.
        names: of the dimensions of an action, where they are known and the statistics do not say them.
    """
    rows = (facts or {}) | config.facts | fields_of_actions(config)
    what = [f"## What it is\n\n{table(['', ''], [[name, text] for name, text in rows.items()])}", sizes]
    if config.weight_quantization:
        what.append(quantization_text(config.weight_quantization))
    example = block(EXAMPLE_BLOCK, fenced(snippet(config, repository, asked), "python"))
    loading = sections("## Load it", example, block(SEEN_BLOCK, seen) if seen else "", USE)
    actions, limits = "", {"trajectories": LIMITS_OF_CARS, "text": LIMITS_OF_TEXT}.get(config.predicts, LIMITS)
    if config.normalization_type is not None and config.predicts == "actions":
        actions = f"## Actions\n\n{statistics_text(config, names)}"
    return sections(what_it_does(config), loading, *what, actions or config.action_text, f"## Limits\n\n{limits}")


def title_of(config: Any) -> str:
    """The name of the model's class."""
    return config.auto_classes["AutoModel"].split(".")[-1]


def fields_of_actions(config: Any) -> dict[str, str]:
    """Rows about what a robot's model reads and predicts."""
    if config.normalization_type is None or config.predicts != "actions":
        return views_row(config)
    names = " and ".join(STATISTICS[config.normalization_type])
    return {
        **views_row(config),
        "robot state": f"{config.state_size} values" if config.state_size else "none",
        "actions": f"(batch, {config.num_action_chunks}, {config.action_dim})",
        "normalisation": f"{code(config.normalization_type)}: {names} of each dimension",
    }


def views_row(config: Any) -> dict[str, str]:
    """How many cameras, and which in which order."""
    count, names = config.num_images_in_input, getattr(config, "view_names", None)
    number = count or len(names or ()) or "any number"
    if names:
        return {"views": f"{number}, in this order: {', '.join(map(code, names))}"}
    return {"views": str(number) if number in (1, "any number") else f"{number}; their names are not recorded"}


def what_it_does(config: Any) -> str:
    """A sentence: what a model reads and what it gives."""
    if config.predicts == "trajectories":
        return f"{config.does}."
    if config.predicts == "text":
        return "A vision-language model: from camera images and text to text; it has no action head."
    views, chunk = config.num_images_in_input, config.num_action_chunks
    images = "camera images" if views is None else f"{views} camera image" + "s" * (views != 1)
    inputs = f"{images}, an instruction and the robot's state" if config.state_size else f"{images} and an instruction"
    to = "one action" if chunk == 1 else f"a chunk of {chunk} actions"
    return f"{config.does}: from {inputs} to {to}."


def is_repository(name: str) -> bool:
    """Whether a name has the form `owner/name` of the Hub; a folder's own name has no slash."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
