"""Values of options: what a model can take is read, the ends of each range included, and all else is wrong usage."""

import argparse

import pytest

from vlahub.conversion.cli import make_parser
from vlahub.conversion.commands.completion import words_before_the_cursor
from vlahub.conversion.commands.evaluate import numbers
from vlahub.conversion.commands.serve import above_zero as above_zero_of_serve
from vlahub.conversion.commands.serve import milliseconds, port_number, seconds, weight
from vlahub.conversion.commands.shared_arguments import byte_size
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


OTHERS = {  # of single commands
    byte_size: (
        {"2GB": 2 * 10**9, "500mb": 5 * 10**8, "1.5 KB": 1500, "10K": 10_000, "7": 7, "7B": 7, "0.5KB": 500},
        ("0", "0MB", "0.5", "0.0009KB", "-1MB", "2TB", "GB", "1.MB", "1,5MB", "2XB", "1MBB", "9" * 400),
    ),
    numbers: ({"7": range(7, 8), "7-9": range(7, 10), "0-0": range(1)}, ("9-7", "-1", "7-", "1-2-3", "1,2", "1.5")),
    above_zero_of_serve: ({"1": 1, "64": 64}, ("0", "-1", "1.0")),
    port_number: ({"0": 0, "65535": 65535}, ("65536", "-1", "http")),
    milliseconds: ({"0": 0.0, "1000": 1000.0, "2.5": 2.5}, ("-0.1", "1000.1")),
    seconds: ({"0.001": 0.001, "86400": 86400.0}, ("0", "0.0009", "86401")),
    weight: ({"0": 0.0, "100": 100.0}, ("-0.1", "101")),
}


@pytest.mark.parametrize("read", OTHERS, ids=lambda read: read.__name__)
def test_an_option_of_one_command_takes_its_range_and_nothing_else(read):
    taken, refused = OTHERS[read]
    assert {text: read(text) for text in taken} == taken
    for text in (*refused, *NO_NUMBERS):
        with pytest.raises(argparse.ArgumentTypeError, match=r"is no |is not a size|is neither a number nor a range"):
            read(text)


def test_what_is_not_said_is_the_usual():
    words = ["predict", "ckpt", "--fast"]
    assert make_parser(words).parse_args(words).fast == "graphs"
    assert make_parser(words).parse_args([*words, "compile"]).fast == "compile"
    assert make_parser(words).parse_args(words[:-1]).fast is None
    words = ["merge-lora", "--adapter", "run", "--output", "out"]
    found = make_parser(words).parse_args(words)
    assert (found.max_shard_size, found.dtype, found.device, found.card) == (2 * 10**9, "auto", "cpu", None)


def test_a_shell_asks_for_the_words_behind_the_program(monkeypatch):
    monkeypatch.setenv("COMP_LINE", "vlahub train 'my vla' --da")
    monkeypatch.delenv("_ARGCOMPLETE", raising=False)
    assert words_before_the_cursor() == []
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert words_before_the_cursor() == ["train", "my vla", "--da"]
    monkeypatch.setenv("COMP_LINE", "vlahub predict 'my vla")
    assert words_before_the_cursor() == ["predict", "'my", "vla"]
