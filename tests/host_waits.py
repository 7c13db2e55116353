"""Counts where a computation asks its device for a number, or hands it numbers from Python: on any device."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ASKS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "equal", "is_nonzero")
HANDS_OVER = ("lift_fresh", "lift")


class HostWaits(TorchDispatchMode):
    """`with HostWaits() as waits: ...; waits.found` is a Counter of what a device would have been waited for:

    numbers read (`.item()`, `.tolist()`, a tensor in an `if`), shapes that depend on values (`nonzero`, an index or
    `repeat_interleave` by a tensor of bools or counts), and tensors made from Python numbers.
    """

    def __init__(self):
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0]
        by_bools = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        by_counts = func.name() == "aten::repeat_interleave.Tensor" and (kwargs or {}).get("output_size") is None
        if name.startswith(ASKS) or name in HANDS_OVER or by_bools or by_counts:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))
