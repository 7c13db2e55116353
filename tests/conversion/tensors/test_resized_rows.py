"""Embeddings with new rows, read whole or in parts, give the same numbers; their moments are those of all old rows."""

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.tensors import resized_rows
from vlahub.conversion.tensors.resized_rows import ResizedRows
from vlahub.conversion.tensors.tensor_source import TensorFile

OLD, WIDTH = 11, 6


@pytest.fixture
def embeddings(tmp_path):
    torch.manual_seed(0)
    rows = torch.randn(OLD, WIDTH) * torch.arange(1, OLD + 1).unsqueeze(1)  # no block is like another
    save_file({"e": rows}, tmp_path / "x.safetensors")
    file = TensorFile(tmp_path / "x.safetensors", "x")
    return rows, lambda count: ResizedRows(file, "e", rows=count, name="embeddings", seed=3)


@pytest.mark.parametrize("count", [4, OLD, OLD + 1, OLD + 9])
def test_parts_are_those_of_the_whole(embeddings, count):
    rows, resized = embeddings
    whole = resized(count).load()
    assert whole.shape == (count, WIDTH) and torch.equal(whole[:OLD], rows[:count])
    for first in range(count):
        for last in range(first + 1, count + 1):
            assert torch.equal(resized(count).load(slice(first, last)), whole[first:last]), (first, last)


def test_new_rows_differ_and_lie_around_the_mean_of_all_old_ones(embeddings, monkeypatch):
    rows, resized = embeddings
    new = resized(OLD + 400).load()[OLD:].double()
    mean, deviation = rows.double().mean(dim=0), rows.double().std(dim=0, unbiased=False)
    assert len(new.unique(dim=0)) > 300
    torch.testing.assert_close(new.mean(dim=0), mean, rtol=1e-4, atol=1e-5)
    spread = (resized(OLD + 400).drawn(OLD, OLD + 400).double() - mean) / deviation
    assert spread.abs().max() < 1e-3
    monkeypatch.setattr(resized_rows, "BLOCK_BYTES", 3 * WIDTH * 4)  # three rows
    torch.testing.assert_close(resized(OLD + 400).load()[OLD:].double(), new, rtol=1e-6, atol=1e-6)
