"""What can be said on the command line about the start of a new Alpamayo-R1."""

import argparse
from dataclasses import dataclass

from ..option_values import seed
from ..shared_options import add_chunk_argument

EXPERT_FIELDS = {  # options, and what they are in `expert_cfg`
    "expert_hidden_size": "hidden_size",
    "expert_intermediate_size": "intermediate_size",
    "expert_num_attention_heads": "num_attention_heads",
}


@dataclass
class AlpamayoStartOptions:
    """`None` where an option was not given."""

    expert_hidden_size: int | None = None
    expert_intermediate_size: int | None = None
    expert_num_attention_heads: int | None = None
    num_action_chunks: int | None = None
    num_history_poses: int | None = None
    future_bins: int | None = None
    history_bins: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    seed: int = 0


def add_start_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `create`."""
    parser.add_argument(
        "--base", required=True, metavar="QWEN3-VL", help="a Qwen3-VL, or an Alpamayo-R1 of ours for another expert"
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="of what is new (default 0)")
    expert = parser.add_argument_group("expert; layers, key and value heads are the base's")
    expert.add_argument("--expert-hidden-size", type=int, metavar="N", help="default: half of the base's")
    expert.add_argument("--expert-num-attention-heads", type=int, metavar="N", help="default: half of the base's")
    expert.add_argument(
        "--expert-intermediate-size",
        type=int,
        metavar="N",
        help="of its MLPs; default: 4.03 times its width, as released",
    )
    tokens = parser.add_argument_group("trajectories; the defaults are the release's")
    add_chunk_argument(tokens)
    tokens.add_argument("--num-history-poses", type=int, metavar="N", help="poses of the driven path (default 16)")
    tokens.add_argument("--future-bins", type=int, metavar="N", help="values of a future's tokens (default 3000)")
    tokens.add_argument("--history-bins", type=int, metavar="N", help="values of a history's tokens (default 1000)")
    images = parser.add_argument_group("images")
    images.add_argument("--min-pixels", type=int, metavar="N", help="of a resized one (default 163840)")
    images.add_argument("--max-pixels", type=int, metavar="N", help="of a resized one (default 196608)")
