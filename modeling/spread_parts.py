"""Models whose parts lie on several devices (`device_map="auto"` where there is more than one card).

accelerate moves what goes into each part, and leaves what comes out of it where it is. Between parts the models mix
tensors: embeddings with image tokens, states of one model with noise of another's. So outputs go back to where the
inputs came from, and tensors that belong to no part, such as the positions of a tower that is split, lie there too.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

OFFLOADED = ("cpu", "disk", "meta")  # from where weights visit the device that computes


def bring_outputs_back(model: nn.Module) -> None:
    """Of a model that accelerate's hooks were attached to: its parts then answer where they were asked.

    A copy of a hidden state for each part that lies elsewhere, which transfers of a hidden state to the next part cost
    anyway; weights stay where they are.
    """
    places = getattr(model, "hf_device_map", None) or {}
    devices = [place for place in places.values() if str(place) not in OFFLOADED]
    hooks = list(hooks_of(model))
    if len(set(map(str, devices))) < 2 or not hooks:  # accelerate attaches none where FSDP or DeepSpeed shards
        return
    for hook in hooks:
        hook.io_same_device = True
    main = hooks[0].execution_device  # where the model's own inputs go
    for name in places:
        owner, _, own = name.rpartition(".")
        tensor = getattr(model.get_submodule(owner), own, None) if own else None
        if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
            tensor.data = tensor.data.to(main)


def hooks_of(model: nn.Module) -> Iterator[Any]:
    """Those of accelerate that move tensors, of the model itself and of its parts."""
    for module in model.modules():
        hook = getattr(module, "_hf_hook", None)
        yield from (each for each in getattr(hook, "hooks", (hook,)) if hasattr(each, "io_same_device"))
