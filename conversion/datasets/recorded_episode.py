"""One episode as any format records it, and what is chosen of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError

ACTION, STATE = "action", "observation.state"
IMAGES = "observation.images."


@dataclass(frozen=True)
class Choice:
    """Which of the recorded entries are taken, by their paths such as `observations/qpos`; `None`: what is usual.

    Attributes:
        action, state: entries that are joined to one vector in their order.
        images: cameras, main camera first.
        text: entry of the instruction.
        instruction: of all episodes, in the place of recorded ones.
    """

    action: Sequence[str] | None = None
    state: Sequence[str] | None = None
    images: Sequence[str] | None = None
    text: str | None = None
    instruction: str | None = None


@dataclass(frozen=True)
class RecordedEpisode:
    """What was recorded.

    Attributes:
        name: of the episode, for messages.
        images: by column, (steps, height, width, 3) uint8, RGB.
        vectors: by column, (steps, numbers) float32 or float64.
        texts: the instruction of each step.
    """

    name: str
    images: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def recorded_episode(
    name: str,
    cameras: Mapping[str, np.ndarray],
    action: Mapping[str, Any],
    state: Mapping[str, Any],
    texts: str | Sequence[str],
    swap_colours: bool = False,
) -> RecordedEpisode:
    """Check and join what was read of one episode.

    Args:
        cameras: by name, (steps, height, width, 3) uint8.
        action, state: by name, (steps, ...) numbers each; no state where it is empty.
        texts: of the episode, or of each step.
        swap_colours: the images were recorded as blue, green, red.

    Raises:
        InputError: parts have different numbers of steps, there is no step, numbers are not finite, or images are no
            images; the message names the episode and the part.
    """
    vectors = {ACTION: joined(name, action)} | ({STATE: joined(name, state)} if state else {})
    steps = len(vectors[ACTION])
    texts = [texts] * steps if isinstance(texts, str) else list(texts)
    images = {f"{IMAGES}{short(camera)}": np.asarray(pictures) for camera, pictures in cameras.items()}
    if len(images) != len(cameras):
        raise InputError(f"{name}: the cameras {list(cameras)} have names that end alike; choose with --images.")
    lengths = {column: len(values) for column, values in {**vectors, **images, "instruction": texts}.items()}
    if steps == 0 or set(lengths.values()) != {steps}:
        raise InputError(f"{name} has parts of different or no length: {lengths} steps.")
    for column, pictures in images.items():
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
            raise InputError(
                f"{name}: {column} holds {pictures.dtype} {pictures.shape}; (steps, height, width, 3) uint8 is needed."
            )
    if swap_colours:
        images = {column: pictures[..., ::-1] for column, pictures in images.items()}
    return RecordedEpisode(name, images, vectors, texts)


def joined(name: str, parts: Mapping[str, Any]) -> np.ndarray:
    """(steps, numbers) of all parts beside each other; float32 where no part needs more."""
    found = []
    for part, values in parts.items():
        values = np.asarray(values)
        if values.dtype.kind not in "fiub" or values.ndim < 1:
            raise InputError(f"{name}: {part!r} holds {values.dtype} {values.shape}; numbers of each step are needed.")
        exact = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        values = exact.reshape(len(values), int(np.prod(values.shape[1:])))
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            raise InputError(f"{name}: {part!r} is not finite in step {bad[0]}: {values[bad[0]].tolist()}.")
        found.append(values)
    if len({len(values) for values in found}) > 1:
        lengths = {part: len(values) for part, values in zip(parts, found, strict=True)}
        raise InputError(f"{name} has parts of different length: {lengths} steps.")
    return np.concatenate(found, axis=1)


def short(name: str) -> str:
    """The name of a camera without where it lies: `observations/images/cam_high` -> `cam_high`."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def present(wanted: Sequence[str] | None, usual: Sequence[Sequence[str]], known: Sequence[str], what: str) -> list[str]:
    """The entries that are taken: those wanted, or the first of the usual ones that are all there, or none.

    Raises:
        InputError: one that is wanted is not there.
    """
    if wanted is not None:
        if missing := [name for name in wanted if name not in known]:
            raise InputError(f"--{what}: there is no {missing[0]!r}; there are {', '.join(sorted(known))}.")
        return list(wanted)
    return next((list(names) for names in usual if set(names) <= set(known)), [])
