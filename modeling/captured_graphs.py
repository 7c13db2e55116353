"""One computation as a CUDA graph: recorded once, replayed on new numbers of the same shapes."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

WARM_UP_RUNS = 2  # libraries choose kernels and allocate in them, which a recording forbids


class GraphMemory:
    """What the graphs of one model have in common.

    They record into one pool of memory: what one leaves there, another may overwrite. So no two of them are on a device
    at the same time, whatever streams callers are on, and outputs are copied out before the next begins.
    """

    def __init__(self):
        self.pool = None
        self.is_free: torch.cuda.Event | None = None  # reached when the last replay, and the copies of it, are done

    def acquire(self) -> None:
        """The current stream goes on when the graph before is done."""
        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        if self.is_free is not None:
            torch.cuda.current_stream().wait_event(self.is_free)

    def release(self) -> None:
        self.is_free = torch.cuda.Event()
        self.is_free.record()


class CapturedGraph:
    """`function(inputs)` recorded; see `prediction_core.py` for what it may do.

    kept: what must live as long as the graph, which holds addresses of it.
    """

    def __init__(self, function: Callable[[Any], Any], inputs: Any, kept: Any, memory: GraphMemory):
        self.kept, self.memory = kept, memory
        self.inputs = copied(inputs)
        self.device = next(with_tensors(inputs)).device
        with torch.cuda.device(self.device):
            memory.acquire()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_RUNS):
                    function(self.inputs)
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            # Calls of other threads, which may allocate, do not end a recording of this one.
            with torch.cuda.graph(self.graph, pool=memory.pool, capture_error_mode="thread_local"):
                self.outputs = function(self.inputs)
            memory.release()

    def __call__(self, inputs: Any) -> Any:
        """The function of new inputs, in tensors of the caller's own."""
        with torch.cuda.device(self.device):
            self.memory.acquire()
            for static, given in zip(with_tensors(self.inputs), with_tensors(inputs), strict=True):
                static.copy_(given, non_blocking=True)
            self.graph.replay()
            outputs = copied(self.outputs)
            self.memory.release()
        return outputs


def with_tensors(tree: Any) -> Iterator[torch.Tensor]:
    """The tensors of a tree of tuples, lists and dicts, in their order."""
    return (each for each in tree_leaves(tree) if isinstance(each, torch.Tensor))


def copied(tree: Any) -> Any:
    """The same with tensors of its own, contiguous, whatever lay behind those of the caller."""
    return tree_map(
        lambda each: each.clone(memory_format=torch.contiguous_format) if isinstance(each, torch.Tensor) else each, tree
    )


def signature_of(tree: Any, with_address: bool = False) -> Hashable:
    """What tells calls apart that need graphs of their own: form, shapes, dtypes and devices of all tensors, and, where
    they are used in their place, addresses."""
    leaves, form = tree_flatten(tree)
    tensors = (
        (each.shape, each.dtype, each.device, (each.data_ptr(), each.stride()) if with_address else None)
        if isinstance(each, torch.Tensor)
        else each
        for each in leaves
    )
    return (form, *tensors)
