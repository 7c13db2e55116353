"""Streams, events and graphs of simulated cards. What is launched is done at once; a recording knows each operation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from traced_graphs import NotRecordable, NumbersOfTheHost, Recorder, replay


class Event:
    def __init__(self, *given: Any, **named: Any):
        pass

    def synchronize(self) -> None:
        pass


class Stream(Event):
    def wait_stream(self, stream: "Stream") -> None:
        pass

    def wait_event(self, event: Event) -> None:
        pass

    def record_event(self, event: Event | None = None) -> Event:
        return event or Event()


class CardRecorder(Recorder):
    """As on a card, nothing is copied from one device to another while a recording goes on."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = super().__torch_dispatch__(func, types, args, kwargs)
        given = args[-1] if func.name().startswith("aten::copy_") else args[0] if args else None
        is_copy = func.name().startswith(("aten::copy_", "aten::_to_copy")) and isinstance(given, torch.Tensor)
        if is_copy and given.device != result.device and given.dim():
            raise NotRecordable(f"{func.name()} from {given.device} to {result.device} in a graph")
        return result


class Graph:
    """Stands in for `torch.cuda.CUDAGraph`."""

    def replay(self) -> None:
        for step in self.steps:
            replay(*step)


class Streams:
    """The functions of `torch.cuda` that know which stream is current and whether it is recorded."""

    def __init__(self):
        self.current, self.is_capturing = Stream(), False

    @contextmanager
    def stream(self, stream: Stream | None) -> Iterator[None]:
        former, self.current = self.current, stream or self.current
        yield
        self.current = former

    @contextmanager
    def graph(self, graph: Graph, pool: Any = None, stream: Stream | None = None, **settings: Any) -> Iterator[None]:
        """Left by an error, it leaves the stream of the recording behind, as torch's does."""
        former, self.current, self.is_capturing = self.current, stream or self.current, True
        try:
            with NumbersOfTheHost() as numbers, CardRecorder(numbers) as recorder:
                yield
        finally:
            self.is_capturing = False
        self.current, graph.steps = former, recorder.steps

    def set_stream(self, stream: Stream) -> None:
        self.current = stream

    def stand_ins(self) -> dict[str, Any]:
        return {
            "Event": Event,
            "Stream": Stream,
            "CUDAGraph": Graph,
            "stream": self.stream,
            "graph": self.graph,
            "set_stream": self.set_stream,
            "current_stream": lambda device=None: self.current,
            "is_current_stream_capturing": lambda: self.is_capturing,
            "graph_pool_handle": object,
        }
