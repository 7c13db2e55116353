"""Which columns of a dataset the examples of a training are made of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ExampleColumns:
    """Names of columns; the arguments of `ActionChunks` and, where a car has such, of `DrivingScenes`.

    Attributes:
        text: of the instruction; where none is named a robot's is `task`, and a car has none.
        state: of the robot, or of the car's pose.
        repeat_last: let models learn to repeat the last action of an episode.
    """

    images: Sequence[str]
    state: Sequence[str] | None
    action: Sequence[str] = ("action",)
    text: str | None = None
    weight: str | None = None
    advantage: str | None = None
    embodiment: str | None = None
    answer: str | None = None
    repeat_last: bool = False
