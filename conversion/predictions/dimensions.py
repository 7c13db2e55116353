"""What the dimensions of actions are called."""

NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")  # of an arm with one gripper


def dimension_names(count: int) -> list[str]:
    """Those of an arm where there are seven, else numbers."""
    return list(NAMES) if count == len(NAMES) else [f"dimension {number}" for number in range(count)]
