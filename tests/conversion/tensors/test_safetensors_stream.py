"""Files written and read a block at a time are the library's files."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlahub.conversion.tensors.safetensors_stream import NAMES, SafetensorsReader, SafetensorsWriter, TensorInfo
from vlahub.conversion.tensors.tensor_source import PickleReader, open_checkpoint
from vlahub.errors import ConversionError


def some_tensors():
    torch.manual_seed(0)
    tensors = {str(dtype): torch.randint(0, 2, (3, 5)).to(dtype) for dtype in NAMES if dtype.itemsize > 1}
    return tensors | {"empty": torch.zeros(0, 4), "scalar": torch.tensor(2.5), "flags": torch.tensor([True, False])}


def test_the_library_reads_what_is_written(tmp_path):
    tensors = some_tensors()
    infos = {key: TensorInfo(tuple(value.shape), value.dtype) for key, value in tensors.items()}
    with SafetensorsWriter(tmp_path / "x.safetensors", infos) as writer:
        for key, value in tensors.items():
            writer.write(key, value)
    found = load_file(tmp_path / "x.safetensors")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in tensors.items())


def test_what_the_library_wrote_is_read_whole_and_by_rows(tmp_path):
    tensors = some_tensors()
    save_file(tensors, tmp_path / "x.safetensors")
    reader, buffer = SafetensorsReader(tmp_path / "x.safetensors"), torch.empty(10**4, dtype=torch.uint8)
    for key, value in tensors.items():
        assert torch.equal(reader.load(key), value)
        if value.dim() == 2 and len(value):
            assert torch.equal(reader.load(key, slice(1, 3), buffer), value[1:3])


def test_a_pickle_of_tensors_is_read_whole_and_by_rows(tmp_path):
    tensors = {"a": torch.randn(300, 40), "transposed": torch.randn(7, 9).t(), "half": torch.randn(4, 4).half()}
    torch.save(tensors, tmp_path / "x.pt")
    reader = PickleReader(tmp_path / "x.pt")
    for key, value in tensors.items():
        assert torch.equal(reader.load(key), value)
        assert torch.equal(reader.load(key, slice(1, 3)), value[1:3])
        assert torch.equal(reader.load(key), value), "pages that were given back are read again"


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.randn(100, 100)}, path)
    reader = SafetensorsReader(path)
    assert set(reader.infos) == {"a"}
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConversionError, match="ended while a was read"):
        reader.load("a")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ('{"weight_map": {"a": "../x.safetensors"}}', "does not lie beside it"),
        ('{"weight_map": {"a": "missing.safetensors"}}', "missing"),
        ('{"weight_map": {"b": "x.safetensors"}}', "does not hold it"),
        ('{"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}}', "appears twice"),
        ("{}", "not an index"),
        ("not json", "not an index"),
    ],
)
def test_an_index_that_is_not_valid_is_refused(tmp_path, index, message):
    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ConversionError, match=message):
        open_checkpoint(tmp_path, "base")


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    for name in ("x", "y"):
        save_file({"a": torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    save_file({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "y.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "x.safetensors", "b": "y.safetensors"}}'
    )
    with pytest.raises(ConversionError, match="both in"):
        open_checkpoint(tmp_path, "base")
