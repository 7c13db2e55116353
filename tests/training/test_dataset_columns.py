"""Columns of numbers that are joined to one vector, in the order in which they are named."""

import numpy as np
import pyarrow as pa
import pytest

from vlahub.errors import InputError
from vlahub.training.dataset_columns import column_names, joined


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
