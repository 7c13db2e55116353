"""Columns of texts, and of numbers that are joined to one vector, in the order in which they are named."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, Value

from vlahub.errors import InputError
from vlahub.training.dataset_columns import BATCH, check_texts, column_names, joined


def test_a_vector_has_its_columns_in_the_order_of_their_names():
    table = pa.table({"arm": [[1.0, 2.0], [3.0, 4.0]], "gripper": [5, 6]})
    found = joined(table, ["gripper", "arm"])
    assert found.dtype == np.float32
    assert found.tolist() == [[5, 1, 2], [6, 3, 4]]
    assert joined(table, ["arm", "gripper"]).tolist() == [[1, 2, 5], [3, 4, 6]]


@pytest.mark.parametrize("columns", [[], ["arm", "arm"], ["arm", "gripper", "arm"]])
def test_a_vector_of_no_column_or_of_one_twice_is_refused(columns):
    with pytest.raises(InputError, match="columns that are all different, and of at least one"):
        column_names(columns)


def test_one_name_is_one_column():
    assert column_names("arm") == column_names(["arm"]) == ["arm"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "holds int64 and no texts"),
        ([["a"], ["b"]], "holds .*list<.*> and no texts; name another one"),
        ([b"a", b"b"], "holds binary and no texts"),
        (["a", None], "has no text in row 1: None; the model is told in words what to do"),
        ([None, None], "has no text in row 0: None"),
        (["a", "b", "", "a", " "], "has no text in row 2: ''; the model is told in words what to do"),
        (["a", " \n\t"], r"has no text in row 1: ' \\n\\t'"),
        (["a"] * (BATCH + 2) + ["", "a"], f"has no text in row {BATCH + 2}"),
    ],
)
def test_an_instruction_is_a_text_that_says_something_in_every_row(values, message):
    frames = Dataset.from_dict({"words": ["a"] * len(values), "task": values})
    check_texts(frames, ["words"])
    with pytest.raises(InputError, match=r"no column 'text' of texts; name one .*: the columns are"):
        check_texts(frames, ["words", "text"])
    with pytest.raises(InputError, match=f"column 'task' {message}"):
        check_texts(frames, ["words", "task"])


def test_where_a_text_may_be_left_out_it_is_null_and_not_empty():
    frames = Dataset.from_dict({"word": [None, "good"], "none": [None, None], "empty": [None, ""]})
    check_texts(frames, ["word", "none"], optional=True)
    with pytest.raises(InputError, match="column 'empty' has no text in row 1: ''; give it one, or null"):
        check_texts(frames, ["word", "empty"], optional=True)
    for kind in ("large_string", "string_view"):
        check_texts(Dataset.from_dict({"a": ["b"]}, Features({"a": Value(kind)})), ["a"])
