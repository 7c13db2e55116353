"""What several properties draw: tensors by a seed, masks of padding, numbers that float32 holds."""

import numpy as np
import torch
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)


def numbers(seed, *shape, scale=1.0):
    """float32, normal; a seed is drawn, and not the numbers, where their values hardly matter."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape) * scale).float()


def floats(low, high):
    """Finite numbers that float32 holds exactly."""
    low, high = (float(np.float32(end)) for end in (low, high))
    return st.floats(low, high, width=32, allow_subnormal=False)


@st.composite
def padding_masks(draw, least=1, most=10, rows=4, side=None):
    """(batch, length) bool: each row has tokens, at the start (`right`), at the end (`left`) or anywhere (`any`)."""
    batch, length = draw(st.integers(1, rows)), draw(st.integers(least, most))
    side = side or draw(st.sampled_from(["right", "left", "any"]))
    if side == "any":
        row = st.lists(st.booleans(), min_size=length, max_size=length).filter(any)
        return torch.tensor([draw(row) for _ in range(batch)])
    counts = torch.tensor([draw(st.integers(least, length)) for _ in range(batch)])
    is_token = torch.arange(length) < counts[:, None]
    return is_token if side == "right" else is_token.flip(1)
