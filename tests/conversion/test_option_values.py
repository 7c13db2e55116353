"""Values of options: what a model can take is read, the ends of each range included, and all else is wrong usage."""

import argparse

import pytest

from vlahub.conversion.option_values import (
    above_zero,
    count,
    finite_number,
    from_zero,
    probability,
    seed,
    whole_number,
)

NO_NUMBERS = ("", " ", "one", "nan", "inf", "-inf", "1e999", "0x1")
CASES = {  # read, refused beside texts that are no finite number
    whole_number: ({"0": 0, "007": 7}, ("-1", "1.0", "+1", "1 ")),
    count: ({"1": 1, "64": 64}, ("0", "-1", "1.0", "00")),
    seed: (
        {"0": 0, "-1": -1, str(2**64 - 1): 2**64 - 1, str(-(2**63)): -(2**63)},
        (str(2**64), str(-(2**63) - 1), "1.0", "--1"),
    ),
    above_zero: ({"1e-9": 1e-9, "2": 2.0}, ("0", "-0.0", "-1")),
    from_zero: ({"0": 0.0, "1.5": 1.5}, ("-1e-9",)),
    finite_number: ({"-2.5": -2.5, "0": 0.0}, ()),
    probability: ({"1": 1.0, "1e-3": 1e-3}, ("0", "1.0001", "-0.5")),
}


@pytest.mark.parametrize("read", CASES, ids=lambda read: read.__name__)
def test_an_option_takes_its_range_with_both_ends_and_nothing_else(read):
    taken, refused = CASES[read]
    assert {text: read(text) for text in taken} == taken
    for text in (*refused, *NO_NUMBERS):
        with pytest.raises(argparse.ArgumentTypeError, match="is no "):
            read(text)
