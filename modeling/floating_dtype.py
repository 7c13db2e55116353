"""The dtype that a module computes in."""

import torch
from torch import nn


def floating_dtype(module: nn.Module) -> torch.dtype:
    """Of the first floating-point parameter: a quantised weight is whole numbers, and has no dtype to follow."""
    found = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    return next(found, torch.get_default_dtype())
