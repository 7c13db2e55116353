"""The numbers of `action_space_cfg`: bounds, means and deviations of accelerations and curvatures."""

import math
from collections.abc import Mapping
from typing import Any

from ..normalization_statistics import is_number
from ..vla_errors import ConfigError

FIELDS = ("accel", "curvature")


def check_action_space(settings: Mapping[str, Any]) -> None:
    """Refuse an action space whose bounds are no pair of finite numbers, or whose mean or deviation is none.

    Raises:
        ConfigError: the message names the entry and its value.
    """
    for field in FIELDS:
        bounds = settings[f"{field}_bounds"]
        if not isinstance(bounds, (list, tuple)) or len(bounds) != 2 or not all(map(is_finite_number, bounds)):
            raise ConfigError(f"action_space_cfg.{field}_bounds={bounds!r} must be two finite numbers.")
        for name in (f"{field}_mean", f"{field}_std"):
            if not is_finite_number(settings[name]):
                raise ConfigError(f"action_space_cfg.{name}={settings[name]!r} must be a finite number.")


def is_finite_number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)
