"""Columns of a dataset: those that are the views of a model, of texts, and of numbers that are joined to one vector."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ..configuration.view_names import short_name
from ..configuration.vla_errors import InputError
from .video_frames import image_columns

BATCH = 10_000  # rows; only numbers and texts are read in batches
TEXT_KINDS = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null
REMEDIES = {  # of a row without a text: whether the column may have such
    False: "the model is told in words what to do: give every row an instruction, leave the episodes without one out, "
    "or name another column (text=, --text)",
    True: "give it one, or null where the prompt shall have none",
}


def require_columns(frames: Dataset, names: Sequence[str]) -> None:
    """Raises InputError unless the frames have these columns."""
    missing = [name for name in names if name not in frames.column_names]
    if missing:
        meant = [column for column in frames.column_names if short_name(column) in missing]
        if not meant and any("," in name for name in missing):
            meant = [column for name in missing for column in name.split(",") if column in frames.column_names]
        hint = f" (did you mean {' '.join(meant)}?)" if meant else ""
        raise InputError(f"the frames have no columns {missing}{hint}; they have {frames.column_names}.")


def camera_columns(frames: Dataset, view_names: Sequence[str] | None, images: Sequence[str] | None = None) -> list[str]:
    """The image columns of `frames` in the order in which a model sees them.

    Args:
        view_names: of a checkpoint that goes on training; `None` where it records none.
        images: the columns, main camera first, where a caller says so.

    Returns:
        `images`; else the columns of the names of `view_names`; else all but depth maps, in the dataset's order.

    Raises:
        InputError: the checkpoint was trained with a view that is no image column, or several columns are it.
    """
    if images:
        return list(images)
    columns = image_columns(frames)
    if view_names is None:
        return columns
    known = {short_name(name): name for name in columns}
    twice = [name for name in view_names if sum(short_name(column) == name for column in columns) > 1]
    if twice:
        raise InputError(
            f"of the image columns {columns} several are the view {twice[0]!r}: name those meant (images)."
        )
    missing = [name for name in view_names if name not in known]
    if missing:
        raise InputError(
            f"the checkpoint was trained with the views {list(view_names)}, the dataset has {list(known)}: name the "
            "columns in that order (images)."
        )
    return [known[name] for name in view_names]


def column_names(columns: str | Sequence[str]) -> list[str]:
    """The columns of one vector, in its order. Raises InputError where none is named, or one twice."""
    names = [columns] if isinstance(columns, str) else list(columns)
    if not names or len(set(names)) != len(names):
        raise InputError(f"a vector is joined of columns that are all different, and of at least one; got {names}.")
    return names


def check_vectors(frames: Dataset, columns: Sequence[str]) -> None:
    """Raises InputError unless each column has finite numbers in every row, as many as in the first."""
    for column in columns:
        size, first = None, 0
        for values in batches(frames, column):
            lengths = checked_lengths(values, column)
            size = lengths[0] if size is None else size
            other = np.flatnonzero((lengths != size) | (lengths < 1))
            if other.size:
                found = max(lengths[other[0]], 0)
                raise InputError(f"column {column!r} has {found} numbers in row {first + other[0]}, {size} in row 0.")
            bad = np.flatnonzero(~np.isfinite(numbers_of(values, np.float32)).all(axis=1))
            if bad.size:
                value = values[int(bad[0])].as_py()
                raise InputError(f"column {column!r} is not finite in row {first + bad[0]}: {value}.")
            first += len(lengths)


def check_weights_of(frames: Dataset, column: str) -> None:
    """Raises InputError unless a column holds what rows weigh: a number of 0 or more in each, and not 0 in all."""
    check_vectors(frames, [column])
    first, total = 0, 0.0
    for values in batches(frames, column):
        weights = numbers_of(values, np.float64)
        if weights.shape[1] != 1:
            raise InputError(f"column {column!r} has {weights.shape[1]} numbers a row; a weight is one number.")
        wrong = np.flatnonzero(weights < 0)
        if wrong.size:
            raise InputError(
                f"column {column!r} is {weights[wrong[0], 0]} in row {first + wrong[0]}; weights are not negative."
            )
        first, total = first + len(weights), total + weights.sum()
    if not total:
        raise InputError(f"column {column!r} is 0 in every row: nothing would be learnt.")


def check_texts(frames: Dataset, columns: Sequence[str], optional: bool = False) -> None:
    """Raises InputError unless each column holds texts, one that says something in every row; optional: or null."""
    for column in columns:
        first = 0
        if column not in frames.column_names:
            known = f"the columns are {frames.column_names}"
            raise InputError(f"there is no column {column!r} of texts; name one (text=, --text): {known}.")
        for values in batches(frames, column):
            if not any(is_kind(values.type) for is_kind in TEXT_KINDS):
                raise InputError(
                    f"column {column!r} holds {values.type} and no texts; name another one (text=, --text)."
                )
            for text in values.unique().to_pylist():
                if (text is None and not optional) or (text is not None and not text.strip()):
                    row = first + values.to_pylist().index(text)
                    raise InputError(f"column {column!r} has no text in row {row}: {text!r}; {REMEDIES[optional]}.")
            first += len(values)


def batches(frames: Dataset, column: str) -> Iterator[pa.ChunkedArray]:
    """The column's rows, some at a time and in order."""
    for table in frames.select_columns([column]).with_format("arrow").iter(BATCH):
        yield table.column(0)


def checked_lengths(values: pa.ChunkedArray, column: str) -> np.ndarray:
    """(rows,) how many numbers each row has: 1 for a single number, -1 for a row without a list."""
    kind = values.type.value_type if is_list(values.type) else values.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise InputError(f"column {column!r} must hold vectors of numbers, not {values.type}.")
    if not is_list(values.type):
        return np.ones(len(values), dtype=int)
    return pc.fill_null(pc.list_value_length(values), -1).to_numpy()


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists, of one length or not."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def numbers_of(column: pa.ChunkedArray, dtype: type) -> np.ndarray:
    """Rows of as many numbers each -> (rows, numbers); a null among the numbers becomes NaN."""
    lists = is_list(column.type)
    flat = [(chunk.flatten() if lists else chunk).to_numpy(zero_copy_only=False) for chunk in column.chunks]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return np.concatenate(flat).astype(dtype).reshape(len(column), -1)


def joined(table: pa.Table, columns: Sequence[str], dtype: type = np.float32) -> np.ndarray:
    """The vectors of a table's rows, (rows, numbers of all columns), in the order of the columns."""
    return np.concatenate([numbers_of(table[column], dtype) for column in columns], axis=1)
