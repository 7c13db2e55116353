"""A toy VLA: the mean of pixels and words, and a linear head."""

import torch
from torch import nn
from transformers.utils import ModelOutput

from ...configuration.toy_vla.configuration_toy_vla import ToyVLAConfig
from ..action_normalization import find_statistics, unnormalize
from ..finite_predictions import require_finite
from ..input_checks import check_inputs
from ..strict_loading import StrictPreTrainedModel


class ToyVLAForActionPrediction(StrictPreTrainedModel):
    config_class = ToyVLAConfig
    base_model_prefix = "words"

    def __init__(self, config: ToyVLAConfig):
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.pixels = nn.Linear(3 * 14**2, config.hidden_size)
        self.action_head = nn.Linear(config.hidden_size, config.num_action_chunks * config.action_dim)
        self.post_init()

    def forward(self, input_ids, attention_mask, pixel_values, actions=None, **unused) -> ModelOutput:
        """Normalised actions (batch, num_action_chunks, action_dim); with `actions` also their mean absolute error."""
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values})
        words = (self.words(input_ids) * attention_mask[..., None]).sum(dim=1) / attention_mask.sum(dim=1, keepdim=True)
        found = self.action_head(words + self.pixels(pixel_values.flatten(1)))
        found = found.unflatten(1, (self.config.num_action_chunks, self.config.action_dim))
        return ModelOutput(loss=None if actions is None else (found - actions).abs().mean(), logits=found)

    @torch.no_grad()
    def predict_action(self, input_ids, attention_mask, pixel_values, unnorm_key=None) -> torch.Tensor:
        """Actions (batch, num_action_chunks, action_dim) in the robot's units."""
        statistics = find_statistics(self.config.norm_stats, unnorm_key)["action"]
        normalized = self(input_ids, attention_mask, pixel_values).logits
        require_finite(self, {"actions": normalized}, {"pixel_values": pixel_values}, statistics)
        return unnormalize(normalized, statistics, self.config.normalization_type)
