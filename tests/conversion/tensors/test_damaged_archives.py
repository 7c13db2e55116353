"""Files that torch would read although their bytes changed, and indexes that leave tensors out, are refused by name."""

import json
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch.serialization import set_crc32_options

from vlahub.conversion.tensors.tensor_source import PickleReader, open_checkpoint
from vlahub.errors import ConversionError


def write(path):
    torch.save({"a": torch.arange(2000.0), "b": torch.ones(3, 5, dtype=torch.bfloat16)}, path)


def flip(path, entry):
    """One bit within an entry of the archive."""
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith(entry))
    content = bytearray(path.read_bytes())
    start = (
        info.header_offset + 30 + int.from_bytes(content[info.header_offset + 26 : info.header_offset + 28], "little")
    )
    start += int.from_bytes(content[info.header_offset + 28 : info.header_offset + 30], "little")
    content[start + info.file_size // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("entry", ["data/0", "data/1", "data.pkl"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "head--1_checkpoint.pt"])
def test_a_flipped_bit_in_an_archive_is_refused_by_the_name_of_the_file(tmp_path, name, entry):
    write(tmp_path / name)
    assert PickleReader(tmp_path / name).load("a")[7] == 7
    flip(tmp_path / name, entry)
    with pytest.raises(ConversionError, match=name):
        _ = PickleReader(tmp_path / name).infos


@pytest.mark.parametrize("offset", [*range(0, 46, 2), *range(-98, 0)])
def test_damage_around_the_entries_is_refused_or_says_nothing(tmp_path, offset):
    """What stands before an entry repeats the directory, in part; names may be no text there. The end of the file says
    where the directory is, twice."""
    write(tmp_path / "x.pt")
    content = bytearray((tmp_path / "x.pt").read_bytes())
    content[offset] ^= 0xE0
    (tmp_path / "x.pt").write_bytes(content)
    try:
        found = PickleReader(tmp_path / "x.pt").load("a")
    except ConversionError as error:
        assert "x.pt" in str(error)
    else:
        assert torch.equal(found, torch.arange(2000.0))


def test_an_archive_without_checksums_is_read(tmp_path):
    set_crc32_options(False)
    try:
        write(tmp_path / "x.pt")
    finally:
        set_crc32_options(True)
    assert PickleReader(tmp_path / "x.pt").load("a")[7] == 7


def test_a_run_whose_side_file_changed_on_disk_is_refused(cogvla, tmp_path, capsys):
    run = cogvla.copied(tmp_path)
    path = next(run.run.glob("vision_backbone--*.pt"))
    flip(path, "data/3")
    assert run.merge(tmp_path / "out") == 1
    assert path.name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def sharded(folder, weight_map, **shards):
    for name, keys in shards.items():
        save_file({key: torch.ones(2) for key in keys}, folder / f"{name}.safetensors", {"format": "pt"})
    text = json.dumps({"weight_map": {key: f"{name}.safetensors" for key, name in weight_map.items()}})
    (folder / "model.safetensors.index.json").write_text(text)


def test_an_index_that_leaves_out_a_tensor_of_its_shards_is_refused_by_its_name(tmp_path):
    sharded(tmp_path, {"a": "one", "b": "two"}, one=["a", "c"], two=["b"])
    with pytest.raises(ConversionError, match=r"c \(one.safetensors\)"):
        open_checkpoint(tmp_path, "base")
    sharded(tmp_path, {"a": "one", "b": "two", "c": "one"}, one=["a", "c"], two=["b"])
    assert sorted(open_checkpoint(tmp_path, "base")) == ["a", "b", "c"]


@pytest.mark.parametrize("shard", [None, 5, ["x"], {}, "a" * 300, "\0", "missing"])
def test_an_index_whose_shards_are_no_names_is_refused(tmp_path, shard):
    text = json.dumps({"weight_map": {"a": shard}})
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ConversionError, match="index"):
        open_checkpoint(tmp_path, "base")


def test_an_index_without_tensors_is_refused(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(ConversionError, match="names no tensors"):
        open_checkpoint(tmp_path, "base")


def test_a_base_whose_index_leaves_out_a_tensor_is_refused(cogvla, tmp_path, capsys):
    run = cogvla.copied_with_base(tmp_path)
    path = run.base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    key = "language_model.model.norm.weight"
    del index["weight_map"][key]
    path.write_text(json.dumps(index))
    assert run.merge(tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert key in error and "leaves out" in error
