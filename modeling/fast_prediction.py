"""Predictions from CUDA graphs, and compiled ones: `model.enable_fast_prediction()`.

A robot's prediction is thousands of small kernels; launched one by one from Python they keep a card waiting two thirds
of the time. A graph is recorded once for each signature (shapes, dtypes, options) and replayed as one launch.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn

from .captured_graphs import CapturedGraph, signature_of
from .prediction_core import Core

MODES = ("graphs", "compile")


class FastPrediction:
    """What `enable_fast_prediction` switches on for one model; see there for the attributes."""

    def __init__(self, mode: str, max_graphs: int, max_batch_size: int | None, length_bucket: int):
        self.mode, self.max_graphs, self.max_batch_size = mode, max_graphs, max_batch_size
        self.length_bucket = length_bucket
        self.lock = threading.RLock()
        self.graphs: OrderedDict[Hashable, CapturedGraph] = OrderedDict()
        self.buffers: OrderedDict[Hashable, Any] = OrderedDict()
        self.compiled: dict[Hashable, Core] = {}

    def usable(self, model: nn.Module) -> bool:
        """Whether a call of the model may use it now."""
        if model.training or torch.compiler.is_compiling():
            return False
        return self.mode == "compile" or next(model.parameters()).device.type == "cuda"

    def run(self, model: nn.Module, core: Core, inputs: Any, options: Hashable, buffers: Any) -> Any:
        """See `run_core`."""
        if self.mode == "compile" and core not in self.compiled:
            self.compiled[core] = torch.compile(core, fullgraph=True, dynamic=False)
        function = self.compiled[core] if self.mode == "compile" else core
        rest = () if buffers is None else (buffers,)
        if next(model.parameters()).device.type != "cuda":
            return function(model, inputs, options, *rest)
        with self.lock:
            key = (core, options, signature_of(inputs), signature_of(buffers, with_address=True))
            if key not in self.graphs:
                self.graphs[key] = CapturedGraph(lambda given: function(model, given, options, *rest), inputs, rest)
            self.graphs.move_to_end(key)
            while len(self.graphs) > self.max_graphs:
                self.graphs.popitem(last=False)
            return self.graphs[key].replay(inputs)

    def kept_buffers(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """See `prediction_core.kept_buffers`."""
        with self.lock:
            if key not in self.buffers:
                self.buffers[key] = make()
            self.buffers.move_to_end(key)
            while len(self.buffers) > self.max_graphs:
                self.buffers.popitem(last=False)
            return self.buffers[key]
