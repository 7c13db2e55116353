"""A prefix's keys and values with room behind them: whatever suffixes follow, each sees the prefix and itself."""

import pytest
import torch

from vlahub.modeling.stack_passes import PrefixCache

PREFIX = 3


@pytest.fixture
def prefix():
    return [torch.randn(2, 2, PREFIX, 4, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def suffix(length, seed, dtype=torch.float32):
    return [torch.randn(2, 2, length, 4, generator=torch.Generator().manual_seed(seed + i)).to(dtype) for i in (0, 1)]


@pytest.mark.parametrize("lengths", [(2, 3), (2, 2), (1, 5, 2), (4, 3, 4, 5)])
@torch.no_grad()
def test_suffixes_of_any_lengths_stand_behind_the_prefix(lengths, prefix):
    cache = PrefixCache(PREFIX)
    cache.append(*prefix)
    for number, length in enumerate(lengths):
        new = suffix(length, 10 * number)
        for found, kept, own in zip(cache.extended(0, *new), prefix, new, strict=True):
            assert torch.equal(found, torch.cat([kept, own], dim=2))


@torch.no_grad()
def test_a_suffix_of_another_dtype_has_the_prefix_in_its_own(prefix):
    cache = PrefixCache(PREFIX)
    cache.append(*prefix)
    for number, dtype in enumerate((torch.float32, torch.bfloat16, torch.float32)):
        new = suffix(2, 10 * number, dtype)
        for found, kept, own in zip(cache.extended(0, *new), prefix, new, strict=True):
            assert found.dtype == dtype and torch.equal(found[:, :, PREFIX:], own)
            torch.testing.assert_close(found[:, :, :PREFIX].float(), kept, rtol=1e-2, atol=1e-2)


@torch.no_grad()
def test_repeated_samples_leave_out_what_a_suffix_wrote(prefix):
    cache = PrefixCache(PREFIX, torch.tensor([[True] * 3, [False, True, True]]))
    cache.append(*prefix)
    cache.extended(0, *suffix(2, 10))
    wider = cache.repeated(2)
    assert wider.real.tolist() == [[True] * 3, [True] * 3, [False, True, True], [False, True, True]]
    for found, kept in zip(wider.layers[0], prefix, strict=True):
        assert torch.equal(found, kept.repeat_interleave(2, dim=0))
    assert cache.repeated(1) is cache


def test_with_gradients_the_prefix_stays_as_it_is(prefix):
    cache = PrefixCache(PREFIX)
    cache.append(*(tensor.requires_grad_() for tensor in prefix))
    first, second = (cache.extended(0, *suffix(2, seed))[0] for seed in (10, 20))
    assert cache.layers[0][0] is prefix[0] and not torch.equal(first, second)
    first.sum().backward()
    assert torch.equal(prefix[0].grad, torch.ones_like(prefix[0]))
