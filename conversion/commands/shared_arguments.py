"""Options that several commands have."""

import argparse
import math
import re

from ...configuration.fast_prediction_choices import FAST_PREDICTION_MODES
from ...configuration.weight_quantization import QUANTIZED_KINDS
from ..families import FAMILIES

CARDS = ("keep", "renew")
DTYPES = ("auto", "float32", "bfloat16", "float16")
QUANTIZED = tuple(QUANTIZED_KINDS)
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def add_family_argument(parser: argparse.ArgumentParser) -> None:
    names = [family.name for family in FAMILIES.values() if family.prepare]
    parser.add_argument(
        "--family", choices=["auto", *names], default="auto", help="auto: by the model type; generic: any model"
    )


def add_arguments_of_families(parser: argparse.ArgumentParser, command: str) -> None:
    """What only one family asks for."""
    for family in FAMILIES.values():
        if command in family.arguments:
            family.arguments[command](parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Of what writes a checkpoint."""
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="of the output; auto: the base's")
    parser.add_argument(
        "--max-shard-size", type=byte_size, default="2GB", metavar="SIZE", help="largest output file, such as 2GB"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and write nothing")
    parser.add_argument("--no-verify", action="store_true", help="do not read back what was written")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder if it is not empty")
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but errors, and warnings that the result may be wrong"
    )
    parser.add_argument("--push-to-hub", metavar="USER/NAME", help="publish the result in this repository")
    add_card_argument(parser)


def add_card_argument(parser: argparse.ArgumentParser) -> None:
    """Of what publishes."""
    parser.add_argument(
        "--card",
        choices=CARDS,
        help="a README.md in the repository: keep it or renew it (default: renew what vlahub wrote and nobody edited)",
    )


def add_try_argument(parser: argparse.ArgumentParser) -> None:
    """Of what writes a checkpoint that predicts."""
    parser.add_argument(
        "--try",
        action="store_true",
        dest="run_example",
        help="run the example of the card once all is written, on the CPU, and complete the card: vlahub card OUTPUT",
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="where the arithmetic is done, such as cuda")


def add_quantize_argument(parser: argparse.ArgumentParser) -> None:
    """Of what writes a checkpoint for predictions."""
    parser.add_argument(
        "--quantize",
        choices=QUANTIZED,
        help="store the weights of language model and vision towers in lower precision: int8 or fp8 in half "
        "of bfloat16's bytes, int4 most of the language model in a quarter; heads, embeddings, norms stay as they are; "
        "needs torchao (pip install 'vlahub[quant]'); loading the result does not",
    )


def add_fast_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fast",
        nargs="?",
        choices=FAST_PREDICTION_MODES,
        const="graphs",
        help="predict from CUDA graphs (graphs, where no mode is said) or compiled (compile): pays where a model "
        "predicts many times",
    )


def byte_size(text: str) -> int:
    """`2GB` -> 2000000000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?B?)", text.upper())
    unit = match and match[2] + ("" if not match[2] or match[2].endswith("B") else "B")
    size = float(match[1]) * UNITS.get(unit, 1) if match else 0.0
    if not 1 <= size < math.inf or unit not in (*UNITS, "B"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 2GB")
    return int(size)
