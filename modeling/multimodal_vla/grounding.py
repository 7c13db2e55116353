"""How well a text says what a view shows, by the two towers of a SigLIP or a CLIP."""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from .multimodal_inputs import views_of


def cosine_similarity_of_views(
    towers: PreTrainedModel,
    pixel_values: torch.Tensor,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """(batch, views) float32, in -1..1.

    pixel_values: (batch, views, 3, height, width), or without views; input_ids, attention_mask: (batch, length).
    """
    views = views_of(pixel_values)
    mask = {} if attention_mask is None else {"attention_mask": attention_mask}
    image = unit_features(towers.get_image_features(views.flatten(0, 1)))
    text = unit_features(towers.get_text_features(input_ids, **mask))
    return torch.einsum("bvd,bd->bv", image.unflatten(0, views.shape[:2]), text)


def unit_features(features: Any) -> torch.Tensor:
    """(n, size) of length 1; 5.x wraps them."""
    return F.normalize(getattr(features, "pooler_output", features).float(), dim=-1)
