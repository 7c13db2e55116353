"""SigLIP under one set of parameter names, and the ranges in which pixels come."""

import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

SIGLIP_MEAN = SIGLIP_STD = 0.5
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SiglipTower(nn.Module):
    """transformers' SigLIP without pooling: (n, 3, h, w), normalised -> (n, patches, hidden_size)."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        model = SiglipVisionModel(config)
        self.vision_model = getattr(model, "vision_model", model)  # 4.57 has the layers one level down

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The states after the last norm."""
        return self.vision_model(pixel_values).last_hidden_state


def siglip_pixels(pixel_values: torch.Tensor, pixel_range: str) -> torch.Tensor:
    """What the SigLIP tower reads, in [-1, 1], from pixels in the given range."""
    return pixel_values if pixel_range == "siglip" else (pixel_values - SIGLIP_MEAN) / SIGLIP_STD


def geometry_pixels(pixel_values: torch.Tensor, pixel_range: str, normalization: str) -> torch.Tensor:
    """What the geometry branch reads, from pixels (..., 3, h, w) in the given range.

    In [0, 1] with `none`; with `imagenet` mean 0 and deviation 1 over ImageNet.
    """
    if pixel_range == "siglip":
        pixel_values = (pixel_values * SIGLIP_STD + SIGLIP_MEAN).clamp(0, 1)
    if normalization == "none":
        return pixel_values
    channels = zip(pixel_values.unbind(-3), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=-3)
