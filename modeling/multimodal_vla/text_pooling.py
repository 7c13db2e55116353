"""One vector of a text, out of the states of its tokens."""

import torch

from ..masking import masked_mean


def pooled_text(states: torch.Tensor, real: torch.Tensor, pooling: str) -> torch.Tensor:
    """(batch, 1, hidden_size): the state of the last token, that of the first (`cls`), or the mean of all.

    states: (batch, length, hidden_size); real: (batch, length) bool, false on padding, anywhere.
    """
    if pooling == "mean":
        return masked_mean(states, real)
    places = torch.arange(real.shape[1], device=real.device)
    if pooling == "last":
        place = places.masked_fill(~real, -1).amax(dim=1)
    else:
        place = places.masked_fill(~real, real.shape[1]).amin(dim=1)
    return states[torch.arange(len(states), device=states.device), place].unsqueeze(1)
