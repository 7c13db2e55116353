"""What can be said on the command line about an Alpamayo-R1."""

import argparse
from dataclasses import dataclass
from pathlib import Path

VLM = "vlm"  # role of the base model, of which all but the weights is read


@dataclass
class AlpamayoOptions:
    """`None` where an option was not given."""

    statistics: Path | None = None  # refused


def add_alpamayo_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `convert`, for what an Alpamayo-R1 does not bring itself."""
    group = parser.add_argument_group("Alpamayo-R1")
    group.add_argument(
        "--vlm", metavar="DIR", help="the Qwen3-VL it was trained from: config, tokenizer and image settings are read"
    )
