"""Prefix and suffix in one piece, under any mask of the caller's: the general form of two passes (`stack_passes.py`).

In every pair of layers each stream has its own norms, projections and MLP; keys and values are common.
Upstream: 3dvla-starvla_framework, modeling_mapanything_llava3d_dev.py.
"""

import torch
from torch import nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

from ...configuration.vla_errors import InputError
from ..attention import attend
from ..decoder_layer_pass import Rotary
from ..stack_passes import checkpointed, run_prefix

HIDDEN = -30000.0  # of an additive mask: no key; float16 holds it, too


def run_jointly(
    base: nn.Module,
    expert: nn.Module,
    partners: list[int],
    streams: tuple[torch.Tensor, torch.Tensor],
    attention_mask: torch.Tensor,
    position_ids: torch.LongTensor | None,
) -> list[torch.Tensor]:
    """`[prefix_out, suffix_out]` after the final norms of two stacks, of which the expert's layers have partners.

    streams: prefix and suffix; attention_mask: additive, (batch, 1, length, length) of both together.
    """
    prefix, suffix = streams
    start, length = prefix.shape[1], prefix.shape[1] + suffix.shape[1]
    if attention_mask.shape[2:] != (length, length):
        raise InputError(f"attention_mask {tuple(attention_mask.shape)} must end in ({length}, {length}).")
    if position_ids is None:
        position_ids = torch.arange(length, device=prefix.device).expand(prefix.shape[0], -1)
    rotary = base.rotary_emb(prefix, position_ids)
    mask_alone, rotary_alone = attention_mask[:, :, :start, :start], tuple(part[:, :start] for part in rotary)
    mask_alone = fitted(mask_alone, prefix.dtype)
    expert_layers = dict(zip(partners, expert.layers, strict=True))
    for index, layer in enumerate(base.layers):
        if index in expert_layers:
            pair = layer, expert_layers[index]
            prefix, suffix = checkpointed(pair[1], joint_layer, pair, prefix, suffix, attention_mask, rotary)
        else:
            (prefix,) = run_prefix([layer], prefix, mask_alone, rotary_alone)
    return [base.norm(prefix), expert.norm(suffix)]


def suffix_rows(mask: torch.Tensor, suffix_len: int, prefix_len: int) -> torch.Tensor:
    """The suffix's part of a joint mask; a mask of these rows alone passes."""
    if mask.shape[2] < suffix_len or mask.shape[3] != prefix_len + suffix_len:
        raise InputError(
            f"attention_mask {tuple(mask.shape)} does not fit a prefix of {prefix_len} and a suffix of {suffix_len}."
        )
    return mask[:, :, -suffix_len:]


def fitted(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A caller's additive mask in another dtype; a row without any key, of padding, sees everything.

    What is hidden gets the lowest value that a score can be added to, for infinities make NaN of a row, and a lower one
    makes NaN of its gradient in cuDNN's attention.
    """
    if not mask.is_floating_point():
        raise InputError(f"a 4-D attention_mask is added to the scores and must be floating point, not {mask.dtype}.")
    hidden = mask < HIDDEN
    mask = mask.masked_fill(hidden.all(dim=-1, keepdim=True), 0)
    return mask.clamp(min=HIDDEN).to(dtype)


def joint_layer(
    layers: tuple[nn.Module, nn.Module],
    prefix: torch.Tensor,
    suffix: torch.Tensor,
    mask: torch.Tensor,
    rotary: Rotary,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pair of layers whose attention is common; without the dropout that a config may ask of attention weights."""
    streams = prefix, suffix
    projected = [projections(layer, stream) for layer, stream in zip(layers, streams, strict=True)]
    query, key, value = (torch.cat(parts, dim=2) for parts in zip(*projected, strict=True))
    query, key = apply_rotary_pos_emb(query, key, *rotary)
    attention = layers[0].self_attn
    groups = attention.num_key_value_groups
    implementation = attention.config._attn_implementation
    mask = fitted(mask, query.dtype)
    mixed = attend(query, repeat_kv(key, groups), repeat_kv(value, groups), mask, implementation)
    parts = mixed.transpose(1, 2).flatten(2).split([stream.shape[1] for stream in streams], dim=1)
    return tuple(after_attention(*args) for args in zip(layers, streams, parts, strict=True))


def projections(layer: nn.Module, hidden_states: torch.Tensor) -> list[torch.Tensor]:
    """Query, key and value of one stream, (batch, heads, tokens, head_dim)."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden_states)
    shape = (*normed.shape[:-1], -1, attention.head_dim)
    return [
        linear(normed).view(shape).transpose(1, 2) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]


def after_attention(layer: nn.Module, hidden_states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    hidden_states = hidden_states + layer.self_attn.o_proj(mixed.to(hidden_states.dtype))
    return hidden_states + layer.mlp(layer.post_attention_layernorm(hidden_states))
