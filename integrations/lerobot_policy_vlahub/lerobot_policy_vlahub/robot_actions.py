"""What a simulator is told, where it takes other actions than a checkpoint learnt."""

import torch


def robosuite_gripper(actions: torch.Tensor) -> torch.Tensor:
    """Actions (..., action_dim) whose last number is a gripper's in OpenVLA's units, as robosuite and LIBERO take them.

    0 is closed and 1 open there; here -1 opens and 1 closes. Source: openvla/openvla,
    experiments/robot/robot_utils.py, `normalize_gripper_action` with `binarize`, then `invert_gripper_action`.
    """
    return torch.cat([actions[..., :-1], torch.sign(1 - 2 * actions[..., -1:])], dim=-1)
