"""Options of a fine-tune that the model, or the kind of training, would leave unread: refused by name."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...configuration.vla_errors import InputError
from .options import FinetuneOptions

if TYPE_CHECKING:  # slow to import: a command line that is wrong is told so at once
    from transformers import PretrainedConfig

OF_KINDS = {  # options that only some kinds of training read
    "rank": ("lora",),
    "alpha": ("lora",),
    "top_layers": ("B",),
    "backbone_lr_scale": ("B", "full"),
    "vision_lr_scale": ("vlm",),
}
OF_ROBOTS = {  # options that a car does not read, and why
    "statistics": "this model normalises by numbers of its own",
    "unmasked_actions": "this model normalises by numbers of its own",
    "action": "a car's actions are its poses, the columns of --state",
    "repeat_last": "a car's examples end where its drive does",
    "embodiment_column": "this model has one embodiment",
    "answer": "this model learns to write the column 'reasoning'",
}


def check_kind(train: str, given: Mapping[str, Any]) -> None:
    """Refuse an option of another kind of training.

    Args:
        train: the kind, one of `STRATEGIES`.
        given: what was given, by name.

    Raises:
        InputError: the message names the option, and the kinds that read it.
    """
    for name, kinds in OF_KINDS.items():
        if name in given and train not in kinds:
            option = f"--{name.replace('_', '-')} {given[name]}"
            raise InputError(f"{option} is for --train {' and '.join(kinds)}, not for --train {train}; leave it out.")


def given_of(options: FinetuneOptions) -> dict[str, Any]:
    """Those that say something else than the default."""
    values = {field: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {field.name: value for field, value in values.items() if value != default_of(field)}


def check_read(options: FinetuneOptions, config: "PretrainedConfig") -> None:
    """Refuse an option that was given, and that nothing would read.

    config: of the model.

    Raises:
        InputError: the message names the option, and why it is not read.
    """
    unread = dict(OF_ROBOTS) if config.normalization_type is None else of_robots(config)
    if not options.learns_text:
        unread |= dict.fromkeys(("answer", "text_weight"), "no text is learnt (--learn_text)")
    for name, value in given_of(options).items():
        if name in unread:
            said = " ".join(map(str, value)) if isinstance(value, list) else value
            raise InputError(f"--{name} {said}: {unread[name]}; leave it out.")


def of_robots(config: "PretrainedConfig") -> dict[str, str]:
    """What a robot's model does not read, and why."""
    unread = {} if config.num_embodiments > 1 else {"embodiment_column": "this model has one embodiment"}
    return unread if config.state_size else unread | {"state": "this model takes no state"}


def default_of(field: dataclasses.Field) -> object:
    """What a field is where nobody says."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
