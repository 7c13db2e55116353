"""What to do about a file or folder that is no dataset which can be read here."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HDF5 = (".hdf5", ".h5")
TFDS = "features.json"  # of tensorflow-datasets, which has a dataset_info.json, too
POINTER = b"version https://git-lfs"
CONVERT = "bring it into LeRobot's format first: vlahub data convert --from {} {} --output FOLDER"


def is_of_tensorflow(path: Path) -> bool:
    """Whether a folder is a dataset of tensorflow-datasets (RLDS), or holds versions of one."""
    return (path / TFDS).is_file() or any(path.glob(f"*/{TFDS}"))


def advice_on(path: Path) -> str:
    """What a path holds instead of a dataset and what to do, as the end of a sentence; empty where it is not known."""
    if path.is_file() and path.suffix == ".json":
        return "; name the dataset's folder, not a file in it"
    if path.suffix in HDF5 or any(inner.suffix in HDF5 for inner in files_in(path)):
        return f"; it is of HDF5: {CONVERT.format('hdf5', path)}"
    if path.is_dir() and is_of_tensorflow(path):
        return f"; it is of tensorflow-datasets: {CONVERT.format('rlds', path)}"
    tables = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if pointers := [file for file in tables if is_pointer(file)]:
        return f"; {pointers[0]} is a pointer of Git LFS in place of the file: run `git lfs pull`, or `hf download`"
    return "; it has no rows" if tables and all(map(is_rowless, tables)) else ""


def files_in(path: Path) -> list[Path]:
    return [inner for inner in path.iterdir() if inner.is_file()] if path.is_dir() else []


def is_pointer(file: Path) -> bool:
    """Whether a file is what git keeps in the place of a large one that was not fetched."""
    with file.open("rb") as opened:
        return opened.read(len(POINTER)) == POINTER


def is_rowless(file: Path) -> bool:
    try:
        return pq.read_metadata(file).num_rows == 0
    except (OSError, pa.ArrowException):
        return False
