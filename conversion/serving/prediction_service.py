"""The one place that takes an observation, whatever the protocol: checked, queued, predicted, or refused."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from .action_sessions import ActionSessions
from .limits import Limits
from .observation_map import ObservationMap
from .prediction_queue import Answer, PredictionQueue
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
    """A policy by its name, with what waits for it. unnorm_key: for clients that send none."""

    name: str
    policy: ServedPolicy
    queue: PredictionQueue
    sessions: ActionSessions
    unnorm_key: str | None = None

    def facts(self) -> dict[str, Any]:
        """JSON."""
        default = {} if self.unnorm_key is None else {"unnorm_key": self.unnorm_key}
        return {"model": self.name, "vlahub": version("vlahub"), **self.policy.facts(), **default}


@dataclass
class PredictionService:
    """The models that are served, the first of which answers where none is named."""

    limits: Limits = field(default_factory=Limits)
    observation_map: ObservationMap | None = None
    metrics: ServerMetrics = field(default_factory=ServerMetrics)
    models: dict[str, ServedModel] = field(default_factory=dict)
    open: int = 0  # requests that are being read and answered

    def add(
        self,
        name: str,
        policy: ServedPolicy,
        batching: Batching,
        sessions: ActionSessions,
        unnorm_key: str | None = None,
    ) -> None:
        """Serve a policy, whose weights are read, under a name."""
        queue = PredictionQueue(
            policy.predicted,
            batching.window,
            batching.sizes(policy.is_fast),
            batching.waiting,
            lambda size: self.metrics.add_batch(name, size),
        )
        self.models[name] = ServedModel(name, policy, queue, sessions, unnorm_key)

    def model(self, name: str | None = None) -> ServedModel:
        """Raises RequestRefused (404) for a name that none has."""
        found = next(iter(self.models.values())) if name is None else self.models.get(name)
        if found is None:
            raise RequestRefused(f"there is no model {name!r} here; served are {', '.join(self.models)}.", 404)
        return found

    @contextmanager
    def place(self, model: ServedModel) -> Iterator[None]:
        """For one request, before its body is read. Raises ServerBusy where as many are read and answered as may."""
        if self.open >= model.queue.max_waiting:
            raise ServerBusy(f"{self.open} requests are being answered; ask again in a moment.")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def prepared(self, model: ServedModel, observation: Mapping[str, Any]) -> Any:
        """An observation in the model's form. Raises InputError; nothing was queued."""
        given = dict(observation)
        if given.get("unnorm_key") is None:
            given["unnorm_key"] = model.unnorm_key
        prepared = await asyncio.to_thread(model.policy.prepared, given)
        self.metrics.add_far(model.name, prepared.far)
        return prepared

    async def predict(self, model: ServedModel, prepared: Any, client: str) -> Answer:
        """What the model predicts for it.

        Raises:
            ServerBusy: there is no place in the queue.
            RequestRefused: no answer within the time (504).
            InputError, NonFiniteError: of the model.
        """
        future = asyncio.wrap_future(model.queue.submit(prepared, prepared.group, client))
        try:
            return await asyncio.wait_for(future, self.limits.timeout)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise RequestRefused(f"no answer within {self.limits.timeout:g} seconds; ask again later.", 504) from error

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

    def close(self, timeout: float = 10.0) -> None:
        """Answer what waits, and end."""
        for model in self.models.values():
            model.queue.close(timeout)
