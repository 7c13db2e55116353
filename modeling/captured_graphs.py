"""One computation as a CUDA graph: recorded once, replayed on new numbers of the same shapes."""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

WARM_UP_RUNS = 2  # libraries choose kernels and allocate in them, which a recording forbids


class GraphMemory:
    """What the graphs of one model have in common.

    They record into one pool of memory: where one has its outputs, another, recorded before, may have its intermediate
    results. So no two of them are on a device at the same time, whatever streams callers are on, and outputs are copied
    out before the next begins. What a core makes once and keeps, it makes while it is warmed up, outside of the pool.
    """

    def __init__(self):
        self.pool = None
        self.stream: torch.cuda.Stream | None = None  # on which libraries are warmed up and graphs recorded
        self.is_free: torch.cuda.Event | None = None  # reached when the last replay, and the copies of it, are done

    @contextmanager
    def in_turn(self, device: torch.device) -> Iterator[None]:
        """What is launched inside, on the current stream of a device, comes after what was launched in the last turn.
        Nothing on a device without streams."""
        if device.type != "cuda":
            yield
            return
        with torch.cuda.device(device):
            current = torch.cuda.current_stream()
            if self.is_free is not None:
                current.wait_event(self.is_free)
            try:
                yield
            finally:
                self.is_free = current.record_event()

    def wait(self) -> None:
        """Until the device is done: memory that is freed then is read by no replay."""
        if self.is_free is not None:
            self.is_free.synchronize()

    @contextmanager
    def recording(self, graph: torch.cuda.CUDAGraph) -> Iterator[None]:
        """Calls of other threads, which may allocate, do not end it; nor does Python, by collecting a graph."""
        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        was_collecting, callers = gc.isenabled(), torch.cuda.current_stream()
        gc.disable()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                yield
        except BaseException:
            leave_failed_recording(self.pool, callers)
            self.pool = None  # whatever it left in it
            raise
        finally:
            if was_collecting:
                gc.enable()


def leave_failed_recording(pool: Any, stream: torch.cuda.Stream) -> None:
    """What torch itself leaves undone where the end of a recording fails, so that the process computes on as before.

    The caller would stay on the stream of the recording. Before torch 2.13 (pytorch/pytorch#180395) the allocator takes
    the recording for one that goes on, and refuses the next; and the generator of random numbers refuses the next draw.

    stream: the caller's.
    """
    torch.cuda.set_stream(stream)
    device = torch.cuda.current_device()
    with suppress(Exception):  # also an error where it is done already
        torch._C._cuda_endAllocateToPool(device, pool)
    generator = torch.cuda.default_generators[device]
    with suppress(Exception):
        drawn = generator.get_offset()
        try:
            torch.rand(1, device=f"cuda:{device}")
            generator.set_offset(drawn)
        except RuntimeError:
            generator.graphsafe_set_state(generator.clone_state())


class CapturedGraph:
    """`function(inputs)` recorded; see `prediction_core.py` for what it may do.

    kept: what must live as long as the graph, which holds addresses of it.
    """

    def __init__(self, function: Callable[[Any], Any], inputs: Any, kept: Any, memory: GraphMemory):
        self.kept, self.memory = kept, memory
        self.device = next(with_tensors(inputs)).device
        with memory.in_turn(self.device):
            self.inputs = copied(inputs)
            if memory.stream is None:
                memory.stream = torch.cuda.Stream()
            memory.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(memory.stream):
                for _ in range(WARM_UP_RUNS):
                    function(self.inputs)
            torch.cuda.current_stream().wait_stream(memory.stream)
            self.graph = torch.cuda.CUDAGraph()
            with memory.recording(self.graph):
                self.outputs = function(self.inputs)

    def __call__(self, inputs: Any) -> Any:
        """The function of new inputs, in tensors of the caller's own."""
        with self.memory.in_turn(self.device):
            for static, given in zip(with_tensors(self.inputs), with_tensors(inputs), strict=True):
                static.copy_(given, non_blocking=True)
            self.graph.replay()
            return copied(self.outputs)


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
