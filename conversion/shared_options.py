"""Options that several families and commands have, declared where nothing is slow to import."""

import argparse
from pathlib import Path

from .option_values import seed

NORMALIZATIONS = ("bounds", "bounds_q99", "normal")


def add_statistics_argument(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument(
        "--statistics",
        type=Path,
        metavar="FILE",
        help="dataset_statistics.json of the training data, where the run's folder has none (or a config.json with "
        "norm_stats)",
    )


def add_chunk_argument(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument(
        "--num-action-chunks", "--action-horizon", type=int, metavar="N", help="actions of one prediction"
    )


def add_normalization_argument(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument("--normalization", choices=NORMALIZATIONS, help="of actions and state")


def add_seed_argument(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument("--seed", type=seed, default=0, metavar="N", help="of what is initialised (default 0)")
