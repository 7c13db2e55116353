"""Predictions from CUDA graphs, and compiled ones: `model.enable_fast_prediction()`.

A robot's prediction is thousands of small kernels; launched one by one from Python they keep a card waiting two thirds
of the time. A core (`prediction_core.py`) is recorded once for each signature and replayed as one launch, or compiled
first. What cannot be replayed runs as it is, and is counted.
"""

import threading
import types
import warnings
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._dynamo.eval_frame import reset_code

from ..configuration.fast_prediction_choices import FAST_PREDICTION_DEFAULTS, checked_fast_prediction
from .captured_graphs import CapturedGraph, GraphMemory, copied, signature_of, with_tensors
from .model_watch import ModelWatch

Core = Callable[..., Any]
MAX_REFUSED = 256  # signatures that are remembered as not recordable
MAX_BUFFERS = 2  # sizes that are kept: those of Alpamayo-R1 are half a gigabyte for each length of prompts
MAX_CAUSE = 400  # characters of an error in a warning


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
        self.compiled_codes, self.memory = {}, GraphMemory()
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

    def reason_at_first_sight(self, model: nn.Module) -> str | None:
        """Why a call of the model cannot use it now, as far as that is known at once, in a few words, or `None`."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return "inside torch.compile"
        session = self.in_session
        if session is not None and session[0] == threading.get_ident():
            return session[1]
        if model.training:
            return "training mode"
        if torch.is_grad_enabled():
            return "gradients are enabled"
        device = next(model.parameters()).device
        if self.mode == "graphs" and self.recorder_for(device) is None:
            return f"no graphs on {device.type}"
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return "inside another graph"
        return None

    def reason_against(self, model: nn.Module) -> str | None:
        """As `reason_at_first_sight`, with a look at the whole model: graphs are dropped where it has changed."""
        if (reason := self.reason_at_first_sight(model)) is not None:
            return reason
        with self.lock:
            self.look_again(model)
            return self.watch.reason_against()

    @contextmanager
    def session(self, model: nn.Module):
        """Several cores over the same `kept_buffers`, for one call at a time; the model is looked at once."""
        with self.lock:
            outer = self.in_session
            self.in_session = threading.get_ident(), self.reason_against(model)
            try:
                with self.memory.in_turn(self.watch.device):
                    yield
            finally:
                self.in_session = outer

    def run(self, model: nn.Module, core: Core, inputs: Any, options: Hashable, buffers: Any) -> Any:
        """See `run_core`."""
        rest = () if buffers is None else (buffers,)
        reason = self.reason_against(model) or self.reason_in(inputs)
        if reason is not None:
            self.count_eager(reason)
            return core(model, inputs, options, *rest)
        with self.lock, torch.inference_mode(False), torch.no_grad():
            key = core, options, signature_of(inputs), signature_of(rest, with_address=True), self.watch.settings()
            if key not in self.graphs and self.form_of(key) not in self.refused:
                try:
                    self.add(key, model, inputs, rest)
                except Exception as error:  # whatever a library does that cannot be recorded
                    return self.run_refused(key, model, inputs, rest, error)
            if key not in self.graphs:
                self.count_eager("could not be recorded")
                return core(model, inputs, options, *rest)
            self.graphs.move_to_end(key)
            self.counts["replays"] += 1
            return self.graphs[key](inputs)

    def reason_in(self, inputs: Any) -> str | None:
        """Why these inputs are not for a graph: the batch, which the first dimension of the first tensor tells, is
        above `max_batch_size`; or a tensor lies elsewhere than the model, and a graph would hold its numbers."""
        tensors = list(with_tensors(inputs))
        first = next((each for each in tensors if each.dim()), None)
        if self.max_batch_size is not None and first is not None and len(first) > self.max_batch_size:
            return "batch above max_batch_size"
        apart = not tensors or any(each.device != self.watch.device for each in tensors)
        return "inputs are not on the model's device" if apart else None

    def count_eager(self, reason: str) -> None:
        with self.lock:
            self.counts["eager"] += 1
            self.reasons[reason] += 1

    # ---- a new signature

    def add(self, key: tuple, model: nn.Module, inputs: Any, rest: tuple) -> None:
        """Record, or compile, the core of a key, and let the least recently used go."""
        core, options = key[:2]
        function = with_own_code(core) if self.mode == "compile" else core
        code = function.__code__ if self.mode == "compile" else None
        function = torch.compile(function, fullgraph=True, dynamic=False) if self.mode == "compile" else core
        recorder = self.recorder_for(self.watch.device) or CompiledCall
        owner = weakref.ref(model)  # which has all that is kept
        made = recorder(lambda given: function(owner(), given, options, *rest), inputs, rest, self.memory)
        self.graphs[key] = made
        if code is not None:
            self.compiled_codes[key] = code
        self.counts["captures"] += 1
        self.make_room()

    def run_refused(self, key: tuple, model: nn.Module, inputs: Any, rest: tuple, error: Exception) -> Any:
        """The eager answer where recording failed. It is remembered if that was the recording's fault alone: what the
        core itself raises, its caller gets."""
        core, options = key[:2]
        outputs = core(model, inputs, options, *rest)
        self.refused[self.form_of(key)] = None
        while len(self.refused) > MAX_REFUSED:
            self.refused.popitem(last=False)
        self.count_eager("could not be recorded")
        warnings.warn(
            f"fast prediction: {core.__name__} runs eagerly, for it could not be recorded: {causes(error)}",
            stacklevel=3,
        )
        return outputs

    @staticmethod
    def form_of(key: tuple) -> Hashable:
        """A key without the addresses of buffers: what cannot be recorded over these cannot be over others."""
        core, options, inputs, _, settings = key
        return core, options, inputs, settings

    def recorder_for(self, device: torch.device) -> type | None:
        """What records graphs on a device, `None` where nothing does."""
        if self.recorder is not None:
            return self.recorder
        return CapturedGraph if device.type == "cuda" else None

    def kept_buffers(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """See `prediction_core.kept_buffers`."""
        with self.lock, torch.inference_mode(False):
            if key not in self.buffers:
                self.make_room_for_buffers()
                self.buffers[key] = make()
            self.buffers.move_to_end(key)
            return self.buffers[key]

    # ---- what is kept

    def make_room(self) -> None:
        """The least recently used graphs go."""
        while len(self.graphs) > self.max_graphs:
            self.evict(next(iter(self.graphs)))

    def make_room_for_buffers(self) -> None:
        """The least recently used buffers go, and with them the graphs over them: they are large, a graph is not."""
        while len(self.buffers) >= min(self.max_graphs, MAX_BUFFERS):
            _, gone = self.buffers.popitem(last=False)
            places = [(each.data_ptr(), each.nbytes) for each in with_tensors(gone)]
            for key in [key for key in self.graphs if lies_in(key[3], places)]:
                self.evict(key)

    def evict(self, key: tuple) -> None:
        """A graph goes when no device uses it any more."""
        self.memory.wait()
        del self.graphs[key]
        self.counts["evictions"] += 1
        free_compiled(self.compiled_codes.pop(key, None))

    def forget(self) -> None:
        """Without graphs and buffers, as at first."""
        with self.lock:
            self.memory.wait()
            for code in self.compiled_codes.values():
                free_compiled(code)
            self.graphs: OrderedDict[Hashable, Any] = OrderedDict()
            self.buffers: OrderedDict[Hashable, Any] = OrderedDict()
            self.refused: OrderedDict[Hashable, None] = OrderedDict()  # what runs eagerly, for it cannot be recorded
            self.compiled_codes: dict[Hashable, types.CodeType] = {}
            self.memory = GraphMemory()

    def prepare(self, model: nn.Module) -> None:
        """Lay weights side by side, and note what the model is made of."""
        if self.fuse_projections:
            model.fuse_projections()
        self.watch = ModelWatch(model)

    def look_again(self, model: nn.Module) -> None:
        """Drop what was recorded if the model is another one by now."""
        with self.lock:
            if self.watch.model() is not model or self.watch.has_changed():  # of a shallow copy
                self.counts["drops"] += bool(self.graphs)
                self.forget()
                self.prepare(model)


def lies_in(signature: tuple, places: list[tuple[int, int]]) -> bool:
    """Whether a tensor of a signature with addresses begins in one of these places: where it begins, and its bytes."""
    starts = [leaf[3][0] for leaf in signature[1:] if isinstance(leaf, tuple)]
    return any(first <= start < first + size for start in starts for first, size in places)


class CompiledCall:
    """A compiled core on a device without graphs; compiled at once, so that what cannot be is known.

    Inputs are copied: torch.compile would compile anew for other strides, or for two inputs that are one.
    """

    def __init__(self, function: Callable[[Any], Any], inputs: Any, kept: Any, memory: GraphMemory):
        self.function = function
        function(copied(inputs))

    def __call__(self, inputs: Any) -> Any:
        return self.function(copied(inputs))


def with_own_code(core: Core) -> Core:
    """The same function with a code object of its own: dynamo counts recompilations for each, up to a few."""
    own = types.FunctionType(core.__code__.replace(), core.__globals__, core.__name__, core.__defaults__)
    own.__kwdefaults__ = core.__kwdefaults__
    return own


def free_compiled(code: types.CodeType | None) -> None:
    """What torch.compile keeps for a code object."""
    if code is not None:
        reset_code(code)


def causes(error: BaseException) -> str:
    """The error, and what it came from: the end of a failed recording hides the operation that failed."""
    first = f"{type(error).__name__}: {error}"[:MAX_CAUSE]
    before = error.__cause__ or error.__context__
    return first if before is None else f"{first} (after {type(before).__name__}: {str(before)[:MAX_CAUSE]})"
