"""Attention over a prefix that samples share is attention over copies of it."""

import math

import pytest
import torch
import torch.nn.functional as F

from vlahub.modeling.shared_prefix_attention import prefix_bias, shared_prefix_attention

SIZES = {  # batch, samples, heads, key heads, tokens, prefix, room
    "one text, one token": (1, 1, 4, 2, 1, 7, 5),
    "samples of padded prompts": (3, 4, 6, 2, 1, 9, 4),
    "several tokens": (2, 3, 4, 4, 5, 6, 8),
    "one key head": (2, 2, 6, 1, 3, 4, 3),
}


def numbers(*shape, dtype=torch.float32):
    return torch.randn(*shape).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_it_is_attention_over_repeated_keys(sizes, dtype):
    batch, samples, heads, key_heads, tokens, prefix, room = sizes
    torch.manual_seed(0)
    rows, size, scaling = batch * samples, 8, 0.4
    queries = numbers(rows, tokens, heads, size, dtype=dtype).transpose(1, 2)  # as projections leave them
    shared = [numbers(batch, key_heads, prefix, size, dtype=dtype) for _ in range(2)]
    own = [numbers(rows, key_heads, room, size, dtype=dtype) for _ in range(2)]
    real = torch.arange(prefix) >= torch.arange(batch)[:, None]
    seen = torch.rand(batch, samples, tokens, room) < 0.5

    found = shared_prefix_attention(queries, shared, own, prefix_bias(real, seen), scaling)

    both = [torch.cat([s.repeat_interleave(samples, dim=0), o], dim=2) for s, o in zip(shared, own, strict=True)]
    keys, values = (each.repeat_interleave(heads // key_heads, dim=1) for each in both)
    mask = torch.cat([real.repeat_interleave(samples, dim=0)[:, None].expand(-1, tokens, -1), seen.flatten(0, 1)], -1)
    wanted = F.scaled_dot_product_attention(queries, keys, values, mask[:, None], scale=scaling)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted.transpose(1, 2).flatten(2), atol=tolerance, rtol=tolerance)


def test_one_mask_may_hold_for_all_rows_and_tokens():
    torch.manual_seed(0)
    queries = numbers(6, 4, 3, 8)
    shared, own = [numbers(2, 2, 5, 8)] * 2, [numbers(6, 2, 4, 8)] * 2
    real, seen = torch.ones(2, 5, dtype=torch.bool), torch.tensor([True, True, False, False])
    short, whole = (prefix_bias(real, seen.expand(*shape, 4)) for shape in ((1, 1, 1), (2, 3, 3)))
    assert short.numel() == 2 * 9
    found = shared_prefix_attention(queries, shared, own, short, 0.3)
    torch.testing.assert_close(found, shared_prefix_attention(queries, shared, own, whole, 0.3))


def test_scores_of_low_precision_are_weighed_in_float32():
    one = torch.ones(1, 1, 1, 1, dtype=torch.bfloat16)
    shared, own = ([one * each for each in pair] for pair in ((100, 0), (101, 1)))
    bias = prefix_bias(torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, 1, 1, dtype=torch.bool))
    found = shared_prefix_attention(one, shared, own, bias, 0.3)
    assert found.item() == pytest.approx(1 / (1 + math.exp(-0.3)), abs=4e-3)  # scores in bfloat16: 1 / (1 + exp(-0.25))


def test_no_key_is_copied():
    """What is allocated is smaller than the keys, however many samples there are."""
    shared, own = [numbers(1, 2, 4096, 64)] * 2, [numbers(8, 2, 4, 64)] * 2
    bias = prefix_bias(torch.ones(1, 4096, dtype=torch.bool), torch.ones(1, 1, 1, 4, dtype=torch.bool))
    with torch.profiler.profile(profile_memory=True) as profile:
        shared_prefix_attention(numbers(8, 4, 1, 64), shared, own, bias, 0.1)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < shared[0].nbytes
