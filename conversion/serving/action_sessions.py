"""One action at a time: each session has a queue of the chunk that was predicted last, or averages over chunks.

The queue is LeRobot's `select_action`; the average is ACT's temporal ensembling (Zhao et al. 2023, arXiv:2304.13705,
algorithm 2: of the actions that several chunks have for this step, the oldest first, the i-th weighs exp(-m i)).
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

import numpy as np

from ...configuration.vla_errors import InputError

MAX_NAME = 128  # characters
SESSION_SECONDS = 60.0

Predict = Callable[[], Awaitable[np.ndarray]]


@dataclass
class Session:
    """What is left of a client's chunks.

    Attributes:
        task: what they were predicted for.
        steps: asked since the beginning.
        asked: when, by the clock of `time.monotonic`.
    """

    task: Hashable = None
    actions: deque[np.ndarray] = field(default_factory=deque)
    chunks: deque[tuple[int, np.ndarray]] = field(default_factory=deque)
    steps: int = 0
    asked: float = field(default_factory=time.monotonic)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self, task: Hashable) -> None:
        self.task, self.steps = task, 0
        self.actions.clear()
        self.chunks.clear()


class ActionSessions:
    """The sessions of one model, in an event loop; those that were not asked for longest make room for new ones.

    Args:
        n_action_steps: actions of a chunk that are executed before the next is predicted; `None`: all.
        ensemble: m above; a chunk is predicted at each step then. `None`: no ensembling.
        most: sessions that are kept.
        timeout: seconds without a question after which a session is forgotten: what its chunks were predicted for is
            not what the robot sees by then.
    """

    def __init__(
        self,
        n_action_steps: int | None = None,
        ensemble: float | None = None,
        most: int = 1024,
        timeout: float = SESSION_SECONDS,
    ):
        self.n_action_steps, self.ensemble, self.most, self.timeout = n_action_steps, ensemble, most, timeout
        self.sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self.sessions)

    async def next_action(self, name: str, task: Hashable, begins: bool, predict: Predict) -> np.ndarray:
        """The action (action_dim,) of this step.

        Args:
            name: of the session.
            task: instruction and what else a chunk was predicted for: actions of another one are never given.
            begins: an episode: nothing of the last one is given.
            predict: the chunk (num_action_chunks, action_dim) for what the robot sees now; not called while the queue
                has an action.

        Raises:
            whatever `predict` raises; no step was taken then, but what was dropped at a beginning stays dropped.
        """
        session = self.session(name)
        async with session.turn:
            if begins or task != session.task:
                session.begin(task)
            try:
                if self.ensemble is not None:
                    return self.averaged(session, await predict())
                if not session.actions:
                    session.actions.extend((await predict())[: self.n_action_steps])
                return session.actions.popleft()
            finally:
                session.asked = time.monotonic()

    def session(self, name: str) -> Session:
        """The session of a name; those that nobody asked for some time are forgotten, and the oldest where there is no
        room."""
        self.forget(time.monotonic() - self.timeout)
        session = self.sessions.setdefault(name, Session())
        self.sessions.move_to_end(name)
        while len(self.sessions) > self.most:
            self.sessions.popitem(last=False)
        return session

    def forget(self, before: float) -> None:
        """Those that were asked last before a moment, and that nobody is asking.

        They stand in the order in which questions came, not in that of the answers, by which they are forgotten.
        """
        for name, session in list(self.sessions.items()):
            if session.asked < before and not session.turn.locked():
                del self.sessions[name]

    def averaged(self, session: Session, chunk: np.ndarray) -> np.ndarray:
        session.chunks.append((session.steps, chunk))
        while session.steps - session.chunks[0][0] >= len(session.chunks[0][1]):
            session.chunks.popleft()
        actions = np.stack([chunk[session.steps - start] for start, chunk in session.chunks])
        weights = np.exp(-self.ensemble * np.arange(len(actions)))
        session.steps += 1
        return (actions * (weights / weights.sum())[:, None]).sum(axis=0).astype(chunk.dtype)


def checked_session(name: object) -> str:
    """Raises InputError for what is no name."""
    if not isinstance(name, str) or not name or len(name) > MAX_NAME:
        raise InputError(f"session is {name!r:.80}; a text of 1 to {MAX_NAME} characters is needed.")
    return name
