"""How a model is asked for a prediction on the command line, as a value; nothing here is slow to import."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..option_values import count
from .flow_options import FLOW

if TYPE_CHECKING:  # slow to import
    from .prediction_trace import Trace


@dataclass(frozen=True)
class PredictionKind:
    """What a kind of model takes from `vlahub predict`, or from `vlahub evaluate`. Kinds that take the same are equal.

    Attributes:
        does: what such a model does, for error messages.
        options: names of the options that only this kind has a use for.
        add_arguments: declares them.
        predict: predicts (or evaluates) and prints, given the folder of a checkpoint, all arguments, and the files to
            write by their option; returns what is written as JSON.
        result: the names in that, by which an earlier result is known.
        sometimes: names that a result may have beside them.
        answer: the names in the result of a question, where such a model answers any.
        trace: predicts, and tells what the prediction came from, for the picture of a robot's model.
        draw_example: draws what the example of a card predicts, given the path, model, processor, the images of the
            views and what is asked (`card_snippet.Asked`); returns what the example prints.
    """

    does: str
    options: tuple[str, ...]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    predict: Callable[[Path, argparse.Namespace, dict[str, Path]], dict[str, Any]] = field(compare=False)
    result: frozenset[str]
    sometimes: frozenset[str] = frozenset()
    answer: frozenset[str] | None = None
    trace: "Trace | None" = field(default=None, compare=False)
    draw_example: Callable[..., str] | None = field(default=None, compare=False)

    def wrote(self, content: Mapping[str, Any]) -> bool:
        """Whether this is what an earlier run wrote."""
        return self.result <= set(content) <= self.result | self.sometimes or set(content) == self.answer


def state_value(text: str) -> float:
    """One number of a state."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give numbers with spaces between them") from None


def add_robot_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("robots (refused for a driving model)")
    group.add_argument("--instruction", metavar="TEXT", help="what to do; required")
    group.add_argument("--state", type=state_value, nargs="+", metavar="X", help="of the robot; zeros by default")
    group.add_argument("--unnorm-key", metavar="KEY", help="whose statistics to use, where there are several")
    group.add_argument("--advantage", metavar="WORD", help="in the prompt, for a model that learnt such words")
    group.add_argument(
        "--embodiment-id", type=int, metavar="N", help="whose encoders and decoders to use, where a model has several"
    )
    group.add_argument(
        "--num-samples", type=count, metavar="N", help="chunks to draw, of a head that draws; their spread is told, too"
    )


def predict_robot(
    trace: "Trace", folder: Path, arguments: argparse.Namespace, files: dict[str, Path]
) -> dict[str, Any]:
    from .robot_prediction import predict_actions

    given = arguments
    asked = {name: getattr(given, name) for name in ("advantage", "embodiment_id", "num_samples")}
    asked["flow"] = {name: getattr(given, name) for name in FLOW}
    seen = given.images, given.instruction, given.state
    picture = (trace, files["plot"]) if "plot" in files else None
    how = {"fast": given.fast, "picture": picture, "quiet": given.quiet}
    return predict_actions(folder, *seen, given.unnorm_key, given.device, **how, **asked)


def draw_robot_example(*asked: Any) -> str:
    from . import drawn_example

    return drawn_example.draw_robot_example(*asked)


def plain_trace(*asked: Any) -> Any:
    from .prediction_trace import traced_plainly

    return traced_plainly(*asked)


def robot_prediction(trace: "Trace") -> PredictionKind:
    """Of a robot's model; trace: what a picture of a prediction is drawn of, see `prediction_trace.py`."""
    return PredictionKind(
        does="moves a robot",
        options=("instruction", "state", "unnorm_key", "advantage", "embodiment_id", "num_samples"),
        add_arguments=add_robot_arguments,
        predict=partial(predict_robot, trace),
        result=frozenset({"actions"}),
        sometimes=frozenset({"samples", "spread", "entropy"}),
        trace=trace,
        draw_example=partial(draw_robot_example, trace),
    )


ROBOT = robot_prediction(plain_trace)
