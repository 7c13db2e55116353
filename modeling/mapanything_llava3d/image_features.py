"""Features of camera views for the places of their tokens: SigLIP's, fused with the geometry of the scene."""

from typing import NamedTuple

import torch
from torch import nn

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ..input_checks import views_of
from .prefix_tokens import drop_tokens
from .siglip_tower import geometry_pixels, siglip_pixels


class ImageParts(NamedTuple):
    """What a model sees with; parts that it has not are `None`.

    Attributes:
        tower, projector: SigLIP, and what makes its features as wide as the language model.
        geometry, geometry_projector, fusion: MapAnything, what makes its features as wide, and one of both.
    """

    tower: nn.Module
    projector: nn.Module | None
    geometry: nn.Module | None
    geometry_projector: nn.Module | None
    fusion: nn.Module | None


def image_features(
    parts: ImageParts,
    config: MapAnythingLlava3DConfig,
    pixel_values: torch.Tensor,
    intrinsic: torch.Tensor | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Features of all views in order, (batch, views * patches, hidden_size).

    pixel_values, intrinsic: as in the model's `predict_action`, pixels in the dtype of the weights; dropout: the share
    of SigLIP's tokens that is dropped.
    """
    pixel_values = views_of(pixel_values)
    features = parts.tower(siglip_pixels(pixel_values.flatten(0, 1), config.pixel_range))
    if parts.projector is not None:
        features = parts.projector(features)
    features = features.reshape(pixel_values.shape[0], -1, features.shape[-1])
    features = drop_tokens(features, dropout) if dropout else features
    if parts.geometry is None:
        return features
    pixels = geometry_pixels(pixel_values, config.pixel_range, config.geometry_normalization)
    geometry = parts.geometry_projector(parts.geometry(pixels, intrinsic)).mean(dim=1, keepdim=True)
    return parts.fusion(torch.cat([features, geometry.expand_as(features)], dim=-1))
