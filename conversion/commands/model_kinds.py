"""What commands that ask a model share: which family it is of, and which options and outputs fit it."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ...configuration.vla_errors import ConversionError, InputError
from ..families import OURS
from ..family import Family
from ..files.json_file import read_json
from ..files.output_guard import lies_inside
from ..predictions.prediction import PredictionKind


def different(kinds: Iterable[PredictionKind]) -> list[PredictionKind]:
    """Each kind once, in the order of the families."""
    found: list[PredictionKind] = []
    for kind in kinds:
        if kind not in found:
            found.append(kind)
    return found


def family_of(folder: Path) -> Family:
    """What family a checkpoint is of.

    Raises:
        ConversionError: of none of ours, or it is not one that this package wrote.
    """
    config = read_json([folder], "config.json", required=True)
    name = config.get("model_type")
    if name not in list(OURS):
        raise ConversionError(
            f"{folder} is no checkpoint that vlahub wrote (model_type {name!r}; known are {', '.join(OURS)}), but a "
            f"model that one may be made from: `vlahub inspect {folder}` tells what it holds and what takes it."
        )
    if "auto_map" not in config:
        raise ConversionError(
            f"{folder} is no checkpoint that vlahub wrote: its config.json has no auto_map, which `save_pretrained` of "
            "a vlahub model writes."
        )
    return OURS[name]


def refuse_unused(
    arguments: argparse.Namespace, name: str, own: PredictionKind, kinds: Iterable[PredictionKind]
) -> None:
    """Refuse options that were given and that a model of the family `name` has no use for.

    kinds: all that there are.

    Raises:
        InputError: the message names them.
    """
    others = [option for kind in kinds if kind != own for option in kind.options]
    if unused := [option for option in others if getattr(arguments, option) is not None]:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in unused)
        raise InputError(f"{options}: a model of the kind {name!r} {own.does}, and has no use for it; leave it out.")


def tell_of_place(outputs: Iterable[Path], folder: Path, quiet: bool) -> None:
    """Say so where an output lies inside of the checkpoint."""
    for note in () if quiet else filter(None, (lies_inside(path, [folder]) for path in outputs)):
        print(f"note: {note}", file=sys.stderr)


def refuse_same(outputs: dict[str, Path]) -> None:
    """Refuse one file for two outputs.

    Raises:
        InputError: the message names the options.
    """
    first: dict[Path, str] = {}
    for name, path in outputs.items():
        other = first.setdefault(path.resolve(), name)
        if other != name:
            raise InputError(f"--{other} and --{name} both name {outputs[other]}; they are two files.")
