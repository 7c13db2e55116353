"""Image columns as data files hold them: structs of bytes and path that nothing calls images, and relative paths."""

import os
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Image, concatenate_datasets
from datasets.table import InMemoryTable

STORED = {"bytes", "path"}  # of `datasets.Image`


def with_images(frames: Dataset, folder: Path) -> Dataset:
    """The same rows, with every column of stored images as one of images, found from any working directory.

    folder: of the dataset. Images that are stored by relative paths are looked for there, and, where the first one is
    not there, from the working directory, as `datasets` does.
    """
    order = frames.column_names
    for name in order:
        kind = frames.data.schema.field(name).type
        if not pa.types.is_struct(kind) or {field.name for field in kind} != STORED:
            continue
        if not isinstance(frames.features[name], Image):
            frames = frames.cast_column(name, Image())
        if any(is_relative(row) and (folder / row["path"]).exists() for row in first_without_bytes(frames, name)):
            frames = with_absolute_paths(frames, name, folder.absolute())
    return frames.select_columns(order)


def first_without_bytes(frames: Dataset, name: str) -> list[dict]:
    """The first row whose image lies in a file of its own, in a list; without decoding."""
    for chunk in frames.data.column(name).chunks:
        missing = chunk.field("bytes").is_null()
        place = missing.index(True).as_py()
        if place >= 0:
            return [chunk[place].as_py() or {}]
    return []


def is_relative(row: dict) -> bool:
    path = row.get("path")
    return path is not None and not os.path.isabs(path) and "://" not in path


def with_absolute_paths(frames: Dataset, name: str, folder: Path) -> Dataset:
    """The same rows with the column's relative paths joined to the folder's; stored bytes are not copied."""
    chunks = []
    for chunk in frames.data.column(name).chunks:
        pixels, paths = chunk.field("bytes"), chunk.field("path").to_pylist()
        rows = zip(pixels.is_null().to_pylist(), paths, strict=True)
        found = [str(folder / path) if empty and is_relative({"path": path}) else path for empty, path in rows]
        chunks.append(pa.StructArray.from_arrays([pixels, pa.array(found, pa.string())], ["bytes", "path"]))
    schema = frames.select_columns([name]).features.arrow_schema
    table = pa.Table.from_arrays([pa.chunked_array(chunks)], schema=schema)
    return concatenate_datasets([frames.remove_columns([name]), Dataset(InMemoryTable(table))], axis=1)
