"""The numbers that are stored for a weight of lower precision, and how far they are from it.

The arithmetic is torchao's. What is stored are plain tensors, see modeling/quantized_linear.py,
so that only making them needs torchao.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_quantization import group_size_of
from ...modeling.quantized_linear import dequantised

SMALLEST_SCALE = torch.finfo(torch.float32).tiny  # torchao's own is too large for weights near 1e-5
INT8_RANGE, INT4_RANGE = (-127, 127), (0, 15)


# Of torchao's module; those of 8-bit floats are private there.
USED = ("MappingType", "choose_qparams_affine", "quantize_affine", "_choose_scale_float8", "_quantize_affine_float8")


def torchao_primitives() -> ModuleType:
    """Raises ConversionError: torchao is not installed, does not work here, or is a release without what is used."""
    try:
        module = import_module("torchao.quantization.quant_primitives")
    except ImportError as error:
        raise ConversionError(
            f"--quantize computes with torchao, which cannot be used here ({error}): pip install 'vlahub[quant]'. "
            "Loading what it writes needs no torchao."
        ) from error
    if missing := [name for name in USED if not hasattr(module, name)]:
        raise ConversionError(
            f"--quantize: this release of torchao has no {', '.join(missing)}; pip install 'vlahub[quant]' brings one "
            "that has."
        )
    return module


def quantise(weight: torch.Tensor, kind: str) -> dict[str, torch.Tensor]:
    """What is stored for rows of a weight, by the names of `stored_shapes`.

    Args:
        weight: (rows, in_features).
        kind: of `QUANTIZED_KINDS`. `int8`: symmetric, a scale for each row. `fp8`: e4m3, a scale for each row. `int4`:
            a scale and a zero point for each group of a row.
    """
    torchao = torchao_primitives()
    weight = weight.float()
    block = (1, group_size_of(kind, weight.shape[1]))
    if kind == "fp8":
        scale = torchao._choose_scale_float8(weight, block, hp_value_lb=SMALLEST_SCALE * 2**10)
        numbers = torchao._quantize_affine_float8(weight, scale, torch.float8_e4m3fn)
        return {"qweight": numbers.view(torch.uint8), "weight_scale": scale.view(len(weight), -1)}
    way = torchao.MappingType.SYMMETRIC if kind == "int8" else torchao.MappingType.ASYMMETRIC
    dtype, limits = (torch.int8, INT8_RANGE) if kind == "int8" else (torch.uint8, INT4_RANGE)
    scale, zero = torchao.choose_qparams_affine(weight, way, block, dtype, *limits, SMALLEST_SCALE, torch.float32)
    numbers = torchao.quantize_affine(weight, block, scale, zero, dtype, *limits)
    stored = {"qweight": numbers, "weight_scale": scale.view(len(weight), -1)}
    if kind == "int8":
        return stored
    packed = numbers[:, 0::2] | numbers[:, 1::2] << 4
    return stored | {"qweight": packed, "weight_zero_point": zero.to(torch.uint8).view(len(weight), -1)}


@dataclass
class QuantisationError:
    """How far stored numbers are from a weight, summed up over its rows."""

    squared: float = 0.0
    of_weight: float = 0.0

    def add(self, weight: torch.Tensor, kind: str, stored: dict[str, torch.Tensor]) -> None:
        """Some more rows; stored: what `quantise` made of them."""
        weight = weight.float()
        numbers, scale, zero_point = (stored.get(name) for name in ("qweight", "weight_scale", "weight_zero_point"))
        difference = dequantised(kind, numbers, scale, zero_point, torch.float32) - weight
        self.squared += float(difference.square().sum(dtype=torch.float64))
        self.of_weight += float(weight.square().sum(dtype=torch.float64))

    @property
    def relative(self) -> float:
        """Norm of the difference over that of the weight; 0 for a weight of zeros."""
        return (self.squared / self.of_weight) ** 0.5 if self.of_weight else 0.0
