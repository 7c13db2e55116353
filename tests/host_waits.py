"""Counts where a computation asks its device for a number, or hands it numbers from Python: on any device.

On a CPU nothing waits; what is counted is what would wait, were all tensors on another device.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

REPOSITORY = Path(__file__).parents[1]
CODE = (f"{REPOSITORY / 'modeling'}/", "/transformers/", f"{REPOSITORY / 'processing'}/")

ELSEWHERE = torch.device("cuda")
READ = "_local_scalar_dense"  # `.item()`, an `if`, an index by a tensor, `arange(tensor)`; and what is counted as such
# Results whose size follows from values, and checks of values that kernels of a CPU or of CUDA read.
ASKS = {READ, "nonzero", "masked_select", "masked_scatter", "masked_scatter_", "_unique", "_unique2", "unique_dim"}
ASKS |= {"unique_consecutive", "bincount", "equal", "allclose", "is_nonzero", "_linalg_check_errors", "multinomial"}
ASKS |= {"histc", "_to_sparse", "_ctc_loss"}
ASK_BY_TENSORS = ("normal.float_Tensor", "normal.Tensor_Tensor")  # they look whether a deviation is negative
MAKING = {"tensor", "as_tensor", "asarray", "zeros", "ones", "full", "empty", "arange", "linspace", "eye", "rand"}
MAKING |= {"randn", "randint", "randperm", "scalar_tensor"}
HANDS_OVER = {"lift_fresh", "lift"}
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")


class HostWaits:
    """`with HostWaits() as waits: ...`; then what a device would have been waited for:

    `waits.asked`, how many numbers were read (`.item()`, `.tolist()`, `.cpu()`, a tensor in an `if`) or shapes depended
    on values (`nonzero`, an index or `repeat_interleave` by a tensor of bools or counts); `waits.handed`, how many
    tensors were made from Python or numpy numbers. `waits.found` is a Counter of both by the names of torch's
    operators, where each way to read is `_local_scalar_dense`, and `waits.places` a Counter by "what at file:line".

    Not counted: `.numpy()`, which on another device is an error and no wait; a number put into a tensor (`x[0] = 1.0`),
    which travels with the kernel; what is read of a tensor that `.cpu()` or `.to("cpu")` returned, which were counted.
    Not seen: `.to(torch.device("cpu"))`, and `.tolist()` inside torch's own functions.

    elsewhere: tensors say that they are on a CUDA device, but for those that `.cpu()` returned, that were made without
        a device, or whose attribute `is_on_host` is true; so code that looks at what is at hand does not look, and
        what is made on the CPU is handed over where it goes to the device.
    """

    def __init__(self, elsewhere: bool = False):
        self.elsewhere = elsewhere
        self.found: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.asked = self.handed = 0
        self.within: list = []  # the functions of torch that are running, as they were called from Python

    def __enter__(self) -> "HostWaits":
        self.modes = ExitStack()
        self.modes.enter_context(Operators(self))
        self.modes.enter_context(Functions(self))
        return self

    def __exit__(self, *error) -> None:
        self.modes.close()

    def asks(self, name: str) -> None:
        self.asked += 1
        self.note(name)

    def hands(self, name: str) -> None:
        self.handed += 1
        self.note(name)

    def note(self, name: str) -> None:
        self.found[name] += 1
        self.places[f"{name} at {place()}"] += 1

    def __str__(self) -> str:
        """What failed assertions show."""
        return f"{self.asked} asked, {self.handed} handed:" + "".join(f"\n  {n} x {p}" for p, n in self.places.items())


class Functions(TorchFunctionMode):
    """What does not reach torch's operators on a CPU, and which function an operator belongs to."""

    def __init__(self, waits: HostWaits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.waits.elsewhere and func == torch.Tensor.device.__get__:
            return torch.device("cpu") if on_host(args[0]) else ELSEWHERE
        if name == "tolist" and not on_host(args[0]):
            self.waits.asks(READ)
        to_cpu = is_copy_to_cpu(name, args, kwargs, self.waits.elsewhere)
        made_on_cpu = self.waits.elsewhere and is_made_on_cpu(name, args, kwargs)
        if (
            self.waits.elsewhere
            and name == "to"
            and on_host(args[0])
            and ELSEWHERE in (*args[1:], kwargs.get("device"))
        ):
            self.waits.hands("_to_copy")
            rest = [each for each in args[1:] if each != ELSEWHERE]
            return marked(func(args[0].view_as(args[0]), *rest, **kwargs | {"device": None}), on_host=False)
        self.waits.within.append((name, args, kwargs))
        if self.waits.elsewhere:
            args, kwargs = tree_map_only(torch.device, lambda each: torch.device("cpu"), (args, kwargs))
        try:
            result = func(*args, **kwargs)
        finally:
            self.waits.within.pop()
        if to_cpu and not on_host(args[0]):
            self.waits.asks(READ)
            return marked(result.view_as(result))  # another object: the first may still stand for one on a device
        return marked(result) if made_on_cpu else result


class Operators(TorchDispatchMode):
    """torch's operators, after those made of others were taken apart."""

    def __init__(self, waits: HostWaits):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        overload = func.name().removeprefix("aten::")
        name = overload.split(".")[0]
        given = [each for each in tree_iter((args, kwargs)) if isinstance(each, torch.Tensor)]
        if all_on_host(name, given):
            return marked(func(*args, **kwargs))
        if asks(name, overload, args, kwargs) and not looks_on_cpu_alone(self.waits.within):
            self.waits.asks(name)
        elif self.hands(name, args):
            self.waits.hands(name)
        elif name in ("_to_copy", "copy_"):
            self.copies(args, kwargs)
        return func(*args, **kwargs)

    def hands(self, name: str, args: tuple) -> bool:
        if name in INDEXING:
            return any(each is not None and on_host(each) for each in args[1])
        return name in HANDS_OVER and args[0].numel() > 0 and not self.stays_on_host()

    def stays_on_host(self) -> bool:
        """Whether the function that makes a tensor of numbers leaves it on the CPU."""
        within = self.waits.within
        return puts_a_number(within) or bool(self.waits.elsewhere and within and is_made_on_cpu(*within[-1]))

    def copies(self, args: tuple, kwargs: dict) -> None:
        """Between devices, where a test has several."""
        source = args[-1]
        target = args[0].device if len(args) > 1 else kwargs.get("device") or source.device
        if torch.device(target).type != source.device.type:
            self.waits.asks(READ) if torch.device(target).type == "cpu" else self.waits.hands("_to_copy")


def asks(name: str, overload: str, args: tuple, kwargs: dict) -> bool:
    if name in INDEXING:
        return any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1])
    if overload == "repeat_interleave.Tensor":
        return kwargs.get("output_size") is None
    if overload == "isin.Tensor_Tensor":  # with few it compares all with all, else it sorts and looks for the unique
        return args[1].numel() >= 10 * args[0].numel() ** 0.145
    return name in ASKS or overload in ASK_BY_TENSORS


def is_copy_to_cpu(name: str, args: tuple, kwargs: dict, elsewhere: bool) -> bool:
    """`.cpu()`, `.to("cpu")`; where all say that they are on a CPU, `.to(model.device)` is another matter."""
    kinds = (str, torch.device) if elsewhere else str
    targets = [str(each) for each in (*args[1:], kwargs.get("device")) if isinstance(each, kinds)]
    return name == "cpu" or (name == "to" and "cpu" in targets)


def is_made_on_cpu(name: str, args: tuple, kwargs: dict) -> bool:
    """`torch.zeros(3)`, `torch.tensor([1], device="cpu")`: made, and on no other device."""
    return name in MAKING and str(kwargs.get("device") or "cpu") == "cpu"


def all_on_host(name: str, given: list[torch.Tensor]) -> bool:
    """A number on the CPU, a tensor of no dimension, may go with tensors of another device; and so may an index."""
    if name in INDEXING:
        return on_host(given[0])
    on_cpu = [each for each in given if on_host(each)]
    return bool(on_cpu) and (
        len(on_cpu) == len(given) or any(each.dim() for each in on_cpu) or name in ("stack", "cat")
    )


def looks_on_cpu_alone(within: list) -> bool:
    """`one_hot` with the number of classes given looks at its values on a CPU alone."""
    if not within or within[-1][0] != "one_hot":
        return False
    _, args, kwargs = within[-1]
    return (kwargs.get("num_classes", args[1] if len(args) > 1 else -1)) >= 0


def puts_a_number(within: list) -> bool:
    """`x[place] = 1.0`, for which torch makes a tensor that stays with the host; a list of places is copied."""
    if not within or within[-1][0] != "__setitem__":
        return False
    _, (_, place, value), _ = within[-1]
    places = place if isinstance(place, tuple) else (place,)
    return isinstance(value, (bool, int, float)) and not any(isinstance(x, (list, np.ndarray)) for x in places)


def on_host(value) -> bool:
    return getattr(value, "is_on_host", False)


def marked(result, on_host: bool = True):
    for each in tree_iter(result):
        if isinstance(each, torch.Tensor):
            each.is_on_host = on_host
    return result


def place() -> str:
    """The innermost line of our models or of transformers, and the one of ours that led there."""
    frame, lines = sys._getframe(1), []
    while frame is not None:
        lines.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    apart = (__file__, f"{Path(torch.__file__).parent}/")
    outside = next(((file, line) for file, line in lines if not file.startswith(apart)), ("?", 0))
    file, line = next((each for each in lines if any(part in each[0] for part in CODE)), outside)
    text = f"{'/'.join(Path(file).parts[-3:])}:{line}"
    ours = next((each for each in lines if each[0].startswith(CODE[0])), None)
    return text if ours is None or ours == (file, line) else f"{text}, from {Path(ours[0]).name}:{ours[1]}"
