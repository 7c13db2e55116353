"""A decoder layer of Llama or Mistral for predictions: the arithmetic of the stock layer in less than half the kernels.

Queries, keys and values, and gate and up, are one product each where their weights lie side by side (`fused_linears.py`);
the norm is torch's own; queries and keys are rotated together; key heads that queries share are not repeated. Where a
layer is not the stock one, trains, is watched by hooks, or attends in another way than by sdpa, it runs as it is.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer, LlamaMLP, LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import (
    MistralAttention,
    MistralDecoderLayer,
    MistralMLP,
    MistralRMSNorm,
)

from .fused_linears import product_of
from .sharded_layer import tie_to_output

LAYERS = {
    LlamaDecoderLayer: (LlamaAttention, LlamaMLP, LlamaRMSNorm),
    MistralDecoderLayer: (MistralAttention, MistralMLP, MistralRMSNorm),
}

Rotary = tuple[torch.Tensor, torch.Tensor]


def is_stock(layer: nn.Module, mask: torch.Tensor | None) -> bool:
    """Whether `quick_layer` may take the layer's place in a pass under this mask."""
    kinds = LAYERS.get(type(layer))
    if kinds is None or layer.training or torch.is_grad_enabled():
        return False
    attention, mlp = layer.self_attn, layer.mlp
    if (type(attention), type(mlp)) != kinds[:2] or attention.config._attn_implementation != "sdpa":
        return False
    bool_or_none = mask is None or mask.dtype == torch.bool
    return bool_or_none and all(is_called_as_it_is(module) for module in (layer, attention, mlp))


def is_called_as_it_is(module: nn.Module) -> bool:
    """Whether nobody watches or wraps a module's call; what ties keys and values in training is idle here."""
    watched = any(hook is not tie_to_output for hook in module._forward_hooks.values())
    return not (watched or module._forward_pre_hooks or "forward" in module.__dict__)


def quick_layer(
    layer: nn.Module, hidden_states: torch.Tensor, mask: torch.Tensor | None, rotary: Rotary, keys_values: Any
) -> torch.Tensor:
    """The states (batch, length, hidden_size) behind a layer that `is_stock`.

    mask: (batch, 1, length, keys), true where a query may look; `None`: everywhere. rotary: cosines and sines, (batch,
    length, head_dim). keys_values: its `update` takes the layer's keys and values and returns those to attend to.
    """
    attention, mlp = layer.self_attn, layer.mlp
    normed = rms_norm(layer.input_layernorm, hidden_states)
    projections = product_of((attention.q_proj, attention.k_proj, attention.v_proj), normed)
    query, key, value = (each.unflatten(-1, (-1, attention.head_dim)) for each in projections)
    query, key = rotated(query, key, *rotary)
    key, value = keys_values.update(key, value.transpose(1, 2))
    mixed = grouped_attention(query, key, value, mask, attention.scaling)
    hidden_states = hidden_states + attention.o_proj(mixed.transpose(1, 2).flatten(2))
    normed = rms_norm(layer.post_attention_layernorm, hidden_states)
    gate, up = product_of((mlp.gate_proj, mlp.up_proj), normed)
    return hidden_states + mlp.down_proj(mlp.act_fn(gate) * up)


def rms_norm(norm: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """`norm(hidden_states)`, in one kernel where it is the stock one."""
    weight = norm._parameters.get("weight")
    is_plain = type(norm) in (LlamaRMSNorm, MistralRMSNorm) and type(weight) is nn.Parameter
    if not is_plain or weight.dtype != hidden_states.dtype or not is_called_as_it_is(norm):
        return norm(hidden_states)
    return F.rms_norm(hidden_states, weight.shape, weight, norm.variance_epsilon)


def rotated(
    query: torch.Tensor, key: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys (batch, length, heads, head_dim), rotated by their positions, (batch, heads, length, head_dim).

    As transformers' `apply_rotary_pos_emb`: the second half, its sign turned, comes before the first.
    """
    half = sine.shape[-1] // 2
    turned = torch.cat([-sine[..., :half], sine[..., half:]], dim=-1).unsqueeze(2)
    both = torch.cat([query, key], dim=2)
    both = torch.addcmul(both * cosine.unsqueeze(2), both.roll(half, dims=-1), turned)
    return both.transpose(1, 2).split([query.shape[2], key.shape[2]], dim=1)


def grouped_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """Attention of (batch, heads, length, head_dim) over (batch, key heads, keys, head_dim), not repeated for heads that
    share keys: the queries of a group are rows of one matrix, which every kernel of torch's attention takes."""
    groups, length = query.shape[1] // key.shape[1], query.shape[2]
    if groups > 1:
        query = query.unflatten(1, (-1, groups)).flatten(2, 3)
        mask = None if mask is None else mask.repeat(1, 1, groups, 1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return mixed if groups == 1 else mixed.unflatten(2, (groups, length)).flatten(1, 2)
