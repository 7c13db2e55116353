"""One thread that owns a model, and what waits for it: requests of many clients, answered in batches and in turn."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from .refusals import RequestRefused, ServerBusy

STOPS = "the server stops, and takes no more requests."
CLIENTS_SHARE = 0.5  # of the places that one client may take


@dataclass(frozen=True)
class Answer:
    """What a request gets.

    Attributes:
        value: that was predicted.
        batch_size: requests that were predicted together.
        waited, predicted: seconds in the queue, and in the model.
    """

    value: Any
    batch_size: int
    waited: float
    predicted: float


@dataclass(eq=False)
class Waiting:
    """One request. group: those of an equal one may be predicted together; `None`: by itself."""

    request: Any
    group: Hashable
    future: Future = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class PredictionQueue:
    """Collects requests for a few milliseconds, and has them predicted by its thread, which nothing else asks.

    Clients take turns: of each batch every client has a place before one has two, in the order in which they came; what
    cannot join a batch leads the next.

    Args:
        predict: requests of one group -> a value for each.
        window: seconds that the first of a batch waits for others.
        sizes: of batches, ascending from 1: the largest that is waiting is taken.
        max_waiting: requests that wait, of which one client has at most a half.
        observe: told the size of each batch.

    Attributes:
        is_predicting: the thread has a batch that is not answered yet.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Any]], Sequence[Any]],
        window: float,
        sizes: Sequence[int],
        max_waiting: int,
        observe: Callable[[int], None] = lambda size: None,
    ):
        self.predict, self.observe = predict, observe
        self.window, self.sizes, self.max_waiting = window, sizes, max_waiting
        self.clients: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self.changed = threading.Condition()
        self.is_closed = self.is_predicting = False
        self.thread = threading.Thread(target=self.run, name="vlahub predictions", daemon=True)
        self.thread.start()

    def __len__(self) -> int:
        return sum(map(len, list(self.clients.values())))

    def is_working(self) -> bool:
        """Whether requests are taken and answered."""
        return self.thread.is_alive() and not self.is_closed

    def submit(self, request: Any, group: Hashable, client: str) -> "Future[Answer]":
        """A request's place in the queue; its future, cancelled before the model has it, gives the place back.

        Raises:
            ServerBusy: there is no place, or none more for this client.
            RequestRefused: the server stops.
        """
        with self.changed:
            if self.is_closed:
                raise RequestRefused(STOPS, 503)
            mine = len(self.clients.get(client, ()))
            if len(self) >= self.max_waiting or mine >= self.max_waiting * CLIENTS_SHARE:
                raise ServerBusy(f"{len(self)} requests wait, {mine} of them this client's; ask again in a moment.")
            waiting = Waiting(request, group)
            self.clients.setdefault(client, deque()).append(waiting)
            self.changed.notify_all()
        waiting.future.add_done_callback(lambda future: self.drop(waiting, client) if future.cancelled() else None)
        return waiting.future

    def drop(self, waiting: Waiting, client: str) -> None:
        """What nobody waits for leaves the queue: it takes no place there, and none in a batch."""
        with self.changed:
            entries = self.clients.get(client, deque())
            if waiting in entries:
                entries.remove(waiting)
            if not entries:
                self.clients.pop(client, None)

    def close(self, timeout: float) -> None:
        """Answer what waits, and end; after `timeout` seconds what is left is refused."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()
        self.thread.join(timeout)
        with self.changed:
            left = [waiting for entries in self.clients.values() for waiting in entries]
            self.clients.clear()
        for waiting in left:
            if waiting.future.set_running_or_notify_cancel():
                waiting.future.set_exception(RequestRefused("the server has stopped.", 503))

    def run(self) -> None:
        while batch := self.next_batch():
            started = [waiting for waiting in batch if waiting.future.set_running_or_notify_cancel()]
            if started:
                self.answer(started)

    def next_batch(self) -> list[Waiting]:
        """Those that are predicted next; empty at the end of all."""
        with self.changed:
            self.is_predicting = False
            while self.clients or not self.is_closed:
                left = self.seconds_to_wait()
                if left is not None and left <= 0:
                    self.is_predicting = True
                    return taken(self.clients, self.sizes)
                self.changed.wait(left)
            return []

    def seconds_to_wait(self) -> float | None:
        """Until the next batch is taken; `None`: until something is there."""
        if not self.clients:
            return None
        first = next(iter(self.clients.values()))[0]
        if first.group is None or len(self) >= self.sizes[-1] or self.is_closed:
            return 0
        return first.since + self.window - time.monotonic()

    def answer(self, batch: list[Waiting]) -> None:
        """Every future of a batch gets a value or an error; where a batch fails, each request is tried by itself."""
        start = time.monotonic()
        try:
            values = self.predict([waiting.request for waiting in batch])
        except BaseException as error:  # a thread that ended would leave everybody waiting
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for waiting in batch:
                self.answer([waiting])
            return
        seconds = time.monotonic() - start
        self.observe(len(batch))
        for waiting, value in zip(batch, values, strict=True):
            waiting.future.set_result(Answer(value, len(batch), start - waiting.since, seconds))


def taken(clients: OrderedDict[str, deque[Waiting]], sizes: Sequence[int]) -> list[Waiting]:
    """Take the next batch out of the queue: what the first client asks, and what others ask that may join it."""
    group = next(iter(clients.values()))[0].group
    joins = sum(len(list(takewhile(lambda waiting: waiting.group == group, entries))) for entries in clients.values())
    size = 1 if group is None else max(size for size in sizes if size <= joins)
    batch: list[Waiting] = []
    while len(batch) < size:
        client = next(name for name, entries in clients.items() if entries[0].group == group)
        entries = clients.pop(client)
        batch.append(entries.popleft())
        if entries:
            clients[client] = entries  # behind all others
    return batch
