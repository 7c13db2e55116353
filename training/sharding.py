"""Fully sharded training (FSDP2) in a loop of one's own; under `accelerate launch` a `Trainer` does this by itself."""

import os
from pathlib import Path

import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from transformers import PreTrainedModel

METHODS = ("predict_action", "sample_trajectories", "generate")


def shard_model(model: PreTrainedModel, mesh: DeviceMesh | None = None) -> PreTrainedModel:
    """Split the parameters over the processes, in place: each layer of `_no_split_modules` by itself, then the rest.

    The process group must be there; optimisers are made afterwards. `forward` and the methods that predict gather
    what they need.

    Args:
        mesh: of devices; default all processes.
    """
    for module in reversed(list(model.modules())):  # inner modules before those that hold them
        if type(module).__name__ in model._no_split_modules:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name in METHODS:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    return model


def save_sharded(model: PreTrainedModel, folder: str | os.PathLike) -> None:
    """Write one whole checkpoint of a sharded model, as `save_pretrained` does; all processes call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=options)
    if dist.get_rank() == 0:
        model.save_pretrained(Path(folder), state_dict=state)
    dist.barrier()
