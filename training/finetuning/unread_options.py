"""Options of a fine-tune that the model, or the kind of training, would leave unread: refused by name."""

import dataclasses

from transformers import PretrainedConfig

from ...configuration.vla_errors import InputError
from .options import FinetuneOptions

OF_ROBOTS = {  # options that a car does not read, and why
    "statistics": "this model normalises by numbers of its own",
    "unmasked_actions": "this model normalises by numbers of its own",
    "action": "a car's actions are its poses, the columns of --state",
    "repeat_last": "a car's examples end where its drive does",
    "embodiment_column": "this model has one embodiment",
    "answer": "this model learns to write the column 'reasoning'",
}


def check_read(options: FinetuneOptions, config: PretrainedConfig) -> None:
    """Refuse an option that was given, and that nothing would read.

    config: of the model.

    Raises:
        InputError: the message names the option, and why it is not read.
    """
    unread = dict(OF_ROBOTS) if config.normalization_type is None else of_robots(config)
    if not options.learns_text:
        unread |= dict.fromkeys(("answer", "text_weight"), "no text is learnt (--learn_text)")
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in unread and value != default_of(field):
            said = " ".join(map(str, value)) if isinstance(value, list) else value
            raise InputError(f"--{field.name} {said}: {unread[field.name]}; leave it out.")


def of_robots(config: PretrainedConfig) -> dict[str, str]:
    """What a robot's model does not read, and why."""
    unread = {} if config.num_embodiments > 1 else {"embodiment_column": "this model has one embodiment"}
    return unread if config.state_size else unread | {"state": "this model takes no state"}


def default_of(field: dataclasses.Field) -> object:
    """What a field is where nobody says."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
