"""Models of any size with random weights, made where they are used: nothing is drawn or cast on the way."""

from collections.abc import Callable

import torch
from accelerate import init_empty_weights
from torch import nn


def build(make: Callable[[], nn.Module], device: str, dtype: torch.dtype) -> nn.Module:
    """`make()` with its parameters on the device, in a dtype; buffers keep theirs, as where a checkpoint is loaded.

    Weights are normal with variance 1 / inputs, biases 0 and scales 1, so that activations stay of one size.
    """
    with init_empty_weights(include_buffers=False):
        model = make()
    generator = torch.Generator(device).manual_seed(0)
    made: dict[int, nn.Parameter] = {}  # a tied one is made once
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in made:
                    made[id(parameter)] = drawn(name, parameter, device, dtype, generator)
                module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return model.eval()


def drawn(name: str, like: nn.Parameter, device: str, dtype: torch.dtype, generator: torch.Generator) -> nn.Parameter:
    values = torch.empty(like.shape, device=device, dtype=dtype)
    if like.dim() > 1:
        values.normal_(std=like[0].numel() ** -0.5, generator=generator)
    else:
        values.fill_(0.0 if name.endswith("bias") else 1.0)
    return nn.Parameter(values, requires_grad=False)


def bytes_of(model: nn.Module, beginning: str = "") -> int:
    """Of all parameters whose names begin so."""
    found = {id(p): p.numel() * p.element_size() for name, p in model.named_parameters() if name.startswith(beginning)}
    return sum(found.values())
