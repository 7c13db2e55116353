"""Predictions from CUDA graphs, and compiled ones: `model.enable_fast_prediction()`.

A robot's prediction is thousands of small kernels; launched one by one from Python they keep a card waiting two thirds
of the time. A core (`prediction_core.py`) is recorded once for each signature and replayed as one launch, or compiled
first. What cannot be replayed runs as it is, and is counted.
"""

import threading
import types
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from ..configuration.fast_prediction_choices import FAST_PREDICTION_DEFAULTS, checked_fast_prediction
from .captured_graphs import CapturedGraph, GraphMemory, signature_of, with_tensors
from .model_watch import ModelWatch

Core = Callable[..., Any]


class FastPredictionStats(NamedTuple):
    """What became of the calls of cores since `enable_fast_prediction`.

    Attributes:
        mode: `graphs` or `compile`.
        captures: signatures that were recorded, or compiled; replays: calls that such a one answered.
        eager_fallbacks: calls that ran as without fast prediction, and for each reason how many: `eager_reasons`.
        evictions: graphs that made room for others, the least recently used first.
        drops: times that all graphs were dropped, for the model had changed.
        graphs: how many are held.
    """

    mode: str
    captures: int
    replays: int
    eager_fallbacks: int
    eager_reasons: dict[str, int]
    evictions: int
    drops: int
    graphs: int


class FastPrediction:
    """What `enable_fast_prediction` switches on for one model; see there for mode and numbers.

    recorder: a class like `CapturedGraph`; tests on a CPU have one that records what a CUDA graph would.
    """

    def __init__(self, model: nn.Module, options: dict[str, Any], recorder: type | None = None):
        options = {**FAST_PREDICTION_DEFAULTS, **checked_fast_prediction(options)}
        self.mode, self.length_bucket = options["mode"], options["length_bucket"]
        self.max_graphs, self.max_batch_size = options["max_graphs"], options["max_batch_size"]
        self.fuse_projections = options["fuse_projections"]
        self.recorder = recorder
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.in_session: tuple[int, str | None] | None = None  # the thread, and why it runs eagerly
        self.forget()
        self.prepare(model)

    def __deepcopy__(self, memo: dict) -> None:
        """A copy of a model starts without: graphs hold addresses of the one that they were recorded for."""
        return None

    def __reduce__(self) -> tuple:
        return type(None), ()

    @property
    def stats(self) -> FastPredictionStats:
        with self.lock:
            counts = (self.counts[name] for name in ("captures", "replays", "eager", "evictions", "drops"))
            captures, replays, eager, evictions, drops = counts
            held = len(self.graphs)
            return FastPredictionStats(self.mode, captures, replays, eager, dict(self.reasons), evictions, drops, held)

    # ---- one call

    def reason_against(self, model: nn.Module) -> str | None:
        """Why a call of the model cannot use it now, in a few words, or `None`."""
        if torch.compiler.is_compiling():
            return "inside torch.compile"
        if self.in_session is not None and self.in_session[0] == threading.get_ident():
            return self.in_session[1]
        if model.training:
            return "training mode"
        if torch.is_grad_enabled():
            return "gradients are enabled"
        with self.lock:
            if self.watch.has_changed():
                self.drop(model)
            reason = self.watch.reason_against()
        if reason is None and self.mode == "graphs" and self.recorder_for(self.watch.device) is None:
            return f"no graphs on {self.watch.device.type}"
        return reason

    @contextmanager
    def session(self, model: nn.Module):
        """Several cores over the same `kept_buffers`, for one call at a time; the model is looked at once."""
        with self.lock:
            outer = self.in_session
            self.in_session = threading.get_ident(), self.reason_against(model)
            try:
                yield
            finally:
                self.in_session = outer

    def run(self, model: nn.Module, core: Core, inputs: Any, options: Hashable, buffers: Any) -> Any:
        """See `run_core`."""
        rest = () if buffers is None else (buffers,)
        reason = self.reason_against(model) or self.too_large(inputs)
        if reason is None:
            with self.lock, torch.inference_mode(False), torch.no_grad():
                made = self.made_for(model, core, inputs, options, rest)
                if made is not None:
                    self.counts["replays"] += 1
                    return made(inputs)
            reason = "could not be recorded"
        with self.lock:
            self.counts["eager"] += 1
            self.reasons[reason] += 1
        return core(model, inputs, options, *rest)

    def too_large(self, inputs: Any) -> str | None:
        """Whether the batch is above `max_batch_size`: the first dimension of the first tensor says how large it is."""
        if self.max_batch_size is None:
            return None
        first = next((each for each in with_tensors(inputs) if each.dim()), None)
        return "batch above max_batch_size" if first is not None and len(first) > self.max_batch_size else None

    def made_for(
        self, model: nn.Module, core: Core, inputs: Any, options: Hashable, rest: tuple
    ) -> Callable[[Any], Any] | None:
        """A graph, or a compiled core, for calls of this signature; `None` where there can be none."""
        key = core, options, signature_of(inputs), signature_of(rest, with_address=True), self.watch.settings()
        if key not in self.graphs:
            self.graphs[key] = self.make(model, core, inputs, options, rest)
            self.counts["captures"] += self.graphs[key] is not None
            self.make_room(self.graphs)
        self.graphs.move_to_end(key)
        return self.graphs[key]

    def make(
        self, model: nn.Module, core: Core, inputs: Any, options: Hashable, rest: tuple
    ) -> Callable[[Any], Any] | None:
        function = core
        if self.mode == "compile":
            function = torch.compile(with_own_code(core), fullgraph=True, dynamic=False)
        recorder = self.recorder_for(self.watch.device)
        try:
            if recorder is None:
                return CompiledCall(lambda given: function(model, given, options, *rest), inputs)
            return recorder(lambda given: function(model, given, options, *rest), inputs, rest, self.memory)
        except Exception as error:  # whatever a library does that cannot be recorded; the call itself still can be made
            warnings.warn(
                f"fast prediction: {core.__name__} runs eagerly, for it could not be recorded: {error}", stacklevel=2
            )
            return None

    def recorder_for(self, device: torch.device) -> type | None:
        """What records graphs on a device, `None` where nothing does."""
        if self.recorder is not None:
            return self.recorder
        return CapturedGraph if device.type == "cuda" else None

    def kept_buffers(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """See `prediction_core.kept_buffers`."""
        with self.lock, torch.inference_mode(False):
            if key not in self.buffers:
                self.buffers[key] = make()
                self.make_room(self.buffers)
            self.buffers.move_to_end(key)
            return self.buffers[key]

    # ---- what is kept

    def make_room(self, kept: OrderedDict) -> None:
        while len(kept) > self.max_graphs:
            kept.popitem(last=False)
            self.counts["evictions"] += kept is self.graphs

    def forget(self) -> None:
        """Without graphs and buffers, as at first."""
        self.graphs: OrderedDict[Hashable, Any] = OrderedDict()
        self.buffers: OrderedDict[Hashable, Any] = OrderedDict()
        self.memory = GraphMemory()

    def prepare(self, model: nn.Module) -> None:
        """Lay weights side by side, and note what the model is made of."""
        if self.fuse_projections:
            model.fuse_projections()
        self.watch = ModelWatch(model)

    def drop(self, model: nn.Module) -> None:
        """The model is another one than what was recorded."""
        self.counts["drops"] += bool(self.graphs)
        self.forget()
        self.prepare(model)


class CompiledCall:
    """A compiled core on a device without graphs; compiled at once, so that what cannot be is known."""

    def __init__(self, function: Callable[[Any], Any], inputs: Any):
        self.function = function
        function(inputs)

    def __call__(self, inputs: Any) -> Any:
        return self.function(inputs)


def with_own_code(core: Core) -> Core:
    """The same function with a code object of its own: dynamo counts recompilations for each, up to a few."""
    return types.FunctionType(core.__code__.replace(), core.__globals__, core.__name__, core.__defaults__)
