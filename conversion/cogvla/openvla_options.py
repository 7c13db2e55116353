"""Options for what no file of an OpenVLA, OpenVLA-OFT or CogVLA run records, and that changes what it answers."""

import argparse
from pathlib import Path

from ..commands.command_choices import IMAGE_RESIZES


def add_unrecorded_arguments(group: argparse._ArgumentGroup) -> None:
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


def add_statistics_argument(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument(
        "--statistics",
        type=Path,
        metavar="FILE",
        help="dataset_statistics.json of the training data, where the run's folder has none (or a config.json with "
        "norm_stats)",
    )
