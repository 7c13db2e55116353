"""New rows of embeddings, for tokens that a base model does not know.

They are what transformers' `resize_token_embeddings` makes of them (`mean_resizing`, Hewitt 2021): the mean of all old
rows, and noise of a billionth of their variance, here in each column by itself and not of their whole covariance. So a
new token is as likely as an average one.
"""

from collections.abc import Iterable

import torch

from .seeded_numbers import normal_numbers

NOISE = 1e-9  # variance of new rows, in that of the old ones
Moments = tuple[torch.Tensor, torch.Tensor]


def moments_of(blocks: Iterable[torch.Tensor]) -> Moments:
    """Mean and standard deviation (width,) of rows that come in blocks (rows, width), float64."""
    count, total, squares = 0, 0.0, 0.0
    for block in blocks:
        block = block.double()
        count += len(block)
        total = total + block.sum(dim=0)
        squares = squares + block.square().sum(dim=0)
    mean = total / count
    return mean, (squares / count - mean.square()).clamp(min=0).sqrt()


def new_rows(moments: Moments, name: str, seed: int, first: int, last: int) -> torch.Tensor:
    """The new rows from `first` to `last`, (last - first, width) float64; name, seed: decide the noise."""
    mean, deviation = moments
    noise = torch.from_numpy(normal_numbers(name, seed, 1.0, first * len(mean), last * len(mean)))
    return mean + NOISE**0.5 * deviation * noise.view(-1, len(mean)).double()
