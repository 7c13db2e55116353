"""The matrix products inside a function, recorded once and replayed bare: a floor to hold its time against."""

from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
ATTENTION = ("_scaled_dot_product", "scaled_dot_product_attention")


class Recorder(TorchDispatchMode):
    """Collects the operand shapes of every matrix product, as pairs (left, right); attention is two of them."""

    def __init__(self):
        super().__init__()
        self.shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        packet = function.overloadpacket
        if packet in (aten.mm, aten.bmm):
            self.add(*arguments[:2])
        elif packet is aten.addmm:
            self.add(*arguments[1:3])
        elif packet is aten.convolution:
            self.add_patches(*arguments[:2])
        elif any(name in str(packet) for name in ATTENTION):
            query, key, value = arguments[:3]
            self.add(query, key.transpose(-1, -2))
            self.shapes.append(((*query.shape[:-1], key.shape[-2]), tuple(value.shape)))
        return function(*arguments, **(keywords or {}))

    def add(self, left: torch.Tensor, right: torch.Tensor) -> None:
        self.shapes.append((tuple(left.shape), tuple(right.shape)))

    def add_patches(self, pixels: torch.Tensor, weight: torch.Tensor) -> None:
        """A convolution without overlap is one product over the flattened patches."""
        size = weight[0].numel()
        self.shapes.append(((pixels.numel() // size, size), (size, weight.shape[0])))


def bare_products(function: Callable[[], object], device: str, dtype: torch.dtype) -> Callable[[], None]:
    """A function that does the matrix products of `function`, on operands of their own, and nothing else."""
    with Recorder() as recorder:
        function()
    operands = [make_operands(*shapes, device, dtype) for shapes in recorder.shapes]

    def replay() -> None:
        for left, right in operands:
            torch.matmul(left, right)

    return replay


def make_operands(left: tuple[int, ...], right: tuple[int, ...], device: str, dtype: torch.dtype):
    """Random operands; the right one transposed in memory, as weights and keys are."""
    swapped = torch.randn(*right[:-2], right[-1], right[-2], device=device, dtype=dtype)
    return torch.randn(left, device=device, dtype=dtype), swapped.transpose(-1, -2)
