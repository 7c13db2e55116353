"""Linear layers whose weights are stored as 8-bit integers, 8-bit floats or 4-bit integers, and how a model gets them.

A product is computed in the dtype of its input from the weight that the stored numbers stand for, which is made for the
product and dropped behind it. That runs on any device that torch knows, and nothing else has to be installed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..configuration.vla_errors import ConfigError
from ..configuration.weight_quantization import (
    GROUP_SIZES,
    check_weight_quantization,
    group_size_of,
    pattern_of,
)


def stored_shapes(kind: str, out_features: int, in_features: int) -> dict[str, tuple[tuple[int, int], torch.dtype]]:
    """`{name: (shape, dtype)}` of what is stored for one weight.

    8-bit floats (e4m3) are stored as bytes, so that no cast of a model changes them; of two 4-bit numbers in a byte the
    first is in the lower half.

    Raises:
        ConfigError: 4-bit groups do not divide the input features.
    """
    size = group_size_of(kind, in_features)
    if size is None:
        raise ConfigError(f"{in_features} input features are no multiple of {GROUP_SIZES[-1]}, as int4 needs.")
    groups = (out_features, in_features // size)
    if kind == "int4":
        packed = {"qweight": ((out_features, in_features // 2), torch.uint8)}
        return packed | {"weight_scale": (groups, torch.float32), "weight_zero_point": (groups, torch.uint8)}
    dtype = torch.int8 if kind == "int8" else torch.uint8
    return {"qweight": ((out_features, in_features), dtype), "weight_scale": (groups, torch.float32)}


def dequantised(
    kind: str, qweight: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor:
    """(out_features, in_features), the weight that stored numbers stand for: `(number - zero point) * scale`.

    scale: float32; products with it are rounded once.
    """
    if kind == "int4":
        numbers = torch.stack([qweight & 15, qweight >> 4], dim=-1)
    else:
        numbers = qweight.view(torch.float8_e4m3fn) if kind == "fp8" else qweight
    values = numbers.to(dtype).view(*scale.shape, -1)
    if zero_point is not None:
        values = values.sub_(zero_point[..., None])
    return values.mul_(scale[..., None]).view(len(scale), -1)


class QuantizedLinear(nn.Module):
    """In the place of an `nn.Linear`, whose bias it keeps; it does not train, and what is computed with it does.

    Its numbers are zero until a checkpoint fills them. `.to(dtype)` changes the bias only: products follow the dtype of
    their input.
    """

    def __init__(self, linear: nn.Linear, kind: str):
        super().__init__()
        self.kind = kind
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("weight_zero_point", None)
        for name, (shape, dtype) in stored_shapes(kind, linear.out_features, linear.in_features).items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype, device=linear.weight.device))
        self.bias = linear.bias

    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        """(out_features, in_features), the weight that the stored numbers stand for."""
        return dequantised(self.kind, self.qweight, self.weight_scale, self.weight_zero_point, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return F.linear(x, self.weight_as(x.dtype), self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, weight={self.kind}"

    def _apply(self, fn, recurse: bool = True):
        """As in torch, but scales stay float32."""
        scale = self.weight_scale
        super()._apply(fn, recurse)
        if self.weight_scale.dtype != scale.dtype:
            self.weight_scale = scale.to(self.weight_scale.device)
        return self


@contextmanager
def weights_that_are_there(model: nn.Module) -> Iterator[None]:
    """Each quantised layer with a `weight` that counts as loaded.

    transformers' `_init_weights` of a block writes weights of the layers in it, and asks each whether it is loaded.
    """
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    for layer in layers:
        weight = torch.empty(layer.out_features, layer.in_features, device="meta")
        weight._is_hf_initialized = True
        layer.__dict__["weight"] = weight
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["weight"]


def quantise_layers(model: nn.Module, settings: dict[str, Any]) -> None:
    """Put a `QuantizedLinear` in the place of each layer that the config's `weight_quantization` names.

    Raises:
        ConfigError: it is none, or names what is no linear layer of the model, or one that its kind cannot hold.
    """
    check_weight_quantization(settings)
    linears: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            linears.setdefault(pattern_of(name), []).append(name)
    for kind, patterns in settings["layers"].items():
        for pattern in patterns:
            if pattern not in linears:
                raise ConfigError(f"weight_quantization: {pattern!r} is no linear layer of a {type(model).__name__}.")
            for name in linears[pattern]:
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, QuantizedLinear(model.get_submodule(name), kind))


def is_quantised(model: nn.Module) -> bool:
    """Whether any layer of a model is one of these; also where its code came with a checkpoint."""
    return any(type(module).__name__ == QuantizedLinear.__name__ for module in model.modules())
