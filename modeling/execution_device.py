"""Where a model computes, which is not always where its weights lie."""

import torch
from torch import nn


def execution_device(model: nn.Module) -> torch.device:
    """The device of the first weights that are not offloaded, or of accelerate's hooks where all of them are.

    Weights on disk, or those that accelerate moves only while they are needed, are on "meta".
    """
    for parameter in model.parameters():
        if parameter.device.type != "meta":
            return parameter.device
    hooks = (getattr(module, "_hf_hook", None) for module in model.modules())
    found = (device for hook in hooks if (device := getattr(hook, "execution_device", None)) is not None)
    return torch.device(next(found, "meta"))
