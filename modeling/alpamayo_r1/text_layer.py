"""A layer of Qwen3-VL's language model in its parts, so that attention may be over keys that lie anywhere.

The stock layer hands its keys to a cache and gets all of them back, one row for each text. Here the keys of a prompt
are shared by rows, and those of one layer stay where they are.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextDecoderLayer

from ..decoder_layer_pass import Rotary, is_called_as_it_is, rms_norm, rotated
from ..fused_linears import product_of

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def run_in_parts(layer: Qwen3VLTextDecoderLayer, states: torch.Tensor, rotary: Rotary, attend: Attend) -> torch.Tensor:
    """The states (rows, tokens, hidden_size) behind a layer that `can_run_in_parts`.

    rotary: of `turning`; attend: queries, keys and values of the tokens, (rows, heads, tokens, head_dim)
    and (rows, key heads, tokens, head_dim), to (rows, tokens, heads * head_dim).
    """
    attention, mlp = layer.self_attn, layer.mlp
    normed = rms_norm(layer.input_layernorm, states)
    projections = product_of((attention.q_proj, attention.k_proj, attention.v_proj), normed)
    queries, keys, values = (each.unflatten(-1, (-1, attention.head_dim)) for each in projections)
    queries, keys = rms_norm(attention.q_norm, queries), rms_norm(attention.k_norm, keys)
    queries, keys = rotated(queries, keys, *rotary)
    states = states + attention.o_proj(attend(queries, keys, values.transpose(1, 2)))
    gate, up = product_of((mlp.gate_proj, mlp.up_proj), rms_norm(layer.post_attention_layernorm, states))
    return states + mlp.down_proj(mlp.act_fn(gate) * up)


def turning(rotary: Rotary) -> Rotary:
    """Cosines, and sines with the sign of their first half turned, of those (rows, tokens, head_dim) of a decoder's
    `rotary_emb`: once for all layers."""
    first, second = rotary[1].chunk(2, dim=-1)
    return rotary[0], torch.cat([-first, second], dim=-1)


def can_run_in_parts(layer: nn.Module) -> bool:
    """Whether a call of the layer is no more than what its parts do: it is the stock one, nobody watches or wraps it,
    and it does not train.

    Its linear layers are called as they are, with their own hooks, LoRA or quantised.
    """
    is_stock = type(layer) is Qwen3VLTextDecoderLayer and not layer.training
    return is_stock and all(is_called_as_it_is(module) for module in (layer, layer.self_attn, layer.mlp))
