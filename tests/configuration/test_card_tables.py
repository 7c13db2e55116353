"""What the tables of a card say of statistics and weights, cell by cell."""

from types import SimpleNamespace

import pytest

from vlahub.configuration.card_statistics import statistics_text
from vlahub.configuration.card_weights import part_cells, quantization_text
from vlahub.configuration.weight_parts import Part

WIDE = {"q01": [0.0, -1.0, 2.0], "q99": [0.0, 1.0, 2.0], "mask": [True, True, False]}


def robot(statistics, kind="bounds_q99", state_size=None):
    return SimpleNamespace(norm_stats=statistics, normalization_type=kind, state_size=state_size)


def cells(text, first):
    """The cells of the rows whose first one is `first`, in their order."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] == first]


@pytest.mark.parametrize("kind", ["bounds_q99", "bounds", "normal"])
def test_a_dimension_is_constant_where_its_statistics_say_so(kind):
    columns = {"bounds_q99": ("q01", "q99"), "bounds": ("min", "max"), "normal": ("mean", "std")}[kind]
    first, second = {"normal": ([5.0, 2.0, 1.0], [0.0, 2.0, 0.0])}.get(kind, ([5.0, -2.0, 1.0], [5.0, 2.0, 1.0]))
    statistics = {columns[0]: first, columns[1]: second, "mask": [True, True, False]}
    text = statistics_text(robot({"a": {"action": statistics}}, kind))
    last = [cells(text, str(i))[0][-1] for i in range(3)]
    assert last == ["yes; constant in the data", "yes", "no, passes unchanged"]


def test_of_many_datasets_the_dimensions_of_the_first_are_shown():
    keys = ("d", "b", "c", "a")
    statistics = {key: {"action": {"q01": [float(ord(key))], "q99": [1.0]}} for key in keys}
    text = statistics_text(robot(statistics))
    assert [row[1] for row in cells(text, "0")] == [str(ord("a"))] and "The dimensions of <code>a</code>" in text
    few = statistics_text(robot({key: statistics[key] for key in keys[:3]}))
    assert [row[1] for row in cells(few, "0")] == [str(ord(key)) for key in "bcd"]


@pytest.mark.parametrize("state_size", [None, 3])
def test_the_state_is_shown_of_models_that_read_it(state_size):
    text = statistics_text(robot({"a": {"action": WIDE, "proprio": WIDE}}, state_size=state_size))
    assert ("State of" in text) == (state_size is not None)
    assert len(cells(text, "1")) == (2 if state_size else 1)


def test_a_part_has_its_share_of_parameters_and_not_of_bytes():
    part = Part("language_model", tensors=2, parameters=250, bytes=4000, dtypes={"float32": 50, "int8": 200})
    assert part_cells(part, 1000)[1:3] == ["250", "25 %"]


def test_lower_precision_is_so_much_in_the_place_of_so_much():
    given = {"kind": "int8", "layers": {"int8": ["a.b"]}, "bytes": {"stored": 1_000_000, "whole": 4_000_000}}
    assert "1 MB of weights in place of 4 MB" in quantization_text(given)
