"""Of any module: the dtype that it computes in, and a way to use it without owning it."""

import torch
from torch import nn


def floating_dtype(module: nn.Module) -> torch.dtype:
    """Of the first floating-point parameter: a quantised weight is whole numbers, and has no dtype to follow."""
    found = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    return next(found, torch.get_default_dtype())


# Modules of transformers that put their constants on states in 16 bits as they are: masks of ones and zeros, positions,
# factors. Where a model is loaded in 16 bits they are in these, too.
IN_DTYPE_OF_STATES = (
    *("modeling_openai.Attention", "modeling_xglm.XGLMSinusoidalPositionalEmbedding"),
    "modeling_falcon_h1.FalconH1Mixer",
)


def computed_constants(module: nn.Module) -> list[tuple[nn.Module, str, torch.Tensor]]:
    """Floating-point buffers that no checkpoint holds, such as the frequencies of rotary positions: `(owner, name,
    buffer)`; without those of `IN_DTYPE_OF_STATES`."""
    return [
        (owner, name, buffer)
        for owner in module.modules()
        if f"{type(owner).__module__.rpartition('.')[2]}.{type(owner).__name__}" not in IN_DTYPE_OF_STATES
        for name, buffer in owner._buffers.items()
        if name in owner._non_persistent_buffers_set and buffer is not None and buffer.is_floating_point()
    ]


def keep_precision(constants: list[tuple[nn.Module, str, torch.Tensor]]) -> None:
    """Put constants of `computed_constants` that were cast since then back, on the device where they are now."""
    for owner, name, before in constants:
        now = owner._buffers[name]
        if now.dtype != before.dtype:
            owner._buffers[name] = before.to(now.device)


class ModuleReference:
    """Holds a module that is not to be registered a second time: no parameter gets a second name.

    A deep copy of a whole model refers to the copied module. A deep copy of the user alone, which is what PEFT's
    `modules_to_save` makes, refers to the one module that there is, and not to a silent second one. Where something
    else took that one's place, such as PEFT's wrapper of a copy that trains, the owner says so by `refer_to` before it
    uses the user.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def refer_to(self, module: nn.Module) -> None:
        """From now on to this module; a compiled call that changes nothing has nothing to write."""
        if self.module is not module:
            self.module = module

    def __deepcopy__(self, memo: dict) -> "ModuleReference":
        return ModuleReference(memo.get(id(self.module), self.module))
