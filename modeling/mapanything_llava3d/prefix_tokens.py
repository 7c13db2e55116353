"""Tokens of the prefix: spatial ones embedded, images put in their places, and tokens dropped in training."""

import torch
import torch.nn.functional as F
from torch import nn


def drop_tokens(embeds: torch.Tensor, probability: float) -> torch.Tensor:
    """Dropout of whole tokens of (batch, length, size)."""
    return embeds * F.dropout(torch.ones_like(embeds[..., :1]), probability)


def put_features(embeds: torch.Tensor, is_image: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The features (batch, count, size), in their order, in the places of embeds (batch, length, size) that is_image
    (batch, length) marks, `count` in each row."""
    number = (is_image.cumsum(dim=1) - 1).clamp(0, features.shape[1] - 1)
    chosen = features.gather(1, number.unsqueeze(-1).expand_as(embeds))
    return torch.where(is_image.unsqueeze(-1), chosen, embeds)


def embed_spatial(input_ids: torch.LongTensor, words: nn.Module, table: nn.Embedding, first: int) -> torch.Tensor:
    """Embeddings (batch, length, hidden_size) of text whose ids from `first` on have a table of their own."""
    index = input_ids - first
    is_spatial = (index >= 0) & (index < table.num_embeddings)
    embeds = words(input_ids.masked_fill(is_spatial, 0))
    return torch.where(is_spatial.unsqueeze(-1), table(index.masked_fill(~is_spatial, 0)), embeds)
