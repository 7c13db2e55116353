"""The pair of vision towers, all views of a batch in one pass each."""

import torch
from torch import nn

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from .film_vision_transformer import FiLMVisionTransformer


class PrismaticVisionBackbone(nn.Module):
    """DINOv2 (`featurizer`) and SigLIP (`fused_featurizer`) side by side on the same views."""

    def __init__(self, config: CogVLAConfig):
        super().__init__()
        condition_size = config.text_config.hidden_size if config.use_film else None
        num_tokens = config.num_vision_aggr if config.use_aggr else 0
        self.featurizer = FiLMVisionTransformer(config.featurizer_config, condition_size, num_tokens)
        self.fused_featurizer = FiLMVisionTransformer(config.fused_featurizer_config, condition_size, num_tokens)

    def forward(self, pixel_values: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        pixel_values: (batch, views, 6, height, width), channels 0..2 normalised for `featurizer`, 3..5 for
        `fused_featurizer`; condition: (batch, text hidden_size), used by FiLM.
        Returns the tokens of each tower, (batch, views * tokens, width of the tower).
        """
        batch = pixel_values.shape[0]
        views = pixel_values.flatten(0, 1)
        features = self.featurizer(views[:, :3], condition)
        fused_features = self.fused_featurizer(views[:, 3:], condition)
        return tuple(f.reshape(batch, -1, f.shape[-1]) for f in (features, fused_features))
