"""What lies elsewhere, or is called otherwise, in LeRobot 0.4 and 0.6."""

from importlib.util import find_spec

try:
    from lerobot.common.control_utils import predict_action
except ImportError:
    from lerobot.utils.control_utils import predict_action

try:
    from lerobot.envs.utils import env_to_policy_features
except ImportError:
    from lerobot.utils.feature_utils import env_to_policy_features

__all__ = ["ROBOT_COMMAND", "env_to_policy_features", "predict_action"]


def rollout(task, folder):
    """Of 0.6: nothing is recorded."""
    return {"task": task, "fps": 100, "duration": 2, "return_to_initial_position": "false"}


def record(task, folder):
    """Of 0.4."""
    fixed = {"repo_id": "me/eval_drawn", "root": folder, "single_task": task, "num_episodes": 1, "fps": 100}
    fixed |= {"episode_time_s": 2, "reset_time_s": 0, "push_to_hub": "false", "vcodec": "h264"}
    return {f"dataset.{name}": value for name, value in fixed.items()}


ROBOT_COMMAND = ("rollout", rollout) if find_spec("lerobot.rollout") else ("record", record)
