"""What can be said on the command line about an Alpamayo-R1: of a conversion, and of a prediction."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import InputError
from ..option_values import above_zero, count, finite_number, from_zero, probability
from ..predictions.evaluation import SHARED
from ..predictions.flow_options import FLOW
from ..predictions.prediction import PredictionKind

VLM = "vlm"  # role of the base model, of which all but the weights is read
EXPERT = "expert"  # role of the release whose expert is taken
SAMPLING = ("num_traj_samples", "top_p", "top_k", "temperature", "max_new_tokens")
LATER_OPTIONS = ("nav", "guidance_weight", "noise_temperature", "question", "camera_indices")
FRAMES = ("ego", "world")
SOURCES = ("expert", "text")
YES_OR_NO = ("yes", "no")


@dataclass
class AlpamayoOptions:
    """`None` where an option was not given."""

    statistics: Path | None = None  # refused
    camera_labels: str | None = None  # of `YES_OR_NO`

    @property
    def names_cameras(self) -> bool | None:
        return None if self.camera_labels is None else self.camera_labels == YES_OR_NO[0]


def add_alpamayo_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `convert`, for what an Alpamayo-R1 does not bring itself."""
    group = parser.add_argument_group("Alpamayo-R1 and 1.5")
    group.add_argument(
        "--vlm", metavar="DIR", help="the Qwen3-VL it was trained from: config, tokenizer and image settings are read"
    )
    group.add_argument(
        "--expert",
        metavar="DIR",
        help="the release that a first stage of fine-tuning, which leaves the language model alone, began with: its "
        "expert is taken (default: a new one, which is not trained)",
    )
    group.add_argument(
        "--camera-labels",
        "--camera_labels",
        choices=YES_OR_NO,
        help="whether prompts name cameras and number frames (default: yes of Alpamayo 1.5, no of R1)",
    )


def add_driving_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("driving, Alpamayo-R1 (refused for robots)")
    group.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help=".json or .npz with ego_history_xyz (poses, 3) and ego_history_rot, matrices (poses, 3, 3), required; an "
        ".npz may hold images and ego_future_xyz, too",
    )
    group.add_argument(
        "--history-frame",
        choices=FRAMES,
        help="frame of the history: of its last pose, or any other, which is converted (default ego)",
    )
    group.add_argument(
        "--num-traj-sets",
        type=count,
        metavar="N",
        help="groups of so many trajectories, compared one by one (default 1)",
    )
    add_sampling_arguments(group, "trajectories to draw (default 6), or answers (1)")
    add_later_arguments(parser)


def add_later_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("driving, Alpamayo 1.5: navigation, guidance by it, questions")
    group.add_argument("--nav", metavar="TEXT", help='where to drive, such as "Turn left onto Main St in 40m"')
    group.add_argument(
        "--guidance-weight",
        type=finite_number,
        metavar="W",
        help="how much more than learnt --nav decides: 1.5 in the published example, default 1, 0 not at all",
    )
    group.add_argument(
        "--noise-temperature",
        type=from_zero,
        metavar="T",
        help="factor of the noise that trajectories start from (default 1)",
    )
    group.add_argument(
        "--question",
        metavar="TEXT",
        help="answer it, and drive nowhere; --history may then hold the images, and nothing of the path is read",
    )
    group.add_argument(
        "--camera-indices",
        type=int,
        nargs="+",
        metavar="N",
        help="number of each camera, in the order of the images (default: as the scene or names of folders say)",
    )


def add_sampling_arguments(group: Any, samples: str) -> None:
    """samples: what a number of them says."""
    group.add_argument("--num-traj-samples", type=count, metavar="N", help=samples)
    group.add_argument("--top-p", type=probability, metavar="P", help="of the reasoning (default 0.98)")
    group.add_argument("--top-k", type=count, metavar="K", help="of the reasoning; 1 is greedy")
    group.add_argument("--temperature", type=above_zero, metavar="T", help="of the reasoning (default 0.6)")
    group.add_argument("--max-new-tokens", type=count, metavar="N", help="of the reasoning")


def sampling_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `sample_trajectories` that were given."""
    return {name: value for name in SAMPLING if (value := getattr(arguments, name)) is not None}


def add_driving_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("driving, Alpamayo-R1 (refused for robots)")
    add_sampling_arguments(group, "trajectories to draw (default 6)")
    group.add_argument(
        "--trajectory-source",
        choices=SOURCES,
        help="who draws trajectories: the expert, or the language model, which writes them as tokens after the first "
        "stage of training (default expert)",
    )


def evaluate_driving(folder: Path, arguments: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    from .driving_evaluation import evaluate_trajectories

    return evaluate_trajectories(folder, arguments, sampling_of(arguments), files.get("plot"))


def predict_driving(folder: Path, arguments: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    if arguments.question is not None:
        return answer_question(folder, arguments, files)
    if arguments.nav is None and arguments.guidance_weight not in (None, 1):
        raise InputError("--guidance-weight needs --nav TEXT: it weighs what navigation changes; leave it out, or 1.")
    from .driving_prediction import predict_trajectories

    frame, plot, sampling = arguments.history_frame or FRAMES[0], files.get("plot"), sampling_of(arguments)
    for option in ("num_traj_sets", "guidance_weight", "noise_temperature"):
        if (value := getattr(arguments, option)) is not None:
            sampling[option] = value
    name = None if Path(arguments.checkpoint).exists() else arguments.checkpoint
    more = {"device": arguments.device, "fast": arguments.fast, "name": name, "quiet": arguments.quiet}
    more |= {"flow": {name: getattr(arguments, name) for name in FLOW}}
    more |= {"nav": arguments.nav, "camera_indices": arguments.camera_indices}
    return predict_trajectories(folder, arguments.images, arguments.history, frame, sampling, plot, **more)


def answer_question(folder: Path, arguments: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    from .asked_question import answer, refuse_beside

    refuse_beside(arguments, files)
    how = {"device": arguments.device, "fast": arguments.fast, "quiet": arguments.quiet}
    seen = arguments.images, arguments.history, arguments.camera_indices
    return answer(folder, arguments.question, *seen, sampling_of(arguments), **how)


def draw_driving_example(*asked: Any) -> str:
    from . import drawn_example

    return drawn_example.draw_driving_example(*asked)


DRIVING = PredictionKind(
    does="drives and reasons",
    options=("history", "history_frame", "num_traj_sets", *SAMPLING, *LATER_OPTIONS),
    add_arguments=add_driving_arguments,
    predict=predict_driving,
    result=frozenset({"pred_xyz", "reasoning", "has_start_token"}),
    sometimes=frozenset({"minADE", "minFDE", "sets"}),
    answer=frozenset({"question", "answers", "finished"}),
    draw_example=draw_driving_example,
)
DRIVING_EVALUATION = PredictionKind(
    does="drives and reasons",
    options=(*SAMPLING, "trajectory_source"),
    add_arguments=add_driving_evaluation_arguments,
    predict=evaluate_driving,
    result=SHARED | {"num_traj_samples", "started", "minADE", "minFDE", "ADE", "FDE", "horizons"},
)
