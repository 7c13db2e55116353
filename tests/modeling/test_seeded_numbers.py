"""Numbers of new tensors: the same in blocks of any size, and never the same twice."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from vlahub.modeling.seeded_numbers import PIECE, normal_numbers
from vlahub.modeling.vocabulary_rows import moments_of, new_rows

COUNT = 3 * PIECE + 5


@pytest.mark.parametrize("size", [1000 * 7, PIECE, PIECE + 1, 2 * PIECE])
def test_blocks_of_any_size_are_stretches_of_the_same_numbers(size):
    ends = [*range(0, COUNT, size), COUNT]
    blocks = [normal_numbers("a.weight", 3, 0.02, *pair) for pair in pairwise(ends)]
    assert np.array_equal(np.concatenate(blocks), normal_numbers("a.weight", 3, 0.02, 0, COUNT))


def test_no_piece_repeats_another_nor_another_name_or_seed():
    kinds = [("a.weight", 3), ("b.weight", 3), ("a.weight", 4)]
    pieces = [normal_numbers(*kind, 0.02, 0, COUNT)[: 3 * PIECE].reshape(3, PIECE) for kind in kinds]
    pieces = np.concatenate(pieces)
    alike = np.corrcoef(pieces) - np.eye(len(pieces))
    assert np.abs(alike).max() < 0.03
    np.testing.assert_allclose(pieces.std(axis=1), 0.02, rtol=0.02)
    np.testing.assert_allclose(pieces.mean(axis=1), 0, atol=5e-4)


def test_new_rows_of_a_vocabulary_are_the_same_in_blocks_and_differ_from_each_other():
    old = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7)
    moments = moments_of(old.split(16))
    whole = new_rows(moments, "embed_tokens.weight", 1, 0, 9)
    blocks = [new_rows(moments, "embed_tokens.weight", 1, *ends) for ends in ((0, 2), (2, 7), (7, 9))]
    assert torch.equal(torch.cat(blocks), whole)
    noise = whole - old.double().mean(dim=0)
    assert len(noise.unique(dim=0)) == 9
    share = noise / (1e-9**0.5 * old.double().std(dim=0, correction=0))
    assert 0.7 < share.std() < 1.3 and share.abs().max() < 4
