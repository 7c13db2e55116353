"""SigLIP under one set of parameter names, and the ranges in which pixels come."""

import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel
from transformers.models.siglip.modeling_siglip import SiglipAttention, SiglipEncoderLayer

from ..attention import attend
from ..decoder_layer_pass import is_called_as_it_is, without_gradients
from ..fused_linears import product_of

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
        if not self.is_stock(pixel_values):
            return self.vision_model(pixel_values).last_hidden_state
        hidden_states = self.vision_model.embeddings(pixel_values)
        for layer in self.vision_model.encoder.layers:
            hidden_states = quick_siglip_layer(layer, hidden_states)
        return self.vision_model.post_layernorm(hidden_states)

    def is_stock(self, pixel_values: torch.Tensor) -> bool:
        """Whether `quick_siglip_layer` may take the place of every layer, as `is_stock` of `decoder_layer_pass.py`."""
        model, layers = self.vision_model, self.vision_model.encoder.layers
        if self.training or not without_gradients(pixel_values):
            return False
        if any((type(layer), type(layer.self_attn)) != (SiglipEncoderLayer, SiglipAttention) for layer in layers):
            return False
        watched = model, model.encoder, *layers, *(layer.self_attn for layer in layers)
        sdpa = all(layer.self_attn.config._attn_implementation == "sdpa" for layer in layers)
        return sdpa and all(is_called_as_it_is(module) for module in watched)

    def projections_to_fuse(self) -> list[list[nn.Linear]]:
        """Layers that read the same input."""
        attentions = [layer.self_attn for layer in self.vision_model.encoder.layers]
        return [[attention.q_proj, attention.k_proj, attention.v_proj] for attention in attentions]


def quick_siglip_layer(layer: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """transformers' `SiglipEncoderLayer`, with queries, keys and values in one product; (n, patches, hidden_size)."""
    attention = layer.self_attn
    normed = layer.layer_norm1(hidden_states)
    projections = product_of((attention.q_proj, attention.k_proj, attention.v_proj), normed)
    heads = (each.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for each in projections)
    mixed = attend(*heads)
    hidden_states = hidden_states + attention.out_proj(mixed.transpose(1, 2).flatten(2))
    return hidden_states + layer.mlp(layer.layer_norm2(hidden_states))


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
