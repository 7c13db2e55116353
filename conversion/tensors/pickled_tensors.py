"""What may be in a `.pt` or `.bin` file: names of tensors that can be written as they are."""

from pathlib import Path
from typing import Any

import torch

from ...configuration.vla_errors import ConversionError
from .safetensors_stream import NAMES


def check_tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """The content of a file as names and tensors.

    Raises:
        ConversionError: it is not a flat mapping of names to tensors, or a tensor is not plain numbers in memory (it is
            sparse, quantised, nested, without storage, or larger than what the file holds for it).
    """
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ConversionError(f"{path} is not a flat mapping of names to tensors.")
    for name, tensor in content.items():
        if not isinstance(name, str):
            raise ConversionError(f"{path} has the key {name!r}, a {type(name).__name__}; names of tensors are text.")
        kind = odd_kind(tensor)
        if kind:
            raise ConversionError(f"{path}: {name} is {kind}, which cannot be converted; save it as a plain tensor.")
    return dict(content)


def odd_kind(tensor: torch.Tensor) -> str | None:
    """What makes a tensor more than numbers in memory, in words; `None` where nothing does."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_quantized:
        return f"a quantised tensor ({tensor.dtype})"
    if tensor.layout is not torch.strided:
        return f"a sparse tensor ({tensor.layout})"
    if tensor.device.type != "cpu":
        return f"a tensor without numbers (on the {tensor.device} device)"
    if tensor.dtype not in NAMES:
        return f"a tensor of {tensor.dtype}"
    if tensor.nbytes > tensor.untyped_storage().nbytes():
        return "a view that repeats its numbers"
    return None
