"""Numbers for layers of lower precision, which are stored packed and have no formula of published keys."""

import torch

from vlahub.modeling.quantized_linear import QuantizedLinear

LARGEST = {"int8": 127, "fp8": 16, "int4": 8}  # of stored numbers, about


def fill(layer: QuantizedLinear, generator: torch.Generator) -> None:
    """Numbers that stand for weights of variance 1 / inputs or so."""
    shape = layer.qweight.shape
    if layer.kind == "fp8":
        layer.qweight.copy_((torch.randn(shape, generator=generator) * 8).to(torch.float8_e4m3fn).view(torch.uint8))
    else:
        low, high = (-127, 128) if layer.kind == "int8" else (0, 256)
        layer.qweight.copy_(torch.randint(low, high, shape, generator=generator))
    if layer.weight_zero_point is not None:
        layer.weight_zero_point.fill_(8)
    layer.weight_scale.fill_(layer.in_features**-0.5 / LARGEST[layer.kind])
