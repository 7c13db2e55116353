"""What is written is whole, however little a disk takes at a time, and what it refuses is an error, whichever block it
was; checksums, hashes and errors are of all that was written."""

import errno
import fcntl
import os
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.tensors import computation, direct_file, quantisation
from vlahub.conversion.tensors.direct_file import DirectFile
from vlahub.conversion.tensors.plan import Plan, PlannedTensor, SourceTensor
from vlahub.conversion.tensors.safetensors_stream import SafetensorsWriter
from vlahub.conversion.tensors.tensor_source import TensorFile
from vlahub.conversion.tensors.weight_writer import NUM_BUFFERS, write_weights
from vlahub.errors import ConversionError

OF_TORCHAO = (
    *("MappingType", "choose_qparams_affine", "quantize_affine"),
    *("_choose_scale_float8", "_quantize_affine_float8"),
)
COUNT = 2 * NUM_BUFFERS + 1  # more tensors than buffers: each buffer is used again


@pytest.fixture
def plan(tmp_path):
    tensors = {f"tensor{i}": torch.full((8, 8), float(i)) for i in range(COUNT)}
    save_file(tensors, tmp_path / "source.safetensors")
    file = TensorFile(tmp_path / "source.safetensors", "source")
    sources = [SourceTensor(file, key) for key in sorted(tensors)]
    return Plan([PlannedTensor(source.key, source.info, source) for source in sources])


@pytest.mark.parametrize("number", [0, 1, COUNT - 2, COUNT - 1])
def test_a_block_that_cannot_be_written_is_an_error_whichever_it_is(plan, tmp_path, monkeypatch, number):
    write, written = SafetensorsWriter.write, []

    def full(self, key, tensor):
        if len(written) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(key)
        write(self, key, tensor)

    monkeypatch.setattr(SafetensorsWriter, "write", full)
    (tmp_path / "output").mkdir()
    with pytest.raises(OSError, match="No space left"):
        write_weights(plan, tmp_path / "output", 10**9, quiet=True)


@pytest.mark.parametrize("max_shard_bytes", [10**9, 600])
def test_checksums_and_hashes_are_of_all_shards(plan, tmp_path, max_shard_bytes):
    (tmp_path / "output").mkdir()
    written = write_weights(plan, tmp_path / "output", max_shard_bytes, quiet=True)
    assert set(written.checksums) == {tensor.name for tensor in plan.tensors}
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "output").glob("*.safetensors")}
    assert {name: entry["bytes"] for name, entry in written.files.items()} == sizes
    count = len(plan.shards(max_shard_bytes))
    shards = [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
    assert sorted(sizes) == (["model.safetensors"] if max_shard_bytes == 10**9 else shards)


def test_errors_are_of_every_quantised_weight_and_of_all_its_rows(tmp_path, monkeypatch):
    """Whatever its shard, and into how many blocks it is cut."""
    pytest.importorskip("torchao")
    torch.manual_seed(0)
    rows = torch.tensor([0.1] * 16 + [10.0] * 16)[:, None]  # the error of a block is not that of another
    weights = {f"{name}.weight": torch.randn(32, 32) * rows for name in "abc"}
    save_file(weights, tmp_path / "source.safetensors")
    file = TensorFile(tmp_path / "source.safetensors", "source")
    sources = [SourceTensor(file, key) for key in weights]
    planned = [PlannedTensor(source.key, source.info, source) for source in sources]
    plan = Plan([part for tensor in planned for part in tensor.quantised("int8")])
    found = []
    for number, (elements, max_shard_bytes) in enumerate([(2**20, 10**9), (256, 1200)]):
        monkeypatch.setattr(computation, "BLOCK_ELEMENTS", elements)
        (folder := tmp_path / str(number)).mkdir()
        found.append(write_weights(plan, folder, max_shard_bytes, quiet=True).errors)
    assert len(list(folder.glob("*.safetensors"))) == len(weights)
    assert found[1] == pytest.approx(found[0])
    assert set(found[0]) == {f"{name}.qweight" for name in "abc"} and all(
        0 < error < 0.02 for error in found[0].values()
    )


# ---- files past the page cache


def written_by(path, *parts):
    file = DirectFile(path)
    for part in parts:
        file.write(part)
    file.close()
    return path.read_bytes()


@pytest.mark.every_case
@pytest.mark.parametrize("name", OF_TORCHAO)
def test_a_torchao_without_what_is_used_of_it_is_named(name, monkeypatch):
    there = {each: None for each in OF_TORCHAO if each != name}
    monkeypatch.setattr(quantisation, "import_module", lambda _: SimpleNamespace(**there))
    with pytest.raises(ConversionError, match=f"this release of torchao has no {name};"):
        quantisation.torchao_primitives()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 3 * 4096, 10_000])
def test_a_file_holds_all_that_was_handed_over(tmp_path, monkeypatch, size):
    monkeypatch.setattr(direct_file, "BUFFER_BYTES", 2 * 4096)
    content = os.urandom(size)
    assert written_by(tmp_path / "x", content[:5000], content[5000:]) == content


def test_a_system_that_takes_less_than_it_is_given_is_given_the_rest(tmp_path, monkeypatch):
    """As Linux does beyond 2 GB, and some network disks do always."""
    write = os.write
    monkeypatch.setattr(direct_file, "BUFFER_BYTES", 4 * 4096)
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:4096]))
    content = os.urandom(50_000)
    assert written_by(tmp_path / "x", content) == content


def test_a_disk_without_direct_writing_gets_an_ordinary_file(tmp_path, monkeypatch):
    write = os.write

    def refusing(descriptor, content):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & direct_file.DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", refusing)
    content = os.urandom(20_000)
    assert written_by(tmp_path / "x", content) == content


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    def full(descriptor, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        written_by(tmp_path / "x", b"some bytes")
