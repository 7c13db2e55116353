"""Fully sharded training (FSDP2) in a loop of one's own; under `accelerate launch` a `Trainer` does this by itself."""

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from transformers import PreTrainedModel

from ..configuration.vla_errors import InputError
from .finite_guard import check_finite_weights

METHODS = ("predict_action", "sample_trajectories", "generate", "generate_text")


def shard_model(model: PreTrainedModel, mesh: DeviceMesh | None = None) -> PreTrainedModel:
    """Split the parameters over the processes, in place: each layer of `_no_split_modules` by itself, then the rest.

    A layer whose class names `methods_with_weights`, which predictions call beside `forward`, gathers for these, too.

    The process group must be there; optimisers are made afterwards. `forward` and the methods that predict gather
    what they need: all processes call them, and those that write text with the same inputs, for one that ends
    earlier leaves the others waiting.

    Args:
        mesh: of devices; default all processes.
    """
    layers = layers_to_shard(model)
    for module in reversed(list(model.modules())):  # inner modules before those that hold them
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
            for name in getattr(module, "methods_with_weights", ()):
                gather_for(module, name)
    fully_shard(model, mesh=mesh)
    for name in METHODS:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    return model


def keep_inputs_whole(accelerator: Accelerator) -> None:
    """Where accelerate will shard with FSDP2 in bfloat16, leave float32 what goes into a model and comes out of it.

    Its policy would round the flow's times, noise and actions, and the loss. The models cast what meets their weights,
    and autocast, which accelerate adds, the rest.

    Raises:
        InputError: it is FSDP1 in lower precision, of which each layer rounds what goes into it.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    policy = getattr(plugin, "mixed_precision_policy", None)
    if policy is None:
        return
    if not accelerator.is_fsdp2:
        raise InputError(
            "FSDP1 in lower precision rounds times, noise, poses and actions; set fsdp_version: 2 in accelerate's "
            "config, or {'version': 2} in fsdp_config."
        )
    plugin.mixed_precision_policy = replace(policy, cast_forward_inputs=False, output_dtype=None)


def layers_to_shard(model: PreTrainedModel) -> list[str]:
    """The class names of `_no_split_modules` that the model has, also inside PEFT; accelerate refuses the others."""
    there = {type(module).__name__ for module in model.modules()}
    return sorted(there.intersection(model._no_split_modules))


def gather_for(layer: FSDPModule, name: str) -> None:
    """Give a method of a layer whole weights in predictions; in training `forward` alone reads them."""
    method = getattr(layer, name)

    @functools.wraps(method)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            return method(*args, **kwargs)
        layer.unshard()
        result = method(*args, **kwargs)
        layer.reshard()
        return result

    setattr(layer, name, gathered)


def save_sharded(model: PreTrainedModel, folder: str | os.PathLike) -> None:
    """Write one whole checkpoint of a sharded model, as `save_pretrained` does; all processes call it.

    Raises:
        NonFiniteError: weights are not finite; nothing was written.
    """
    check_finite_weights(model, "saving")
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=options)
    if dist.get_rank() == 0:
        model.save_pretrained(Path(folder), state_dict=tied_again(model, state))
    dist.barrier()


def tied_again(model: PreTrainedModel, gathered: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Gathered weights, of which those that the model ties are one tensor again: `save_pretrained` writes it once."""
    first: dict[int, str] = {}
    names = {name: first.setdefault(id(p), name) for name, p in model.named_parameters(remove_duplicate=False)}
    return {name: gathered[names.get(name, name)] for name in gathered}
