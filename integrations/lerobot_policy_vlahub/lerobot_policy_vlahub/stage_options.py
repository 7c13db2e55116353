"""Options of what trains that would be left unread: refused by name, as by `vlahub train`."""

import dataclasses
from typing import Any

from vlahub.errors import ConfigError
from vlahub.training.finetuning.unread_options import OF_KINDS


def check_stage(config: Any, adapters: bool) -> None:
    """Refuse what was given for another `stage` than the config's.

    Args:
        config: a dataclass with `stage`, and options with defaults.
        adapters: those of LeRobot's `--peft` train, which is `--train lora` of `vlahub train`, and no stage.

    Raises:
        ConfigError: the message names the option, its value and the stages that read it.
    """
    fields = {field.name: field.default for field in dataclasses.fields(config)}
    given = {name: getattr(config, name) for name in fields if getattr(config, name) != fields[name]}
    trained = "the adapters of --peft" if adapters else f"stage {config.stage}"
    if adapters and "stage" in given:
        raise ConfigError(f"stage={config.stage}: what trains is {trained}; leave it out, or give {fields['stage']}.")
    for name, kinds in OF_KINDS.items():
        if name in given and ("lora" if adapters else config.stage) not in kinds:
            raise ConfigError(
                f"{name}={given[name]} is for stage {' and '.join(kinds)}, and what trains is {trained}; leave it out, "
                f"or give {fields[name]} where a saved policy has it."
            )
