"""`torch.cuda.set_sync_debug_mode` of simulated cards: who waits for a card is warned."""

import warnings
from collections.abc import Callable

import torch
from host_waits import asks

MODES = {"default": 0, "warn": 1, "error": 2}
mode = 0


def set_sync_debug_mode(wanted: str | int) -> None:
    global mode
    mode = MODES.get(wanted, wanted)


def get_sync_debug_mode() -> int:
    return mode


def note(func: Callable, name: str, args: tuple, kwargs: dict) -> None:
    """Of an operator that has a card's tensors among its arguments, or makes some: warn where it waits."""
    if mode and (asks(name, func.name().removeprefix("aten::"), args, kwargs) or is_waited_for(name, args, kwargs)):
        warnings.warn("called a synchronizing CUDA operation (simulated)", stacklevel=2)


def is_waited_for(name: str, args: tuple, kwargs: dict) -> bool:
    """Whether numbers go from one device to another, and the processor stays until they are there."""
    if name == "copy_":
        return args[0].device != args[1].device and not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
    if name == "_to_copy":
        target = torch.device(kwargs.get("device") or args[0].device)
        return target.type != args[0].device.type and not kwargs.get("non_blocking")
    is_place = name.startswith(("index", "_index", "_unsafe_index")) and isinstance(args[1], (list, tuple))
    return is_place and any(each is not None and each.device != args[0].device for each in args[1])
