"""Options for what no file of an OpenVLA, OpenVLA-OFT or CogVLA run records, and that changes what it answers."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..shared_options import add_chunk_argument, add_normalization_argument

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
    group = parser.add_argument_group("what no published file records")
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
