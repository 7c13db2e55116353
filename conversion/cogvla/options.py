"""Options for what no file of an OpenVLA, OpenVLA-OFT or CogVLA run records, and that changes what it answers."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..shared_options import add_chunk_argument, add_normalization_argument, add_seed_argument, add_statistics_argument

IMAGE_RESIZES = ("jpeg_lanczos3", "bicubic")  # of the image processor, which is slow to import
# Upstream finds these constants by looking for the platform's name on the command line.
PLATFORMS = {
    "libero": {"num_action_chunks": 8, "action_dim": 7, "normalization_type": "bounds_q99"},
    "aloha": {"num_action_chunks": 25, "action_dim": 14, "normalization_type": "bounds"},
    "bridge": {"num_action_chunks": 5, "action_dim": 7, "normalization_type": "bounds_q99"},
    "calvin": {"num_action_chunks": 8, "action_dim": 7, "normalization_type": "bounds_q99"},
    "vlabench": {"num_action_chunks": 8, "action_dim": 7, "normalization_type": "bounds_q99"},
}


@dataclass
class CogVLAOptions:
    """What no published file records; `None` where it was not given."""

    num_images: int | None = None
    platform: str | None = None
    num_action_chunks: int | None = None
    action_dim: int | None = None
    normalization: str | None = None
    num_diffusion_steps: int | None = None
    num_inference_steps: int | None = None
    center_crop: bool | None = None
    image_resize: str | None = None
    decoding: str | None = None
    statistics: Path | None = None


def add_unrecorded_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `merge-lora` and `convert`."""
    add_prediction_arguments(parser.add_argument_group("what no published file records"))


def add_prediction_arguments(group: argparse._ArgumentGroup) -> None:
    """Of all commands: what a model of this family reads and predicts."""
    group.add_argument("--num-images", type=int, metavar="N", help="camera views of one sample")
    group.add_argument("--platform", choices=PLATFORMS, help="sets the next three")
    add_chunk_argument(group)
    group.add_argument("--action-dim", type=int, metavar="N", help="numbers of one action")
    add_normalization_argument(group)
    group.add_argument(
        "--num-diffusion-steps",
        type=int,
        metavar="N",
        help="steps that a diffusion head was trained with; required for one (published scripts train with 50)",
    )
    group.add_argument(
        "--num-inference-steps",
        type=int,
        metavar="N",
        help="steps of one prediction of a diffusion or flow head (assumed: what published scripts predict with)",
    )
    group.add_argument(
        "--center-crop",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the processor crops to 90 %% of the area, as a model needs that was trained with --image_aug "
        "(default: read from the run's name; assumed no where the name does not tell)",
    )
    group.add_argument(
        "--image-resize",
        choices=IMAGE_RESIZES,
        help="how OpenVLA's processor resizes camera images: jpeg_lanczos3 as its LIBERO and Bridge evaluations "
        "(assumed), bicubic as its deploy script",
    )
    group.add_argument(
        "--decoding",
        choices=["parallel", "autoregressive"],
        help="of discrete action tokens: OpenVLA-OFT (parallel) and OpenVLA (autoregressive) leave the same files",
    )


@dataclass
class CogVLAStartOptions:
    """Of `create`: what shall be otherwise than in the base; `None` where it was not given."""

    film: bool | None = None
    aggregation_tokens: int | None = None
    fusion: str | None = None
    lfp: str | None = None
    lfp_average_factor: float | None = None
    lfp_film: bool | None = None
    lfp_schedule_layers: int | None = None
    use_lfp: bool | None = None
    action_head: str | None = None
    action_attention: str | None = None
    language_mean: str | None = None
    decoding: str | None = None
    num_images: int | None = None
    state_dim: int | None = None
    platform: str | None = None
    num_action_chunks: int | None = None
    action_dim: int | None = None
    normalization: str | None = None
    num_diffusion_steps: int | None = None
    num_inference_steps: int | None = None
    statistics: Path | None = None
    center_crop: bool | None = None
    image_resize: str | None = None
    seed: int = 0


def add_start_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `create`."""
    parser.add_argument(
        "--base",
        required=True,
        help="folder or Hub repository: a published OpenVLA, a merged OpenVLA-OFT or CogVLA, or an earlier step",
    )
    add_seed_argument(parser)
    parser.add_argument("--tokenizer", metavar="DIR", help="with a tokenizer.json that takes the place of the base's")
    add_statistics_argument(parser)
    group = parser.add_argument_group("parts to switch on; what the base has stays")
    group.add_argument(
        "--film",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the instruction modulates the vision towers",
    )
    group.add_argument("--aggregation-tokens", type=int, metavar="N", help="a view, in place of its patches")
    group.add_argument("--fusion", choices=["moe", "concat"], help="of the two vision towers")
    group.add_argument("--lfp", metavar="SCHEDULE", help="token pruning, such as shiftedcos_decay_0.85_0.15")
    group.add_argument("--no-lfp", dest="use_lfp", action="store_const", const=False, help="no token pruning")
    group.add_argument("--lfp-average-factor", type=float, metavar="R", help="of the schedule (default 0.5)")
    group.add_argument("--lfp-schedule-layers", type=int, metavar="N", help="of the schedule (default: the model's)")
    group.add_argument(
        "--lfp-film",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the instruction modulates what the pruning scores (default yes)",
    )
    group.add_argument("--action-head", choices=["l1", "diffusion", "discrete"])
    group.add_argument("--state-dim", type=int, metavar="N", help="size of the robot's state, which becomes an input")
    group = parser.add_argument_group("what the model reads and predicts; by default as in the base")
    group.add_argument(
        "--action-attention",
        choices=["block", "bidirectional", "causal"],
        help="among action tokens: CogVLA, OpenVLA-OFT, OpenVLA (default: by the parts)",
    )
    group.add_argument(
        "--language-mean", choices=["masked", "padded"], help="of what drives FiLM and MoE: without padding, or with it"
    )
    add_prediction_arguments(group)
