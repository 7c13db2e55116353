"""How well a text says what a view shows, by the two towers of a SigLIP or a CLIP."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.multimodal_vla.backbone_facts import TWO_TOWERS
from ...configuration.vla_errors import InputError
from ..input_checks import views_of
from .composed_backbone import ComposedBackbone
from .naflex_images import naflex_images
from .vlm_backbone import VLMBackbone


def similarity_of_views(
    backbone: ComposedBackbone | VLMBackbone,
    pixel_values: torch.Tensor,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None = None,
    vision_inputs: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> torch.Tensor:
    """Cosine of the angle between each view and the text, (batch, views) float32.

    pixel_values: (batch, views, 3 for each vision tower, height, width), or without views; input_ids, attention_mask:
    (batch, length); vision_inputs: what a tower of patches reads beside them.

    Raises:
        InputError: the backbone has no text tower.
    """
    if not backbone.has_two_towers:
        raise InputError(
            f"grounding_score needs a vision backbone with a text tower ({', '.join(TWO_TOWERS)}), built with "
            f"grounding=True; this one is a {backbone.vision_parts[0].config.model_type}."
        )
    towers, further = backbone.vision_tower, {}
    if backbone.reads_patches:
        images = naflex_images({"pixel_values": pixel_values, **vision_inputs})
        views, further = images.pixel_values, images.further(())
    else:
        views = views_of(pixel_values, 3 * len(backbone.vision_parts))[:, :, :3]  # a second tower's come behind
    mask = {} if attention_mask is None else {"attention_mask": attention_mask}
    image = unit_features(towers.get_image_features(views.flatten(0, 1), **further))
    text = unit_features(towers.get_text_features(input_ids, **mask))
    return torch.einsum("bvd,bd->bv", image.unflatten(0, views.shape[:2]), text)


def unit_features(features: Any) -> torch.Tensor:
    """(n, size) of length 1; 5.x wraps them."""
    return F.normalize(getattr(features, "pooler_output", features).float(), dim=-1)


def scaled(towers: nn.Module, cosines: torch.Tensor) -> torch.Tensor:
    """Cosines as the scores of the towers' contrastive loss, their `logits_per_image`; only a SigLIP shifts them."""
    shift = getattr(towers, "logit_bias", None)
    scores = cosines * towers.logit_scale.float().exp()
    return scores if shift is None else scores + shift.float()
