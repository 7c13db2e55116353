"""An environment of LeRobot that is cheap: the drawn table of examples/tiny_scene.py, in a process without vlahub.

`--env.discover_packages_path=drawn_table --env.type=drawn_table`; the actions move the gripper.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym
import numpy as np
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

sys.path.append(str(Path(__file__).parents[4] / "examples"))
from tiny_scene import HEIGHT, TASKS, WIDTH, block_positions, draw_table, wrist_view

STEPS = 6


@EnvConfig.register_subclass("drawn_table")
@dataclass
class DrawnTableEnv(EnvConfig):
    """Two cameras, a state of 8 numbers, actions of 7, as examples/tiny_dataset.py records them."""

    task: str = "Table-v0"
    fps: int = 10
    features: dict[str, PolicyFeature] = field(
        default_factory=lambda: {
            "action": PolicyFeature(FeatureType.ACTION, (7,)),
            "agent_pos": PolicyFeature(FeatureType.STATE, (8,)),
            "pixels/primary": PolicyFeature(FeatureType.VISUAL, (HEIGHT, WIDTH, 3)),
            "pixels/wrist": PolicyFeature(FeatureType.VISUAL, (HEIGHT, WIDTH, 3)),
        }
    )
    features_map: dict[str, str] = field(
        default_factory=lambda: {
            "action": "action",
            "agent_pos": "observation.state",
            "pixels/primary": "observation.images.primary",
            "pixels/wrist": "observation.images.wrist",
        }
    )

    @property
    def package_name(self) -> str:
        return "drawn_table"

    @property
    def gym_kwargs(self) -> dict:
        return {}


class DrawnTable(gym.Env):
    """An episode of `STEPS` steps; it succeeds where the gripper came down to its block."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    render_mode = "rgb_array"

    def __init__(self):
        view = gym.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self.observation_space = gym.spaces.Dict(
            {
                "pixels": gym.spaces.Dict({"primary": view, "wrist": view}),
                "agent_pos": gym.spaces.Box(-np.inf, np.inf, (8,), np.float64),
            }
        )
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (7,), np.float32)
        self._max_episode_steps = STEPS

    def reset(self, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        draws = self.np_random
        self.task, self.colour, _ = TASKS[draws.integers(len(TASKS))]
        self.task_description = self.task
        self.blocks = block_positions(draws)
        self.pose = np.concatenate([draws.uniform(-0.25, 0.25, 2), [0.3], draws.uniform(-0.1, 0.1, 3)])
        self.finger, self.steps = 0.04, 0
        return self.observed(), {"is_success": False}

    def step(self, action: np.ndarray):
        self.pose = self.pose + action[:6]
        self.finger = 0.04 * (1 - float(action[6]))
        self.steps += 1
        success = bool(np.linalg.norm(self.pose[:2] - self.blocks[self.colour]) < 0.05)
        is_over = self.steps >= STEPS
        return self.observed(), float(success), is_over and success, is_over, {"is_success": success}

    def observed(self) -> dict:
        view = draw_table(self.blocks, np.maximum(self.pose[:3], (-1, -1, 0)))
        pixels = {"primary": np.asarray(view), "wrist": np.asarray(wrist_view(view, self.pose))}
        return {"pixels": pixels, "agent_pos": np.array([*self.pose, self.finger, -self.finger])}

    def render(self) -> np.ndarray:
        return self.observed()["pixels"]["primary"]


gym.register(id="drawn_table/Table-v0", entry_point=DrawnTable)
