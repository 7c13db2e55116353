"""What is said of a file or folder that is no dataset: what it holds instead, and what to do about that."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlahub.training.dataset_advice import advice_on, is_of_tensorflow

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


def written(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        pq.write_table(pa.table({"a": content}), path)
    else:
        path.write_bytes(content)
    return path


# Files of a folder, and what is said of it; with a name, of that file alone.
SAID = {
    "a file of its own folder": ({"info.json": b"{}"}, "info.json", "; name the dataset's folder, not a file in it"),
    "HDF5": ({"a.hdf5": b"x"}, "", "; it is of HDF5: .*--from hdf5 {} --output FOLDER"),
    "one file of HDF5": ({"a.h5": b"x"}, "a.h5", "; it is of HDF5: .*--from hdf5 {} "),
    "RLDS": ({"features.json": b"{}"}, "", "; it is of tensorflow-datasets: .*--from rlds {} "),
    "versions of RLDS": ({"1.0.0/features.json": b"{}"}, "", "; it is of tensorflow-datasets: .*--from rlds {} "),
    "a pointer": (
        {"data/a.parquet": [1], "data/b.parquet": POINTER},
        "",
        "; .*b.parquet is a pointer of Git LFS in place of the file: run `git lfs pull`",
    ),
    "one file that is a pointer": ({"a.parquet": POINTER}, "a.parquet", "; .*a.parquet is a pointer of Git LFS"),
    "no rows": ({"a.parquet": [], "deep/b.parquet": []}, "", "; it has no rows"),
    "some rows": ({"a.parquet": [], "b.parquet": [1]}, "", ""),
    "a broken file": ({"a.parquet": b"PAR1", "b.parquet": []}, "", ""),
    "nothing": ({"notes.txt": b"x"}, "", ""),
    "HDF5 further down": ({"deep/a.hdf5": b"x"}, "", ""),
    "a file that is none": ({"a.csv": b"x"}, "a.csv", ""),
}


@pytest.mark.parametrize(("files", "name", "said"), SAID.values(), ids=SAID)
def test_what_a_place_holds_instead_of_a_dataset_is_named_with_what_to_do(files, name, said, tmp_path):
    for file, content in files.items():
        written(tmp_path / file, content)
    assert re.fullmatch(
        said.format(re.escape(str(tmp_path / name))) + (".*" if said else ""), advice_on(tmp_path / name)
    )


def test_a_folder_is_of_tensorflow_where_it_or_a_version_in_it_says_so(tmp_path):
    written(tmp_path / "a/b/features.json")
    assert not is_of_tensorflow(tmp_path) and is_of_tensorflow(tmp_path / "a") and is_of_tensorflow(tmp_path / "a/b")
