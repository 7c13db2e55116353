"""The attention arithmetic that parts share: both implementations against one query and one head at a time."""

import pytest
import torch

from vlahub.modeling.attention import attend

IMPLEMENTATIONS = ["sdpa", "eager"]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slowly(query, key, value, scores_of=lambda scores, *_: scores):
    """Query by query; `scores_of(scores, batch, head, token)` masks the scores of one query."""
    mixed = torch.zeros_like(query)
    for batch, head, token in torch.cartesian_prod(*map(torch.arange, query.shape[:3])).tolist():
        scores = torch.stack([query[batch, head, token] @ k for k in key[batch, head]]) / query.shape[-1] ** 0.5
        mixed[batch, head, token] = scores_of(scores, batch, head, token).softmax(dim=0) @ value[batch, head]
    return mixed


@pytest.fixture
def heads():
    """Two samples, three heads of width 4; 5 queries over 7 keys."""
    return drawn(2, 3, 5, 4), drawn(2, 3, 7, 4, seed=1), drawn(2, 3, 7, 4, seed=2)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_every_query_mixes_the_values_by_its_softmax(implementation, heads):
    torch.testing.assert_close(attend(*heads, implementation=implementation), slowly(*heads))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_bool_mask_shows_the_keys_that_are_true(implementation, heads):
    mask = drawn(2, 1, 5, 7, seed=3) > 0
    mask[..., 0] = True
    expected = slowly(*heads, lambda scores, batch, _, token: scores.masked_fill(~mask[batch, 0, token], -1e30))
    torch.testing.assert_close(attend(*heads, mask, implementation), expected)
    assert not torch.allclose(expected, slowly(*heads), atol=0.1)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_float_mask_is_added_to_the_scaled_scores(implementation, heads):
    mask = drawn(2, 3, 5, 7, seed=3)
    expected = slowly(*heads, lambda scores, batch, head, token: scores + mask[batch, head, token])
    torch.testing.assert_close(attend(*heads, mask, implementation), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half_precision(dtype, implementation, heads):
    mixed = attend(*(x.to(dtype) for x in heads), implementation=implementation)
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed.float(), attend(*heads), atol=0.03, rtol=0.03)


def test_the_softmax_of_attention_that_is_written_out_is_float32(heads, monkeypatch):
    made, plain = [], torch.Tensor.softmax
    monkeypatch.setattr(
        torch.Tensor, "softmax", lambda *given, **named: made.append(plain(*given, **named)) or made[-1]
    )
    attend(*(x.bfloat16() for x in heads), implementation="eager")
    assert [weights.dtype for weights in made] == [torch.float32]
