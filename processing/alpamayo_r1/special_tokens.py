"""The tokens of trajectories; the model needs them, too, and they are `trajectory_vocabulary.py`'s."""

from ...configuration.alpamayo_r1.trajectory_vocabulary import (
    SPECIAL_TOKEN_KEYS,
    SPECIAL_TOKENS,
    TRAJ_TOKEN,
    VALUE_TOKEN,
    add_trajectory_tokens,
)

__all__ = ["SPECIAL_TOKENS", "SPECIAL_TOKEN_KEYS", "TRAJ_TOKEN", "VALUE_TOKEN", "add_trajectory_tokens"]
