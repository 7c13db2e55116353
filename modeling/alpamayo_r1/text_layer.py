"""A layer of Qwen3-VL's language model in its parts, so that attention may be over keys that lie anywhere.

The stock layer hands its keys to a cache and gets all of them back, one row for each text. Here the keys of a prompt
are shared by rows, and those of one layer stay where they are.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextDecoderLayer,
    Qwen3VLTextRMSNorm,
    apply_rotary_pos_emb,
)

from ..sharded_layer import tie_to_output
from ..stack_passes import Rotary

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def run_in_parts(layer: Qwen3VLTextDecoderLayer, states: torch.Tensor, rotary: Rotary, attend: Attend) -> torch.Tensor:
    """The states (rows, tokens, hidden_size) behind a layer that `can_run_in_parts`.

    rotary: of the tokens' positions; attend: queries, keys and values of the tokens, (rows, heads, tokens, head_dim)
    and (rows, key heads, tokens, head_dim), to (rows, tokens, heads * head_dim).
    """
    attention, mlp = layer.self_attn, layer.mlp
    normed = normalised(layer.input_layernorm, states)
    shape = *normed.shape[:-1], -1, attention.head_dim
    queries, keys, values = (
        product(normed).view(shape) for product in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    queries, keys = normalised(attention.q_norm, queries), normalised(attention.k_norm, keys)
    queries, keys = apply_rotary_pos_emb(queries.transpose(1, 2), keys.transpose(1, 2), *rotary)
    states = states + attention.o_proj(attend(queries, keys, values.transpose(1, 2)))
    normed = normalised(layer.post_attention_layernorm, states)
    gate, up = mlp.gate_proj(normed), mlp.up_proj(normed)
    return states + mlp.down_proj(mlp.act_fn(gate) * up)


def normalised(norm: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """`norm(states)`, as one kernel where it is Qwen3-VL's own; in half precision rounded once, and not twice."""
    if type(norm) is not Qwen3VLTextRMSNorm or is_hooked(norm) or norm.weight.dtype != states.dtype:
        return norm(states)
    return F.rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)


def can_run_in_parts(layer: nn.Module) -> bool:
    """Whether a call of the layer is no more than what its parts do: it is the stock one, and nothing is hooked to it.

    Its linear layers are called as they are, with their own hooks, LoRA or quantised.
    """
    is_stock = type(layer) is Qwen3VLTextDecoderLayer
    return is_stock and not any(is_hooked(module) for module in (layer, layer.self_attn, layer.mlp))


def is_hooked(module: nn.Module) -> bool:
    """Whether more than `forward` of its class runs when a module is called; what only trains does not count."""
    hooks = [hook for hook in module._forward_hooks.values() if hook is not tie_to_output]
    return bool(hooks or module._forward_pre_hooks) or "forward" in module.__dict__  # accelerate's hooks are there
