"""The one place that takes an observation, whatever the protocol: checked, queued, predicted, or refused."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from .action_sessions import ActionSessions
from .limits import Limits
from .observation_map import ObservationMap
from .prediction_queue import STOPS, Answer, PredictionQueue
from .refusals import RequestRefused, ServerBusy
from .served_policy import ServedPolicy
from .server_metrics import ServerMetrics


@dataclass(frozen=True)
class Batching:
    """window: seconds that a request waits for others; size: requests predicted together; waiting: in the queue."""

    window: float = 0.005
    size: int = 8
    waiting: int = 64

    def sizes(self, is_fast: bool) -> tuple[int, ...]:
        """Of batches: all, or 1, 2, 4, ... of fast prediction, which records each by itself."""
        return tuple(n for n in range(1, self.size + 1) if not is_fast or n & (n - 1) == 0)


@dataclass
class ServedModel:
    """A policy by its name, with what waits for it. unnorm_key, instruction: for clients that send none."""

    name: str
    policy: ServedPolicy
    queue: PredictionQueue
    sessions: ActionSessions
    unnorm_key: str | None = None
    instruction: str | None = None

    @property
    def defaults(self) -> dict[str, str]:
        """What clients need not send."""
        given = {"unnorm_key": self.unnorm_key, "instruction": self.instruction}
        return {name: value for name, value in given.items() if value is not None}

    def facts(self) -> dict[str, Any]:
        """JSON."""
        return {"model": self.name, "vlahub": version("vlahub"), **self.policy.facts(), **self.defaults}


@dataclass
class PredictionService:
    """The models that are served, the first of which answers where none is named.

    Attributes:
        open: requests that are being read and answered.
        is_stopping: no more are taken.
        predicting: one prediction at a time, of whatever model: they share the generator that a seed sets, and no
            kernel of another may run while one records its graphs.
    """

    limits: Limits = field(default_factory=Limits)
    observation_map: ObservationMap | None = None
    metrics: ServerMetrics = field(default_factory=ServerMetrics)
    models: dict[str, ServedModel] = field(default_factory=dict)
    open: int = 0
    is_stopping: bool = False
    predicting: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        name: str,
        policy: ServedPolicy,
        batching: Batching,
        sessions: ActionSessions,
        unnorm_key: str | None = None,
        instruction: str | None = None,
    ) -> None:
        """Serve a policy, whose weights are read, under a name."""

        def predicted(requests: Sequence[Any]) -> Sequence[Any]:
            with self.predicting:
                return policy.predicted(requests)

        queue = PredictionQueue(
            predicted,
            batching.window,
            batching.sizes(policy.is_fast),
            batching.waiting,
            lambda size: self.metrics.add_batch(name, size),
        )
        self.models[name] = ServedModel(name, policy, queue, sessions, unnorm_key, instruction)

    def is_working(self) -> bool:
        """Whether requests are taken and answered."""
        return not self.is_stopping and all(model.queue.is_working() for model in self.models.values())

    def model(self, name: str | None = None) -> ServedModel:
        """Raises RequestRefused (404) for a name that none has."""
        found = next(iter(self.models.values())) if name is None else self.models.get(name)
        if found is None:
            raise RequestRefused(f"there is no model {name!r} here; served are {', '.join(self.models)}.", 404)
        return found

    @contextmanager
    def place(self, model: ServedModel) -> Iterator[None]:
        """For one request, before its body is read, until its answer is sent.

        Raises:
            ServerBusy: as many are read and answered as may.
            RequestRefused: the server stops.
        """
        if self.is_stopping:
            raise RequestRefused(STOPS, 503)
        if self.open >= model.queue.max_waiting:
            raise ServerBusy(f"{self.open} requests are being answered; ask again in a moment.")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def prepared(self, model: ServedModel, observation: Mapping[str, Any]) -> Any:
        """An observation in the model's form. Raises InputError; nothing was queued."""
        given = model.defaults | {name: value for name, value in observation.items() if value is not None}
        prepared = await asyncio.to_thread(model.policy.prepared, given)
        self.metrics.add_far(model.name, prepared.far)
        return prepared

    async def predict(self, model: ServedModel, prepared: Any, client: str) -> Answer:
        """What the model predicts for it; cancelled, it leaves the queue.

        Raises:
            ServerBusy: there is no place in the queue.
            RequestRefused: the server stops.
            InputError, NonFiniteError: of the model.
        """
        return await asyncio.wrap_future(model.queue.submit(prepared, prepared.group, client))

    def gauges(self) -> dict[str, dict[str, float]]:
        return {
            "vlahub_queue_length": {name: len(model.queue) for name, model in self.models.items()},
            "vlahub_sessions": {name: len(model.sessions) for name, model in self.models.items()},
        }

    def warm_up(self) -> dict[str, float]:
        """Each model predicts what shows nothing, before anybody asks: once, and with fast prediction in all sizes of
        batches, so that all is recorded; seconds by name."""
        seconds = {}
        for name, model in self.models.items():
            start = time.monotonic()
            request = model.policy.prepared(model.policy.blank())
            for size in model.queue.sizes if model.policy.is_fast and request.group is not None else (1,):
                model.policy.predicted([request] * size)
            seconds[name] = time.monotonic() - start
        return seconds

    def is_predicting(self) -> bool:
        """Whether a prediction that nobody waits for goes on behind a `close`."""
        return any(model.queue.is_predicting for model in self.models.values())

    def close(self, timeout: float = 10.0) -> None:
        """Answer what waits, and end."""
        for model in self.models.values():
            model.queue.close(timeout)
