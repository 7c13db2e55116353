"""Which decoder layers prune vision tokens, and how many they keep (CogVLA, arXiv 2508.21046, "LFP").

Upstream: JiuTian-VL/CogVLA, prismatic/models/modeling_llama.py.
"""

import math
import re

from ..vla_errors import ConfigError

FIXED_SCHEDULES = ("deep_all", "deep_all_wo_last", "interleave")
DECAY_PATTERN = re.compile(r"(shiftedcos|shiftedlinear)_decay_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)")


def lfp_keep_ratios(lfp_type: str, average: float, num_layers: int, schedule_layers: int) -> dict[int, float]:
    """Share of the vision tokens that each pruning layer keeps, as `{layer: ratio}` in ascending order.

    A decay schedule, `shiftedcos_decay_MAX_MIN` or `shiftedlinear_decay_MAX_MIN`, falls from `average + 0.5` at layer 0
    to `average - 0.5` at layer `schedule_layers - 1`, is clipped below at MIN, and applies from the first layer whose
    ratio is at most MAX. The published code fixes `schedule_layers` at 32 whatever the depth of the model. The other
    types keep the share `average` in a fixed set of layers.

    Raises:
        ConfigError: `lfp_type` is unknown.
    """
    if match := DECAY_PATTERN.fullmatch(lfp_type):
        ratio_of = {"shiftedcos": shifted_cos, "shiftedlinear": shifted_linear}[match[1]]
        highest, lowest = float(match[2]), float(match[3])
        ratios = {i: max(ratio_of(i, schedule_layers) + average, lowest) for i in range(num_layers)}
        return {i: ratio for i, ratio in ratios.items() if ratio <= highest}
    if lfp_type == "deep_all":
        return dict.fromkeys(range(2, num_layers), average)
    if lfp_type == "deep_all_wo_last":
        return dict.fromkeys(range(2, num_layers - 1), average)
    if lfp_type == "interleave":
        return dict.fromkeys(range(1, num_layers, 2), average)
    known = ", ".join(FIXED_SCHEDULES)
    raise ConfigError(
        f"lfp_type {lfp_type!r} is unknown: use {known}, or a decay such as 'shiftedcos_decay_0.85_0.15' "
        "or 'shiftedlinear_decay_0.75_0.15' (largest and smallest ratio)."
    )


def shifted_cos(layer: int, schedule_layers: int) -> float:
    """Half a cosine from 0.5 at layer 0 to -0.5 at the last layer of the schedule."""
    return math.cos(layer * math.pi / (schedule_layers - 1)) / 2


def shifted_linear(layer: int, schedule_layers: int) -> float:
    """A line from 0.5 at layer 0 to -0.5 at the last layer of the schedule."""
    return 0.5 - layer / (schedule_layers - 1)
