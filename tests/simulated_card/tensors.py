"""Tensors of a simulated card, and what torch's operators do with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_iter, tree_map_only

from simulated_card import waits

CPU = torch.device("cpu")
GENERATORS = tuple(torch.Generator(f"cuda:{index}") for index in range(2))
COPIES = ("_to_copy", "copy_")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")
JOINING = ("cat", "stack")  # whose kernels take no number of the CPU among others
MADE_BY_KERNELS = ("empty.memory_format", "empty_strided", "tril_indices", "triu_indices")  # the rest is made of these
DATA = torch._C.TensorBase.data


class CardTensor(torch.Tensor):
    """Its numbers are `held` on the CPU. A parameter that goes to a card becomes one, as the same object."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __new__(cls, held: torch.Tensor, device: torch.device | None = None, requires_grad: bool = False, **others):
        if device is None:  # accelerate calls the class of a parameter as it would `nn.Parameter`
            return nn.Parameter(held, requires_grad)
        form = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, held.size(), **form, layout=held.layout, device=device)
        made.held = held
        return made

    def __init__(self, *given: Any, **others: Any):
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        return computed(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"{self.held!r} on {self.device}"

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *given: Any, **others: Any):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def __reduce_ex__(self, protocol: int) -> Any:
        """Files hold its numbers; those that are read go where `map_location` says."""
        plain = self.held.detach()
        is_parameter = isinstance(self, nn.Parameter)
        plain = nn.Parameter(plain, self.requires_grad) if is_parameter else plain.requires_grad_(self.requires_grad)
        return plain.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict) -> torch.Tensor:
        if id(self) not in memo:
            copied = CardTensor(self.held.detach().clone(), self.device)
            if isinstance(self, nn.Parameter):
                copied = nn.Parameter(copied, self.requires_grad)
            memo[id(self)] = copied.requires_grad_(self.requires_grad)
        return memo[id(self)]


def get_data(tensor: torch.Tensor) -> torch.Tensor:
    return DATA.__get__(tensor)


def set_data(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """`tensor.data = value`, which takes a parameter to another device: the object stays, its class goes with it."""
    is_parameter = isinstance(tensor, nn.Parameter)
    DATA.__set__(tensor, value)
    if isinstance(value, CardTensor):
        tensor.__class__, tensor._is_param, tensor.held = CardTensor, is_parameter, value.held
    elif isinstance(tensor, CardTensor):
        tensor.__class__, tensor.held = nn.Parameter if is_parameter else torch.Tensor, None


class CardMode(TorchDispatchMode):
    """What parameters are in, which were made before they went to a card, and what is made on one."""

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        is_made_there = device is not None and torch.device(device).type == "cuda"
        if is_made_there or any(isinstance(each, CardTensor) for each in tree_iter((args, kwargs))):
            return computed(func, args, kwargs)
        return func(*args, **kwargs)


def computed(func: Callable, args: tuple, kwargs: dict) -> Any:
    """The operator's results, on the device where it runs; what it refuses is refused in torch's words."""
    name = func.name().removeprefix("aten::").split(".")[0]
    waits.note(func, name, args, kwargs)
    if name == "_local_scalar_dense":
        return func(args[0].held)
    device = device_of(func, name, args, kwargs)
    plain_args, plain_kwargs = tree_map_only(CardTensor, lambda each: each.held, (args, kwargs))
    if "device" in plain_kwargs and device.type == "cuda":
        plain_kwargs["device"] = CPU
    plain_kwargs.pop("pin_memory", None)
    with random_numbers(func, plain_kwargs, device):
        out = func(*plain_args, **plain_kwargs)
    if name == "_to_copy" and out is plain_args[0]:
        out = out.clone()
    for each in tree_iter((args, kwargs)):
        if isinstance(each, CardTensor) and each.held.shape != each.shape:  # one that a kernel wrote into and resized
            DATA.__set__(each, CardTensor(each.held, each.device))
    if device.type == "cuda":
        out = tree_map_only(
            torch.Tensor, lambda each: each if isinstance(each, CardTensor) else CardTensor(each, device), out
        )
    is_alias = any(each.alias_info is not None for each in func._schema.returns)
    return return_and_correct_aliasing(func, args, kwargs, out) if device.type == "cuda" or is_alias else out


def device_of(func: Callable, name: str, args: tuple, kwargs: dict) -> torch.device:
    """Where an operator runs. Raises RuntimeError for tensors of devices that it would not take together."""
    if kwargs.get("device") is not None:
        return place(kwargs["device"])
    if name in COPIES:
        return args[0].device
    given = tensors_in((args, kwargs))
    if name in INDEXING:  # places may be on the CPU, where the values are on a card
        places = [each for each in tensors_in(args[1]) if args[0].device == CPU or each.device != CPU]
        given = [args[0], *places, *tensors_in((args[2:], kwargs))]
    devices = {each.device for each in given}
    cards = {device for device in devices if device.type == "cuda"}
    stay = [each for each in given if each.device == CPU and (each.dim() or name in JOINING)]
    if len(devices) > 1 and (len(cards) != 1 or stay):
        found = [(tuple(each.shape), str(each.device)) for each in given]
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func.name()} got {found}")
    return cards.pop() if cards else devices.pop()


def place(device: Any) -> torch.device:
    device = torch.device(device)
    if device.type != "cuda":
        return device
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise torch.AcceleratorError("CUDA error: invalid device ordinal")
    return torch.device("cuda", index)


def tensors_in(tree: Any) -> list[torch.Tensor]:
    return [each for each in tree_iter(tree) if isinstance(each, torch.Tensor)]


@contextmanager
def random_numbers(func: Callable, kwargs: dict, device: torch.device) -> Iterator[None]:
    """Inside, an operator that runs on the CPU draws as from the generator of the device that it stands for."""
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type != device.type:
        raise RuntimeError(f"Expected a '{device.type}' device type for generator but found '{generator.device.type}'")
    if device.type != "cuda" or torch.Tag.nondeterministic_seeded not in func.tags:
        yield
        return
    generator = generator or GENERATORS[device.index]
    if "generator" in kwargs:
        kwargs["generator"] = None
    of_cpu = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(of_cpu)


def register_kernels() -> torch.library.Library:
    """What torch calls past `__torch_dispatch__`: what makes a tensor of nothing, also in threads that load weights."""
    library = torch.library.Library("aten", "IMPL")
    for name in MADE_BY_KERNELS:
        packet, _, overload = name.partition(".")
        library.impl(name, on_card(getattr(getattr(torch.ops.aten, packet), overload or "default")), "CUDA")
    library.impl("_local_scalar_dense", lambda number: number.held.item(), "CUDA")  # `torch.tensor([number])` asks so
    return library


def on_card(func: Callable) -> Callable:
    def made(*args: Any, device: Any = None, pin_memory: Any = None, **kwargs: Any) -> CardTensor:
        return CardTensor(func(*args, device=CPU, **kwargs), place(device))

    return made
