"""A decoder layer whose keys and values are read by another stack, under fully sharded training (FSDP2).

Its weights are gathered for the backward pass when a gradient arrives at its output. Nothing reads the last layer's
output where an expert attends to keys and values alone: they are tied to the output here, and so is their gradient.
"""

from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from .cache_names import CACHE_NAMES
from .model_watch import part_of_model


class TiedTogether(torch.autograd.Function):
    """Three tensors as they are; one gradient makes the hooks of all run, before any goes on."""

    @staticmethod
    def forward(ctx, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        return gradients


def tie_keys_and_values(layer: nn.Module) -> None:
    """Make a decoder layer's kept keys and values count among its outputs; without FSDP2 nothing changes.

    Several models may share the layer: it is tied once.
    """
    if tie_to_output not in layer._forward_hooks.values():
        layer.register_forward_hook(tie_to_output, prepend=True, with_kwargs=True)


@part_of_model
def tie_to_output(layer: nn.Module, arguments: tuple, named: dict[str, Any], output: Any) -> Any:
    """Forward hook; the cache is one of transformers or a `KeyValueCollector`."""
    cache = next((named[name] for name in CACHE_NAMES if name in named), None)
    if cache is None or not isinstance(layer, FSDPModule) or not torch.is_grad_enabled():
        return output
    kept = cache.layers[layer.self_attn.layer_idx] if hasattr(cache, "layers") else cache
    if not hasattr(kept, "keys"):  # a `KeyValueExtender` keeps none: they are read in this layer alone
        return output
    hidden_states = output[0] if isinstance(output, tuple) else output
    hidden_states, kept.keys, kept.values = TiedTogether.apply(hidden_states, kept.keys, kept.values)
    return (hidden_states, *output[1:]) if isinstance(output, tuple) else hidden_states
