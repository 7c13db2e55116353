"""How a model is asked for a prediction on the command line, as a value; nothing here is slow to import."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PredictionKind:
    """What one kind of model takes from `vlahub predict`, or from `vlahub evaluate`.

    Attributes:
        does: what such a model does, for error messages.
        options: names of the options that only this kind has a use for.
        add_arguments: declares them.
        predict: predicts (or evaluates) and prints, given the folder of a checkpoint, all arguments, and the files to
            write by their option; returns what is written as JSON.
        result: the names in that, by which an earlier result is known.
        files: further files that are written, by their option: whether an existing one is an earlier result.
        sometimes: names that a result may have beside them.
    """

    does: str
    options: tuple[str, ...]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    predict: Callable[[Path, argparse.Namespace, dict[str, Path]], dict[str, Any]]
    result: frozenset[str]
    files: Mapping[str, Callable[[Path], bool]] = field(default_factory=dict)
    sometimes: frozenset[str] = frozenset()

    def wrote(self, content: Mapping[str, Any]) -> bool:
        """Whether this is what an earlier run wrote."""
        return self.result <= set(content) <= self.result | self.sometimes


def add_robot_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("robots (refused for a driving model)")
    group.add_argument("--instruction", metavar="TEXT", help="what to do; required")
    group.add_argument("--state", type=float, nargs="+", metavar="X", help="of the robot; zeros by default")
    group.add_argument("--unnorm-key", metavar="KEY", help="whose statistics to use, where there are several")
    group.add_argument("--advantage", metavar="WORD", help="in the prompt, for a model that learnt such words")
    group.add_argument(
        "--embodiment-id", type=int, metavar="N", help="whose encoders and decoders to use, where a model has several"
    )


def predict_robot(folder: Path, arguments: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    from .robot_prediction import predict_actions

    given = arguments
    asked = {"advantage": given.advantage, "embodiment_id": given.embodiment_id}
    seen = given.images, given.instruction, given.state
    return predict_actions(folder, *seen, given.unnorm_key, given.device, fast=given.fast, **asked)


ROBOT = PredictionKind(
    does="moves a robot",
    options=("instruction", "state", "unnorm_key", "advantage", "embodiment_id"),
    add_arguments=add_robot_arguments,
    predict=predict_robot,
    result=frozenset({"actions"}),
)
