"""Values of options as the command line reads them: what no model could take is wrong usage, found before any work."""

import argparse
import math
import re

LARGEST_SEED = 2**64 - 1  # of torch


def whole_number(text: str) -> int:
    """A number from 0 on."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def count(text: str) -> int:
    """A number from 1 on."""
    if not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def seed(text: str) -> int:
    """A number that random numbers can begin with."""
    if not re.fullmatch(r"-?\d+", text) or not -(2**63) <= int(text) <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number that a seed can be, such as 0 or 42")
    return int(text)


def above_zero(text: str) -> float:
    """A finite number above 0."""
    if not 0 < (value := number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def from_zero(text: str) -> float:
    """A finite number from 0 on."""
    if not 0 <= (value := number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return value


def finite_number(text: str) -> float:
    if not math.isfinite(value := number(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no finite number")
    return value


def probability(text: str) -> float:
    """A number above 0 and up to 1."""
    if not 0 < (value := number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and up to 1")
    return value


def number(text: str) -> float:
    """Of a text that is none, NaN: no range holds it."""
    try:
        return float(text)
    except ValueError:
        return math.nan
