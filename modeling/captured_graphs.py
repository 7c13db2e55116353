"""One computation as a CUDA graph: recorded once, replayed on new numbers of the same shapes."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

WARM_UP_RUNS = 2  # libraries choose kernels and allocate in them, which a recording forbids


class CapturedGraph:
    """`function(inputs)` recorded; see `prediction_core.py` for what it may do.

    kept: what must live as long as the graph, which holds addresses of it.
    """

    def __init__(self, function: Callable[[Any], Any], inputs: Any, kept: Any = ()):
        self.kept = kept
        self.inputs = tree_map(lambda each: each.clone() if isinstance(each, torch.Tensor) else each, inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                function(self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = function(self.inputs)

    def replay(self, inputs: Any) -> Any:
        """The function of new inputs, in tensors of the caller's own."""
        for static, given in zip(tree_flatten(self.inputs)[0], tree_flatten(inputs)[0], strict=True):
            if isinstance(static, torch.Tensor):
                static.copy_(given, non_blocking=True)
        self.graph.replay()
        return tree_map(lambda each: each.clone() if isinstance(each, torch.Tensor) else each, self.outputs)


def signature_of(tree: Any, with_address: bool = False) -> Hashable:
    """What tells calls apart that need graphs of their own: forms, shapes, dtypes and devices of all tensors."""
    leaves, form = tree_flatten(tree)
    tensors = (
        (each.shape, each.dtype, each.device, each.stride(), each.data_ptr() if with_address else None)
        if isinstance(each, torch.Tensor)
        else each
        for each in leaves
    )
    return (form, *tensors)
