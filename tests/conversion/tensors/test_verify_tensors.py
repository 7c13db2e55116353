"""What verifying looks at: every number of every tensor, and not what a sum makes of them."""

import zlib

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.tensors import verify_tensors
from vlahub.conversion.tensors.plan import Plan, PlannedTensor, SourceTensor
from vlahub.conversion.tensors.safetensors_stream import TensorInfo
from vlahub.conversion.tensors.tensor_source import TensorFile
from vlahub.conversion.tensors.verify_tensors import (
    check_names,
    is_finite,
    opened,
    read_back,
    row_slices,
    verify_written,
)
from vlahub.errors import ConversionError

LARGEST = {dtype: torch.finfo(dtype).max for dtype in (torch.float16, torch.bfloat16, torch.float32)}


@pytest.mark.parametrize("dtype", LARGEST, ids=str)
def test_finite_numbers_are_finite_though_their_sum_is_not(dtype):
    large = torch.full((3, 4), LARGEST[dtype], dtype=dtype)
    assert not large.sum().isfinite() and is_finite(large)
    for wrong in (float("nan"), float("inf"), float("-inf")):
        large[1, 2] = wrong
        assert not is_finite(large)
        assert not is_finite(torch.tensor([float("inf"), float("-inf"), wrong], dtype=dtype))
    assert is_finite(torch.tensor([1, 2**62]))


@pytest.mark.parametrize("row", [0, 2, 4])
def test_a_number_that_is_not_finite_is_found_in_any_block_of_rows(row, tmp_path, monkeypatch):
    monkeypatch.setattr(verify_tensors, "READ_BYTES", 2 * 4 * 4)  # two rows
    tensors = {"a": torch.ones(5, 4), "b": torch.full((5, 4), LARGEST[torch.float32])}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    sums = read_back(opened(tmp_path), quiet=True)
    assert sums == {name: zlib.crc32(tensor.numpy().tobytes()) for name, tensor in tensors.items()}
    tensors["a"][row, 1] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConversionError, match="hold values that are not finite: a"):
        read_back(opened(tmp_path), quiet=True)


@pytest.mark.parametrize("rows", range(1, 8))
def test_blocks_are_all_of_the_rows_once(rows, monkeypatch):
    monkeypatch.setattr(verify_tensors, "READ_BYTES", 3 * 8)  # three rows
    places = [place for part in row_slices(TensorInfo((rows, 2), torch.float32)) for place in range(rows)[part]]
    assert places == list(range(rows))


def planned(folder, **tensors):
    """A plan whose output is the file that lies in the folder."""
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    source = TensorFile(folder / "model.safetensors", "run/model.safetensors")
    return Plan([PlannedTensor(name, info, SourceTensor(source, name)) for name, info in source.infos.items()])


def test_what_is_read_back_is_what_was_written(tmp_path):
    plan = planned(tmp_path, a=torch.ones(2, 3), b=torch.zeros(4))
    written = read_back(opened(tmp_path), quiet=True)
    verify_written(plan, tmp_path, written, quiet=True)
    for name in written:
        with pytest.raises(ConversionError, match=f"these tensors differ from what was written: {name}"):
            verify_written(plan, tmp_path, written | {name: written[name] ^ 1}, quiet=True)


def test_names_shapes_and_dtypes_are_those_that_were_planned(tmp_path):
    plan = planned(tmp_path, a=torch.ones(2, 3), b=torch.zeros(4))
    infos, group = {tensor.name: tensor.info for tensor in plan.tensors}, opened(tmp_path)
    check_names(infos, group, "here")
    for changed, message in (
        ({"a": infos["a"]}, "here: missing tensors: none; unknown tensors: b"),
        ({**infos, "c": infos["a"]}, "here: missing tensors: c; unknown tensors: none"),
        ({**infos, "a": TensorInfo((3, 2), torch.float32)}, "wrong shape or dtype: a is"),
        ({**infos, "b": TensorInfo((4,), torch.int32)}, "wrong shape or dtype: b is"),
    ):
        with pytest.raises(ConversionError, match=message):
            check_names(changed, group, "here")
