"""Open-loop evaluation: errors of predicted chunks and trajectories, and success of gripper events."""

from vlahub.training.action_errors import ExecutedActions, action_errors, executed_actions
from vlahub.training.alpamayo_r1.trajectory_errors import trajectory_errors
from vlahub.training.gripper_events import gripper_events

__all__ = ["ExecutedActions", "action_errors", "executed_actions", "gripper_events", "trajectory_errors"]
