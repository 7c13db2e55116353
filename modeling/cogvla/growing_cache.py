"""Keys and values of a text whose length is known before it is written: each layer's lie in one memory from the start.

A stock cache is copied whole for every token.
"""

import torch
import torch.nn.functional as F

from ..sampled_actions import repeated


class GrowingCache:
    """Stands in for a cache of transformers: the prompt's pass leaves its keys and values, then `with_room` makes room
    behind them, and tokens that follow are written there. Layers may hold prompts of different lengths.

    Attributes:
        keys, values: of each layer, (batch, heads, length, size).
        lengths: tokens that each layer holds.
    """

    def __init__(self):
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.lengths: list[int] = []

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens that the layer holds."""
        return self.lengths[layer_idx] if self.lengths else 0

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The layer's keys and values with those of new tokens (batch, heads, tokens, size) behind them."""
        if layer_idx == len(self.lengths):
            self.keys.append(key)
            self.values.append(value)
            self.lengths.append(key.shape[2])
            return key, value
        start, end = self.lengths[layer_idx], self.lengths[layer_idx] + key.shape[2]
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[:, :, start:end], values[:, :, start:end] = key, value
        self.lengths[layer_idx] = end
        return keys[:, :, :end], values[:, :, :end]

    def with_room(self, tokens: int, count: int) -> "GrowingCache":
        """One with each sample `count` times, one behind the other, and places for so many more tokens."""
        roomy = GrowingCache()
        roomy.lengths = list(self.lengths)
        for name in ("keys", "values"):
            layers = (F.pad(repeated(each, count), (0, 0, 0, tokens)) for each in getattr(self, name))
            setattr(roomy, name, list(layers))
        return roomy
