"""A Llama layer without gradients, in fewer and larger kernels than the stock one: one product for queries, keys and
values, one for gate and up, one rotation for queries and keys, one kernel for a norm.

Each part is run as transformers has it where that is not what its module does: with gradients or in training, under
LoRA, hooks (accelerate's among them), in a class derived from Llama's, or where weights do not lie side by side
(`fused_linears.py`). Numbers are those of the stock layer, up to rounding.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaMLP,
    LlamaRMSNorm,
    eager_attention_forward,
)

from .cache_names import cache_argument
from .fused_linears import is_unhooked, product_if_joined

LAYERS_CACHE = cache_argument(LlamaDecoderLayer.forward)
Rotary = tuple[torch.Tensor, torch.Tensor]


def is_stock(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether it does now what a plain module of its class does in a prediction."""
    return not torch.is_grad_enabled() and type(module) is kind and not module.training and is_unhooked(module)


def normed(norm: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """`norm(hidden_states)`, of a Llama's norm."""
    if not is_stock(norm, LlamaRMSNorm) or norm.weight.dtype != hidden_states.dtype:
        return norm(hidden_states)
    return F.rms_norm(hidden_states, norm.weight.shape, norm.weight, norm.variance_epsilon)


def attended(
    attention: nn.Module, hidden_states: torch.Tensor, mask: torch.Tensor, rotary: Rotary, **kwargs: Any
) -> torch.Tensor:
    """The output (batch, tokens, hidden_size) of a layer's attention.

    hidden_states: (batch, tokens, hidden_size), normed; kwargs: what else the stock one takes, a cache among it.
    """
    joint = None
    if is_stock(attention, LlamaAttention):
        joint = product_if_joined((attention.q_proj, attention.k_proj, attention.v_proj), hidden_states)
    if joint is None:
        named = {"attention_mask": mask, "position_embeddings": rotary, **kwargs}
        return attention(hidden_states=hidden_states, **named)[0]
    config, shape = attention.config, hidden_states.shape[:-1]
    heads = joint.view(*shape, -1, attention.head_dim).transpose(1, 2)
    queries, keys = config.num_attention_heads, config.num_key_value_heads
    query, key = rotated(heads[:, : queries + keys], rotary).split([queries, keys], dim=1)
    value, cache = heads[:, queries + keys :], kwargs.get(LAYERS_CACHE)
    if cache is not None:
        key, value = cache.update(key, value, attention.layer_idx)
    attend = ALL_ATTENTION_FUNCTIONS.get(config._attn_implementation, eager_attention_forward)
    mixed, _ = attend(attention, query, key, value, mask, dropout=0.0, scaling=attention.scaling)
    return attention.o_proj(mixed.reshape(*shape, -1))


def rotated(heads: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """heads: (batch, heads, tokens, size), each turned by its position; rotary: cosines and sines, (batch or 1, tokens,
    size)."""
    cosines, sines = (each.unsqueeze(1) for each in rotary)
    first, second = heads.chunk(2, dim=-1)
    return torch.addcmul(heads * cosines, torch.cat([-second, first], dim=-1), sines)


def gated(mlp: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """`mlp(hidden_states)`, of a Llama's gated MLP."""
    joint = product_if_joined((mlp.gate_proj, mlp.up_proj), hidden_states) if is_stock(mlp, LlamaMLP) else None
    if joint is None:
        return mlp(hidden_states)
    gate, up = joint.chunk(2, dim=-1)
    return mlp.down_proj(mlp.act_fn(gate) * up)


def decoder_layer(
    layer: LlamaDecoderLayer, hidden_states: torch.Tensor, mask: torch.Tensor, rotary: Rotary, **kwargs: Any
) -> torch.Tensor:
    """What a stock layer makes of (batch, tokens, hidden_size); all arguments as in `attended`."""
    states = normed(layer.input_layernorm, hidden_states)
    hidden_states = hidden_states + attended(layer.self_attn, states, mask, rotary, **kwargs)
    return hidden_states + gated(layer.mlp, normed(layer.post_attention_layernorm, hidden_states))


def projections_of(layer: LlamaDecoderLayer) -> list[list[nn.Module]]:
    """The linear layers that read one input, see `projections_to_fuse`."""
    attention, mlp = layer.self_attn, layer.mlp
    return [[attention.q_proj, attention.k_proj, attention.v_proj], [mlp.gate_proj, mlp.up_proj]]
