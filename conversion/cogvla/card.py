"""What README.md of a CogVLA, OpenVLA-OFT or OpenVLA checkpoint says beyond its config."""

import re
from collections.abc import Sequence

from ..family_card import Card

END_EFFECTOR = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
# Of an action, by the platform that a conversion was told.
DIMENSION_NAMES = {
    **dict.fromkeys(("libero", "bridge", "calvin"), END_EFFECTOR),
    "aloha": tuple(f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS),
}


def dimension_names(report: dict) -> Sequence[str]:
    """Of the platform, where `--platform` said one."""
    known = [re.search(r"--platform (\w+)", fact["known"]) for fact in report["settings"].values()]
    return next((DIMENSION_NAMES.get(found[1], ()) for found in known if found), ())


CARD = Card(title="CogVLA", dimension_names=dimension_names)
