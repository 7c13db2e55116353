"""A module that another one uses without owning it."""

from torch import nn


class ModuleReference:
    """Holds a module that is not to be registered a second time: no parameter gets a second name.

    A deep copy of a whole model refers to the copied module. A deep copy of the user alone, which is what PEFT's
    `modules_to_save` makes, refers to the one module that there is, and not to a silent second one.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def __deepcopy__(self, memo: dict) -> "ModuleReference":
        return ModuleReference(memo.get(id(self.module), self.module))
