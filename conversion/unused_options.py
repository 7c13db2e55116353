"""Options that were given, and that a model of the kind that is converted has no use for."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from ..configuration.vla_errors import ConversionError
from .families import FAMILIES
from .shared_options import add_statistics_argument

COMMANDS = ("merge-lora", "convert")


def refuse_unused(given: Mapping[str, Any], options: type | None, roles: Iterable[str], name: str) -> None:
    """Refuse them: a model that is not what was asked for would be made without a word.

    Args:
        given: of the options of all families, and `roles`, of those that name a folder.
        options: a dataclass of those that are used, `None` where there are none; name: of the family.

    Raises:
        ConversionError: the message names the options.
    """
    used = {option.name for option in fields(options)} if options else set()
    words = words_of_options()
    unused = [words[option] for option in given if option not in used] + [f"--{role}" for role in roles]
    if unused:
        raise ConversionError(f"{', '.join(unused)}: a model of the kind {name!r} has no use for it; leave it out.")


def words_of_options() -> dict[str, str]:
    """`{"use_state": "--no-state", ...}`, of all families."""
    found: dict[str, str] = {}
    for declare in [f.arguments[command] for command in COMMANDS for f in FAMILIES.values() if command in f.arguments]:
        parser = argparse.ArgumentParser(add_help=False)
        declare(parser)
        found |= {action.dest: action.option_strings[0] for action in parser._actions}
    parser = argparse.ArgumentParser(add_help=False)
    add_statistics_argument(parser)
    return found | {action.dest: action.option_strings[0] for action in parser._actions}
