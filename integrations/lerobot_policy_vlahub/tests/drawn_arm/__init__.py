"""A robot of LeRobot without hardware: it always sees the same, and keeps what it was told.

`--robot.discover_packages_path=drawn_arm --robot.type=drawn_arm`
"""

from dataclasses import dataclass

from lerobot.robots.config import RobotConfig
from lerobot.robots.robot import Robot
from observations import HEIGHT, WIDTH, seen

JOINTS, MOTORS = ([f"{kind}_{i}.pos" for i in range(count)] for kind, count in (("joint", 8), ("motor", 7)))
SENT = []  # actions, oldest first


@RobotConfig.register_subclass("drawn_arm")
@dataclass(kw_only=True)
class DrawnArmConfig(RobotConfig):
    """Without a port, or a camera's index."""


class DrawnArm(Robot):
    config_class, name = DrawnArmConfig, "drawn_arm"
    is_calibrated = True
    is_connected = False
    cameras = {}

    @property
    def observation_features(self) -> dict:
        return dict.fromkeys(JOINTS, float) | dict.fromkeys(("primary", "wrist"), (HEIGHT, WIDTH, 3))

    @property
    def action_features(self) -> dict:
        return dict.fromkeys(MOTORS, float)

    def connect(self, calibrate: bool = True) -> None:
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def calibrate(self) -> None:
        pass

    configure = calibrate

    def get_observation(self) -> dict:
        observation = seen(1)
        views = {name: image[0] for name, image in observation["pixels"].items()}
        return dict(zip(JOINTS, observation["agent_pos"][0].tolist(), strict=True)) | views

    def send_action(self, action: dict) -> dict:
        SENT.append([action[name] for name in MOTORS])
        return action
