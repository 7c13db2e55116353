"""A task of Meta-World in LeRobot's own environment, with its scripted expert; what the closed loop needs of both.

LeRobot's observation is the camera's frame (480, 480, 3) and the hand: its position in metres, and how far it is open.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

os.environ.setdefault("MUJOCO_GL", "osmesa")  # renders without a card and without a screen
try:
    from lerobot.envs.metaworld import TASK_DESCRIPTIONS, MetaworldEnv
except ImportError as error:
    sys.exit(f"{error}: Meta-World and LeRobot are in the environment that `make .venv-lerobot/metaworld` makes.")
except AttributeError as error:  # PyOpenGL's, where it finds no library
    sys.exit(
        f"MUJOCO_GL={os.environ['MUJOCO_GL']} cannot render here ({error}): install OSMesa (Debian and Ubuntu: "
        "`apt-get install libosmesa6`), or set MUJOCO_GL=egl on a machine with a card."
    )

TASKS = ("reach-v3", "button-press-topdown-v3")
MAX_STEPS = 500  # of LeRobot's evaluation


class Step(NamedTuple):
    """One step of the expert.

    Attributes:
        state: (4,) float32, the hand before the step.
        action: (4,) float32 in -1..1, what the expert does there.
    """

    state: np.ndarray
    action: np.ndarray


class Scene:
    """One environment, made as `lerobot-eval` makes it.

    Args:
        light: render without anti-aliasing and with a coarser map of shadows, which takes a third of the time; scaled
            down to the size of a small model the frames differ by less than 0.3 of 255 on average.
    """

    def __init__(self, task: str, light: bool = False):
        self.environment = MetaworldEnv(task, obs_type="pixels_agent_pos")
        self.environment._ensure_env()
        self.simulation = self.environment._env
        if light:
            quality = self.simulation.model.vis.quality  # read when the first frame is rendered
            quality.offsamples, quality.shadowsize = 0, 512
        self.instruction = TASK_DESCRIPTIONS[task]
        self.observed = None

    def reset(self, seed: int) -> None:
        """As LeRobot's environment, without rendering."""
        self.simulation.seed(seed)
        self.observed, _ = self.simulation.reset(seed=seed)

    def frame(self) -> np.ndarray:
        """(480, 480, 3) uint8, as LeRobot's environment returns it.

        Gymnasium draws in the context that is current, which with two scenes in a process may be the other one's:
        without an error, with the other's objects.
        """
        if viewer := self.simulation.mujoco_renderer.viewer:  # none before the first frame
            viewer.make_context_current()
        return np.ascontiguousarray(self.environment.render())

    def expert_step(self) -> Step:
        """What the expert does now; it sees where the goal is, which no observation of LeRobot says."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of actions above 1, which are clipped here
            action = self.environment.expert_policy.get_action(self.observed)
        return Step(self.observed[:4].astype(np.float32), np.clip(action, -1, 1).astype(np.float32))

    def step(self, action: np.ndarray) -> bool:
        """Move without rendering; whether the task is solved now."""
        self.observed, *_, info = self.simulation.step(action)
        return bool(info["success"])


def expert_success(task: str, seeds: range) -> Iterator[bool]:
    """Of each seed, whether the expert solves the task within LeRobot's steps."""
    scene = Scene(task, light=True)
    for seed in seeds:
        scene.reset(seed)
        yield any(scene.step(scene.expert_step().action) for _ in range(MAX_STEPS))
