"""Numbers as tokens: even bins over a fixed range for each dimension."""

from collections.abc import Sequence

import torch

from ...configuration.vla_errors import ConfigError, InputError


class Bins:
    """Even bins over a range for each dimension; the first and the last are centred on its ends.

    Raises:
        ConfigError: the ranges differ in length or are empty, or there are fewer than two bins.
    """

    def __init__(self, least: Sequence[float], greatest: Sequence[float], count: int):
        if len(least) != len(greatest) or not all(a < b for a, b in zip(least, greatest, strict=True)):
            raise ConfigError(f"bins cannot reach from {list(least)} to {list(greatest)}.")
        if count < 2:
            raise ConfigError(f"num_bins={count} must be 2 or more.")
        self.least, self.greatest, self.count = tuple(least), tuple(greatest), count

    def range_like(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower end and width of each dimension, float32; filled in on the device, for a copy to it would wait."""
        least, greatest = (
            torch.stack([torch.full((), bound, dtype=torch.float32, device=values.device) for bound in end])
            for end in (self.least, self.greatest)
        )
        return least, greatest - least

    def encode(self, values: torch.Tensor) -> torch.LongTensor:
        """(..., dimensions) -> tokens of the same shape; what lies outside falls into the outermost bins."""
        least, width = self.range_like(values)
        tokens = ((values.float() - least) / width * (self.count - 1)).round().nan_to_num()  # never an id out of range
        return tokens.clamp(0, self.count - 1).long()

    def outside(self, values: torch.Tensor) -> torch.Tensor:
        """Which values (..., dimensions) `encode` takes for others, more than half a bin away: bool."""
        least, width = self.range_like(values)
        tokens = (values.float() - least) / width * (self.count - 1)
        return (tokens < -0.5) | (tokens > self.count - 0.5)

    def decode(self, tokens: torch.LongTensor) -> torch.Tensor:
        """Tokens (..., dimensions) -> the middle of their bins, float32.

        Raises:
            InputError: a token is not one of the bins.
        """
        if tokens.numel() and (tokens.min() < 0 or tokens.max() >= self.count):
            raise InputError(
                f"tokens reach from {tokens.min().item()} to {tokens.max().item()}; they must lie in "
                f"0..{self.count - 1} (subtract the id of the first trajectory token)."
            )
        least, width = self.range_like(tokens)
        return tokens.float() / (self.count - 1) * width + least
