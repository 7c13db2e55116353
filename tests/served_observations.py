"""Observations for the tiny checkpoints of `families.py`, as a client has them."""

import numpy as np
from families import FAMILIES, INSTRUCTION, STATE

ROBOTS = [name for name, family in FAMILIES.items() if family.unnorm_key]


def observation(number=0, **changes):
    """What fits a tiny checkpoint of two views; another number, another scene."""
    random = np.random.default_rng(number)
    images = list(random.integers(0, 256, (2, 40, 48, 3), dtype=np.uint8))
    state = [value + 0.01 * number for value in STATE]
    given = {"images": images, "instruction": INSTRUCTION, "state": state} | changes
    return {name: value for name, value in given.items() if value is not None}
