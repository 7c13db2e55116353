"""Several linear layers that read the same input, as one matrix product: queries, keys and values, gate and up, FiLM.

Their weights are laid side by side in one memory and stay parameters of their own, under their own names: each is a
view of its rows. Whether they lie so is looked at by their addresses, in every product, so that weights that were
moved, replaced, sharded, quantised or wrapped (LoRA) since then are multiplied one by one: there is no second copy.
"""

import zlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

# A checkpoint's own code may be loaded beside vlahub, and that of two beside each other: each has its own operator.
OPERATOR = f"vlahub_{zlib.crc32(__name__.encode()):08x}::joint_product"
SCHEMA = "(Tensor x, Tensor[] weights, Tensor[] biases) -> Tensor"  # torch 2.6 infers none from `list[Tensor]`


def lay_side_by_side(linears: Sequence[nn.Linear]) -> None:
    """Move the weights of linear layers into one memory, one behind the other, and so their biases.

    Parameters stay what they are, with their names, values and owners, and the memory that they had is free. Nothing is
    done where a layer is no plain `nn.Linear` of floating weights (wrapped, quantised, sharded, offloaded, hooked),
    where two share a weight, or where sizes of input, dtypes or devices differ, or only some have a bias.
    """
    if not can_be_joined(linears):
        return
    for name in ("weight", "bias"):
        parameters = [getattr(linear, name) for linear in linears]
        if parameters[0] is not None and not lie_side_by_side(parameters):
            move_together(parameters)
    for linear in linears:
        linear.laid_side_by_side = True  # a hint for compiled products, which cannot look at addresses while traced


def product_of(linears: Sequence[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`tuple(linear(x) for linear in linears)`, as one product where their weights lie side by side.

    x: (..., size of input); the products are views of one tensor then. With gradients, and in training mode (where
    parts run without gradients, to run again with them), they are computed one by one.
    """
    joint = product_if_joined(linears, x)
    if joint is None:
        return tuple(linear(x) for linear in linears)
    return joint.split([linear.out_features for linear in linears], dim=-1)


def product_if_joined(linears: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor | None:
    """(..., sum of the sizes of output), all of `product_of` in one tensor; `None` where they have to be apart."""
    if torch.is_grad_enabled() or not all(is_plain(linear) and not linear.training for linear in linears):
        return None
    weights, biases = parameters_of(linears)
    if torch.compiler.is_compiling():
        hinted = all(getattr(linear, "laid_side_by_side", False) for linear in linears)
        return joint_product(x, weights, biases) if hinted and not torch.is_autocast_enabled(x.device.type) else None
    if lie_side_by_side(weights) and lie_side_by_side(biases):
        return F.linear(x, joined(weights), joined(biases))
    return None


@torch.library.custom_op(OPERATOR, mutates_args=(), schema=SCHEMA)
def joint_product(x: torch.Tensor, weights: list[torch.Tensor], biases: list[torch.Tensor]) -> torch.Tensor:
    """`F.linear` of each weight and bias, joined in the last dimension: for a compiled graph, which calls it as it is,
    so that addresses are looked at when it runs. biases: none, or one a weight."""
    if lie_side_by_side(weights) and lie_side_by_side(biases):
        return F.linear(x, joined(weights), joined(biases))
    return torch.cat([F.linear(x, w, b) for w, b in zip(weights, biases or [None] * len(weights), strict=True)], dim=-1)


@joint_product.register_fake
def joint_shape(x: torch.Tensor, weights: list[torch.Tensor], biases: list[torch.Tensor]) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], sum(len(weight) for weight in weights))


def is_plain(linear: nn.Module) -> bool:
    """Whether a call of it is `F.linear` of its own weight and bias, and nothing else."""
    return (
        type(linear).forward is nn.Linear.forward
        and type(linear._parameters.get("weight")) is nn.Parameter  # quantised and sharded ones are other tensors
        and is_unhooked(linear)
    )


def is_unhooked(module: nn.Module) -> bool:
    """Whether a call of it is its class's `forward` and nothing else; accelerate's hooks are a `forward` of its own."""
    return "forward" not in module.__dict__ and not module._forward_pre_hooks and not module._forward_hooks


def can_be_joined(linears: Sequence[nn.Module]) -> bool:
    """See `lay_side_by_side`."""
    if len(linears) < 2 or not all(is_plain(linear) for linear in linears):
        return False
    weights = [linear.weight for linear in linears]
    kinds = {(one.weight.shape[1], one.weight.dtype, one.weight.device, one.bias is None) for one in linears}
    one_kind = len(kinds) == 1 and weights[0].is_floating_point() and weights[0].device.type != "meta"
    return one_kind and len({weight.data_ptr() for weight in weights}) == len(weights)


def parameters_of(linears: Sequence[nn.Module]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights and biases; none of the latter where the first has none."""
    has_bias = linears[0].bias is not None
    return [linear.weight for linear in linears], [linear.bias for linear in linears if has_bias]


def lie_side_by_side(tensors: Sequence[torch.Tensor | None]) -> bool:
    """Whether tensors of one dtype are stretches of one storage, each beginning where that before it ends."""
    if not tensors:
        return True
    if any(tensor is None or not tensor.is_contiguous() for tensor in tensors):
        return False
    storage, dtype, end = tensors[0].untyped_storage().data_ptr(), tensors[0].dtype, tensors[0].data_ptr()
    for tensor in tensors:
        if tensor.data_ptr() != end or tensor.dtype != dtype or tensor.untyped_storage().data_ptr() != storage:
            return False
        end += tensor.nbytes
    return True


def joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """The one tensor that those which lie side by side are stretches of, in their first dimension."""
    if not tensors:
        return None
    first, rows = tensors[0], sum(len(tensor) for tensor in tensors)
    return first.as_strided((rows, *first.shape[1:]), first.stride())


@torch.no_grad()
def move_together(parameters: Sequence[nn.Parameter]) -> None:
    """Copy parameters into one memory, of which they become views."""
    together = torch.cat([parameter.data for parameter in parameters])
    for parameter, rows in zip(parameters, together.split([len(each) for each in parameters]), strict=True):
        parameter.data = rows
