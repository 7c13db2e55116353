"""A decoder layer of Llama or Mistral for predictions: the arithmetic of the stock layer in fewer kernels.

Queries, keys and values, and gate and up, are one product each where their weights lie side by side; the norm is
torch's own; queries and keys are rotated together; key heads that queries share are not repeated. Where a layer is not
the stock one, trains, is watched by hooks, or attends in another way than by sdpa, it runs as it is.
"""

from typing import Any, NamedTuple

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
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm

from .fused_linears import is_unhooked, product_if_joined, product_of
from .sharded_layer import tie_to_output

LAYERS = {
    LlamaDecoderLayer: (LlamaAttention, LlamaMLP),
    MistralDecoderLayer: (MistralAttention, MistralMLP),
}

Rotary = tuple[torch.Tensor, torch.Tensor]


class PassInputs(NamedTuple):
    """What all layers of a pass are given besides states; see `pass_inputs`.

    mask: (batch, 1, length, keys) as an attention takes it; rotary: cosines and sines, (batch, length, head_dim);
    turned: the sines with the sign of their first half turned, or `None`.
    """

    mask: torch.Tensor | None
    rotary: Rotary
    turned: torch.Tensor | None


def pass_inputs(mask: torch.Tensor | None, rotary: Rotary, hidden_states: torch.Tensor) -> PassInputs:
    """Without gradients, what layers would else each make for themselves: a bool mask, true where a query may look, as
    what is added to scores (see `masking.py` for why not with gradients), and the sines as `rotated` takes them."""
    if not without_gradients(hidden_states):
        return PassInputs(mask, rotary, None)
    if mask is not None and mask.dtype == torch.bool:
        mask = hidden_states.new_zeros(mask.shape).masked_fill(~mask, float("-inf"))
    first, second = rotary[1].chunk(2, dim=-1)
    return PassInputs(mask, rotary, torch.cat([-first, second], dim=-1))


def is_stock(layer: nn.Module, hidden_states: torch.Tensor) -> bool:
    """Whether `quick_layer` may take the layer's place in a pass over these states."""
    kinds = LAYERS.get(type(layer))
    if kinds is None or layer.training or not without_gradients(hidden_states):
        return False
    attention, mlp = layer.self_attn, layer.mlp
    if (type(attention), type(mlp)) != kinds or attention.config._attn_implementation != "sdpa":
        return False
    return all(is_called_as_it_is(module) for module in (layer, attention, mlp))


def without_gradients(hidden_states: torch.Tensor) -> bool:
    """Whether neither autograd nor autocast has a part in what is computed of the states."""
    if hidden_states.is_meta:  # which has no autocast to ask for
        return not torch.is_grad_enabled()
    return not (torch.is_grad_enabled() or torch.is_autocast_enabled(hidden_states.device.type))


def is_called_as_it_is(module: nn.Module) -> bool:
    """Whether nobody watches or wraps a module's call; what ties keys and values in training is idle here."""
    idle = all(hook is tie_to_output for hook in module._forward_hooks.values()) and not module._forward_pre_hooks
    return is_unhooked(module) or (idle and "forward" not in module.__dict__)


def quick_layer(layer: nn.Module, hidden_states: torch.Tensor, inputs: PassInputs, keys_values: Any) -> torch.Tensor:
    """The states (batch, length, hidden_size) behind a layer that `is_stock`.

    keys_values: its `update` takes the layer's keys and values and returns those to attend to.
    """
    attention, mlp = layer.self_attn, layer.mlp
    normed = rms_norm(layer.input_layernorm, hidden_states)
    query, key, value = heads_of(attention, normed, inputs)
    key, value = keys_values.update(key, value)
    mixed = grouped_attention(query, key, value, inputs.mask, attention.scaling)
    hidden_states = hidden_states + attention.o_proj(mixed.transpose(1, 2).flatten(2))
    normed = rms_norm(layer.post_attention_layernorm, hidden_states)
    gate, up = product_of((mlp.gate_proj, mlp.up_proj), normed)
    return hidden_states + mlp.down_proj(mlp.act_fn(gate) * up)


def rms_norm(norm: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """`norm(hidden_states)`, in one kernel where it is the stock one."""
    weight = norm._parameters.get("weight")
    is_plain = type(norm) in (LlamaRMSNorm, MistralRMSNorm, Qwen3VLTextRMSNorm) and type(weight) is nn.Parameter
    if not is_plain or weight.dtype != hidden_states.dtype or not is_called_as_it_is(norm):
        return norm(hidden_states)
    return F.rms_norm(hidden_states, weight.shape, weight, norm.variance_epsilon)


def heads_of(attention: nn.Module, normed: torch.Tensor, inputs: PassInputs) -> tuple[torch.Tensor, ...]:
    """Queries and keys, rotated by their positions, and values, (batch, heads, length, head_dim) each."""
    config, linears = attention.config, (attention.q_proj, attention.k_proj, attention.v_proj)
    joint = product_if_joined(linears, normed)
    joint = torch.cat([linear(normed) for linear in linears], dim=-1) if joint is None else joint
    queries, keys = config.num_attention_heads, config.num_key_value_heads
    heads, value = joint.unflatten(-1, (-1, attention.head_dim)).split([queries + keys, keys], dim=2)
    heads = rotated_heads(heads, inputs.rotary[0], inputs.turned)
    return *heads.split([queries, keys], dim=1), value.transpose(1, 2)


def rotated(
    query: torch.Tensor, key: torch.Tensor, cosine: torch.Tensor, turned: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `rotated_heads`, of queries and keys that are apart."""
    heads = rotated_heads(torch.cat([query, key], dim=2), cosine, turned)
    return heads.split([query.shape[2], key.shape[2]], dim=1)


def rotated_heads(heads: torch.Tensor, cosine: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """(batch, length, heads, head_dim), rotated by their positions, (batch, heads, length, head_dim).

    As transformers' `apply_rotary_pos_emb`, where the second half comes before the first with its sign turned: here
    that sign is in the sines.
    """
    swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads * cosine.unsqueeze(2), swapped, turned.unsqueeze(2)).transpose(1, 2)


def grouped_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """Attention of (batch, heads, length, head_dim) over (batch, key heads, keys, head_dim).

    Keys are not repeated for heads that share them: the queries of a group are rows of one matrix, which every kernel
    of torch's attention takes, also those that know no groups or none beside a mask.
    """
    groups, length = query.shape[1] // key.shape[1], query.shape[2]
    if groups > 1:
        query = query.unflatten(1, (-1, groups)).flatten(2, 3)
        mask = None if mask is None else mask.repeat(1, 1, groups, 1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return mixed if groups == 1 else mixed.unflatten(2, (groups, length)).flatten(1, 2)
