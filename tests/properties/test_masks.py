"""Who may look at whom, against rules written down pair by pair, and attention against float64 arithmetic."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn import SEEDS, numbers, padding_masks
from hypothesis import given
from hypothesis import strategies as st
from transformers import Gemma3TextConfig, LlamaConfig

from vlahub.modeling.attention import attend
from vlahub.modeling.cogvla.action_sequence import find_action_block, left_padded, right_padded, with_action_block
from vlahub.modeling.cogvla.pruned_language_model import parallel_decoding_mask
from vlahub.modeling.decoder_layer_pass import grouped_attention
from vlahub.modeling.masking import additive, masked_mean, prefix_attention, suffix_attention
from vlahub.modeling.multimodal_vla.language_masks import causal_masks, encoder_mask
from vlahub.modeling.shared_prefix_attention import prefix_bias, shared_prefix_attention

IMPLEMENTATIONS = st.sampled_from(["sdpa", "eager"])


def seen(mask, rows):
    """A mask of either kind as bool, (batch, queries, keys)."""
    assert mask.shape[:2] == (rows, 1)
    if mask.dtype == torch.bool:
        return mask[:, 0].numpy()
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(mask.dtype).min}
    return (mask[:, 0] == 0).numpy()


@given(padding_masks(), st.booleans(), IMPLEMENTATIONS)
def test_a_prefix_sees_its_tokens_and_padding_sees_itself(real, causal, implementation):
    batch, length = real.shape
    mask, tokens, positions = prefix_attention(torch.zeros(batch, length, 4), real.long(), causal, implementation)
    found = seen(mask, batch)
    for row in range(batch):
        count = 0
        for query in range(length):
            for key in range(length):
                wanted = bool(real[row, key]) and (key <= query or not causal)
                assert found[row, query, key] == (wanted or key == query)
            count += int(real[row, query])
            assert positions[row, query] == max(count - 1, 0)
    assert torch.equal(tokens, real)


@given(st.integers(1, 3), st.integers(1, 6), IMPLEMENTATIONS)
def test_a_prefix_without_padding_is_one_with_a_mask_of_ones(batch, length, implementation):
    states = torch.zeros(batch, length, 4)
    for causal in (True, False):
        one = prefix_attention(states, None, causal, implementation)
        other = prefix_attention(states, torch.ones(batch, length), causal, implementation)
        assert torch.equal(one[2], other[2])
        missing = np.ones((batch, length, length), bool)
        assert np.array_equal(missing if one[0] is None else seen(one[0], batch), seen(other[0], batch))


@given(padding_masks(), st.booleans(), st.integers(1, 4), st.integers(1, 3), IMPLEMENTATIONS)
def test_a_suffix_sees_tokens_of_the_prefix_and_its_own_sample(real, padded, own, samples, implementation):
    batch, length = real.shape
    real = real if padded else torch.ones_like(real)
    suffix = torch.zeros(batch, own * samples, 4)
    mask, positions = suffix_attention(suffix, length, real if padded else None, implementation, samples)
    found = np.ones((batch, own * samples, length + own * samples), bool) if mask is None else seen(mask, batch)
    for row in range(batch):
        for query in range(own * samples):
            assert positions[row, query] == int(real[row].sum()) + query % own
            for key in range(length):
                assert found[row, query, key] == bool(real[row, key])
            for key in range(own * samples):
                assert found[row, query, length + key] == (query // own == key // own)


@given(padding_masks(least=4, most=10, side="right"), st.sampled_from(["causal", "block", "bidirectional"]), st.data())
def test_action_tokens_are_decoded_one_after_the_other_or_as_a_block(real, mode, data):
    batch, length = real.shape
    implementation, actions = data.draw(IMPLEMENTATIONS), data.draw(st.integers(1, 2))
    block = find_action_block(torch.zeros_like(real, dtype=torch.long), real, actions).is_block
    found = seen(parallel_decoding_mask(real, block, mode, torch.float32, implementation), batch)
    for row in range(batch):
        tokens = int(real[row].sum())
        of_block = range(tokens - actions - 1, tokens)  # actions and the stop token end the text
        assert block[row].nonzero().flatten().tolist() == list(of_block)
        for query in range(length):
            for key in range(length):
                together = mode == "block" and query in of_block and key in of_block
                wanted = key < tokens and (mode == "bidirectional" or key <= query or together)
                assert found[row, query, key] == wanted


@given(padding_masks(), st.integers(1, 5), SEEDS)
def test_an_action_block_stands_behind_each_text(real, actions, seed):
    """And padding of either side, or in between, is brought behind it with the order of the tokens kept."""
    ids = torch.from_numpy(np.random.default_rng(seed).integers(3, 99, real.shape))
    tokens, moved = right_padded(real, ids)
    _, to_the_left = left_padded(real, ids)
    sequence = with_action_block(moved, tokens, actions, stop_token_id=2)
    found = find_action_block(sequence.input_ids, sequence.real, actions)
    for row in range(len(real)):
        text = ids[row][real[row]].tolist()
        assert moved[row, : len(text)].tolist() == to_the_left[row, -len(text) :].tolist() == text
        assert sequence.input_ids[row].tolist()[: len(text)] == text
        assert sequence.input_ids[row].tolist()[len(text) :] == [2] * (real.shape[1] - len(text) + actions + 1)
        assert sequence.real[row].sum() == len(text) + actions + 1
        assert sequence.is_action[row].nonzero().flatten().tolist() == [len(text) + i for i in range(actions)]
        assert sequence.is_prompt[row].nonzero().flatten().tolist() == list(range(1, len(text)))
        assert sequence.predicting(actions)[row].tolist() == [len(text) - 1 + i for i in range(actions)]
    assert torch.equal(found.last_prompt, sequence.last_prompt)


@given(padding_masks(most=12), st.integers(1, 12), IMPLEMENTATIONS)
def test_windows_of_text_models_count_tokens(real, window, implementation):
    batch, length = real.shape
    kinds = ["sliding_attention", "full_attention"]
    config = Gemma3TextConfig(num_hidden_layers=2, layer_types=kinds, sliding_window=window)
    config._attn_implementation = implementation
    with torch.no_grad():
        made = causal_masks(config, real, torch.float32)
    masks = made if isinstance(made, dict) else dict.fromkeys(kinds, made)
    assert isinstance(made, dict) == (length >= window)
    for kind, mask in masks.items():
        found = seen(mask, batch)
        for row in range(batch):
            number = real[row].cumsum(dim=0).tolist()
            for query in range(length):
                for key in range(length):
                    near = kind == "full_attention" or number[query] - number[key] < window
                    wanted = (key <= query and bool(real[row, key]) and near) or key == query
                    if real[row, query] or not real[row, key]:  # what padding sees is nobody's business
                        assert found[row, query, key] == wanted, (kind, row, query, key)


@given(padding_masks(), IMPLEMENTATIONS)
def test_masks_of_one_kind_of_layers_and_of_encoders(real, implementation):
    config = LlamaConfig(num_hidden_layers=1)
    config._attn_implementation = implementation
    with torch.no_grad():
        decoder = seen(causal_masks(config, real, torch.float32), len(real))
        encoder = encoder_mask(
            SimpleNamespace(_attn_implementation=implementation, model_type="bert"), real, torch.float32
        )
    length = real.shape[1]
    own = np.eye(length, dtype=bool)
    everywhere = np.broadcast_to(real[:, None].numpy(), (len(real), length, length))
    assert np.array_equal(decoder, everywhere & np.tri(length, dtype=bool) | own)
    found = encoder.numpy() != 0 if encoder.dim() == 3 else seen(encoder, len(real))
    assert np.array_equal(found, everywhere | own)


def softmax_attention(query, key, value, allowed):
    """In numpy's float64, head by head; allowed: broadcastable to (batch, heads, queries, keys)."""
    query, key, value = (each.double().numpy() for each in (query, key, value))
    scores = np.einsum("bhqd,bhkd->bhqk", query, key) / np.sqrt(query.shape[-1])
    scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("bhqk,bhkd->bhqd", weights / weights.sum(axis=-1, keepdims=True), value)


@st.composite
def allowances(draw, batch, queries, keys):
    """(batch, queries, keys) bool; every query sees a key."""
    allowed = np.array(draw(st.lists(st.booleans(), min_size=batch * queries * keys, max_size=batch * queries * keys)))
    allowed = allowed.reshape(batch, queries, keys)
    allowed[..., draw(st.integers(0, keys - 1))] |= ~allowed.any(axis=-1)
    return torch.from_numpy(allowed)


@given(st.data(), SEEDS, st.sampled_from(["sdpa", "eager"]), st.sampled_from(["bool", "added"]))
def test_attention_is_the_weighted_mean_of_what_may_be_seen(data, seed, implementation, kind):
    batch, heads, queries, keys = (data.draw(st.integers(1, most)) for most in (2, 3, 4, 5))
    query = numbers(seed, batch, heads, queries, 8, scale=3)
    key, value = numbers(seed + 1, batch, heads, keys, 8), numbers(seed + 2, batch, heads, keys, 8)
    allowed = data.draw(allowances(batch, queries, keys))
    mask = allowed[:, None] if kind == "bool" else additive(allowed, torch.float32)
    found = attend(query, key, value, mask, implementation)
    wanted = softmax_attention(query, key, value, allowed[:, None].numpy())
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)


@given(st.data(), SEEDS)
def test_key_heads_that_queries_share_are_not_mixed_up(data, seed):
    batch, key_heads, groups, queries, keys = (data.draw(st.integers(1, most)) for most in (2, 3, 3, 4, 5))
    query = numbers(seed, batch, key_heads * groups, queries, 8)
    key, value = numbers(seed + 1, batch, key_heads, keys, 8), numbers(seed + 2, batch, key_heads, keys, 8)
    allowed = data.draw(allowances(batch, queries, keys))
    added = torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))[:, None]
    found = grouped_attention(query, key, value, added, 8**-0.5)
    each = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    np.testing.assert_allclose(found.numpy(), softmax_attention(query, *each, allowed[:, None].numpy()), atol=2e-5)


@given(st.data(), padding_masks(rows=2, most=5), SEEDS)
def test_samples_of_one_prompt_read_it_as_if_each_had_a_copy(data, real, seed):
    batch, length = real.shape
    samples, key_heads, groups, tokens, room = (data.draw(st.integers(1, most)) for most in (3, 2, 2, 3, 4))
    rows = batch * samples
    queries = numbers(seed, rows, key_heads * groups, tokens, 8)
    shared = tuple(numbers(seed + i, batch, key_heads, length, 8) for i in (1, 2))
    own = tuple(numbers(seed + i, rows, key_heads, room, 8) for i in (3, 4))
    looks = data.draw(allowances(rows, tokens, room))
    bias = prefix_bias(real, looks.view(batch, samples, tokens, room))
    found = shared_prefix_attention(queries, shared, own, bias, 8**-0.5)
    allowed = torch.cat([real.repeat_interleave(samples, dim=0)[:, None].expand(-1, tokens, -1), looks], dim=2)
    both = (
        torch.cat([one.repeat_interleave(samples, dim=0), other], dim=2).repeat_interleave(groups, dim=1)
        for one, other in zip(shared, own, strict=True)
    )
    wanted = softmax_attention(queries, *both, allowed[:, None].numpy()).transpose(0, 2, 1, 3).reshape(rows, tokens, -1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)


@given(padding_masks(), SEEDS)
def test_a_mean_over_tokens_leaves_out_padding(real, seed):
    states = numbers(seed, *real.shape, 3)
    found = masked_mean(states, real)
    wanted = [states[row][real[row]].double().mean(dim=0, keepdim=True).tolist() for row in range(len(real))]
    assert found.tolist() == pytest.approx(np.array(wanted), abs=1e-5)
