"""`torch.cuda` with two simulated cards, or with those of CUDA_VISIBLE_DEVICES."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import torch
import torch._dynamo
import torch._inductor.utils  # both look for cards when they are imported, more closely than what is here bears

from simulated_card import waits
from simulated_card.streams import Streams
from simulated_card.tensors import GENERATORS, CardMode, get_data, register_kernels, set_data

VISIBLE = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "0,1").split(",") if each]
CARDS = min(len(VISIBLE), len(GENERATORS))
GIB = 2**30
PROPERTIES = SimpleNamespace(total_memory=80 * GIB, name="simulated", major=9, minor=0, multi_processor_count=1)


def nothing(*given: object, **others: object) -> None:
    pass


def always(value: object):
    return lambda *given, **others: value


def exchanged(index: int | None) -> int:
    """The card that was current, and no longer is, but where the index is none."""
    return torch._C._accelerator_exchangeDevice(index) if index is not None and index >= 0 else -1


STAND_INS = {
    **dict.fromkeys(("_lazy_init", "synchronize", "empty_cache", "reset_peak_memory_stats"), nothing),
    **dict.fromkeys(("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"), always(0)),
    **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported"), always(CARDS > 0)),
    "_is_in_bad_fork": always(False),
    "device_count": always(CARDS),
    "current_device": lambda: torch._C._accelerator_getDeviceIndex(),
    "set_device": lambda device: exchanged(torch.device(device).index),
    **dict.fromkeys(("_exchange_device", "_maybe_exchange_device"), lambda index: exchanged(index)),
    "get_device_properties": always(PROPERTIES),
    "get_device_name": always(PROPERTIES.name),
    "get_device_capability": always((PROPERTIES.major, PROPERTIES.minor)),
    "set_sync_debug_mode": waits.set_sync_debug_mode,
    "get_sync_debug_mode": waits.get_sync_debug_mode,
    "mem_get_info": always((80 * GIB, 80 * GIB)),
}
IN_C = {"_cuda_getDevice": STAND_INS["current_device"], "_cuda_getDeviceCount": always(CARDS)}


@contextmanager
def cards() -> Iterator[None]:
    """Inside, torch sees them; the library of `native` was loaded before torch was imported."""
    stand_ins = STAND_INS | Streams().stand_ins()
    with ExitStack() as changes:
        for module in cuda_modules():
            for name in stand_ins.keys() & vars(module).keys():
                if not isinstance(vars(module)[name], ModuleType):
                    changes.enter_context(patch.object(module, name, stand_ins[name]))
        for name, stand_in in IN_C.items():
            changes.enter_context(patch.object(torch._C, name, stand_in, create=True))
        changes.enter_context(patch.object(torch.cuda, "default_generators", GENERATORS))
        changes.enter_context(patch.object(torch.Tensor, "data", property(get_data, set_data), create=True))
        kernels = register_kernels()
        changes.callback(kernels._destroy)
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor([1], device="cuda")` makes a CPU's first
        changes.callback(torch._C._set_only_lift_cpu_tensors, False)
        changes.enter_context(patch.object(threading.Thread, "run", under_the_mode(threading.Thread.run)))
        changes.enter_context(CardMode())
        yield


def under_the_mode(run: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """What a thread runs, such as a server's predictions: a mode of torch is of one thread."""

    def with_mode(thread: threading.Thread) -> None:
        with CardMode():
            run(thread)

    return with_mode


def cuda_modules() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.split(".")[:2] == ["torch", "cuda"]]
