"""Which columns of a dataset the examples of a training are made of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ExampleColumns:
    """Names of columns; the arguments of `ActionChunks` and, where a car has such, of `DrivingScenes`.

    Attributes:
        state: of the robot, or of the car's pose.
        repeat_last: let models learn to repeat the last action of an episode.
    """

    images: Sequence[str]
    state: Sequence[str] | None
    action: Sequence[str] = ("action",)
    text: str = "task"
    weight: str | None = None
    advantage: str | None = None
    embodiment: str | None = None
    answer: str | None = None
    repeat_last: bool = False
