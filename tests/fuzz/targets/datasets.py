"""LeRobot datasets: info.json, JSON lines and parquet of all versions, their data, and statistics beside them."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tiny_dataset import write_dataset

from vlahub.training.action_chunks import read_rows
from vlahub.training.lerobot import load_frames
from vlahub.training.statistics import run_statistics
from vlahub.training.video_frames import image_columns

from ..byte_changes import changed_bytes
from ..folders import FolderTarget, Source, linked_copy
from ..json_changes import ODD

VERSIONS = ("v2.1", "v3.0")


class Datasets(FolderTarget):
    name, slice = "datasets", 40

    def prepare(self, folder: Path) -> None:
        for version in VERSIONS:
            write_dataset(folder / version, version, episodes=3, frames=3)
        self.sources = {version: Source(folder / version, {"frames": read}) for version in VERSIONS}

    def change(self, random: Random, folder: Path) -> str:
        if random.random() < 0.6:
            return super().change(random, folder)
        name = random.choice(list(self.sources))
        linked_copy(self.sources[name].folder, folder)
        (folder.parent / "reader.txt").write_text(f"{name}\nframes")
        path = random.choice(sorted(folder.rglob("*.parquet")))
        data = path.read_bytes()
        data, told = changed_bytes(random, data) if random.random() < 0.4 else changed_table(random, data)
        path.unlink()  # it is one file with the valid one
        path.write_bytes(data)
        return f"{path.relative_to(folder)} of {name}: {told}"


def read(folder: Path, output: Path) -> None:
    """All rows can be read, and statistics of them are finite."""
    frames = load_frames(folder)
    assert len(frames) == 9, len(frames)
    row = read_rows(frames, len(frames) - 1, image_columns(frames))
    assert isinstance(row["task"], str), row["task"]
    found = run_statistics(frames, folder, quiet=True, progress=False)
    json.dumps(found, allow_nan=False)


def changed_table(random: Random, data: bytes) -> tuple[bytes, str]:
    """One column left out, renamed, of another type, with other values or gaps; or rows left out or doubled."""
    table = pq.read_table(io.BytesIO(data))
    column = random.choice(table.column_names)
    at = table.column_names.index(column)
    how = random.choice(("without", "rename", "values", "values", "null", "fewer", "double", "metadata", "none"))
    if how == "without":
        table = table.drop_columns([column])
    elif how == "rename":
        table = table.rename_columns([f"{name}2" if name == column else name for name in table.column_names])
    elif how == "values":
        table = table.set_column(at, column, other_values(random, table.column(column)))
    elif how == "null":
        kept = [None if i == 0 else value for i, value in enumerate(table.column(column).to_pylist())]
        table = table.set_column(at, column, pa.array(kept, table.schema.field(column).type))
    elif how == "metadata":
        metadata = {b"pandas": random.choice((b"", b"[]", b"5", b'{"index_columns": 5}', b"\xff", b"[" * 9999))}
        table = table.replace_schema_metadata(metadata | {b"huggingface": random.choice((b"", b"[]", b"{}", b"x"))})
    else:
        table = {"fewer": table.slice(1), "double": pa.concat_tables([table, table]), "none": table.slice(0, 0)}[how]
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue(), f"{how} {column}"


def other_values(random: Random, column: Any) -> pa.Array:
    """As many of another kind."""
    count = len(column)
    numbers = random.choice(([-1], [0], [2**62], [1.5], [float("nan")], [float("inf")], [1e300], [True], range(count)))
    others = random.choice(
        (numbers, numbers, [[0.5]], [["a"]], [{"a": 1}], ["text"], [b"\xff"], [None], [[]], ODD[15:17])
    )
    return pa.array([others[i % len(others)] for i in range(count)])
