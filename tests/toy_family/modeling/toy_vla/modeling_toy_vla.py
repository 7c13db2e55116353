"""A toy VLA: the sum of pixels and of the mean word behind a language model of one layer, and a linear head."""

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
    base_model_prefix = "language_model"
    pretrained_parts = ("language_model",)

    def __init__(self, config: ToyVLAConfig):
        super().__init__(config)
        width = config.hidden_size
        layers = nn.ModuleList([nn.Linear(width, width)])
        self.language_model = nn.ModuleDict({"embed_tokens": nn.Embedding(config.vocab_size, width), "layers": layers})
        self.pixels = nn.Linear(3 * 14**2, width)
        self.action_head = nn.Linear(width, config.num_action_chunks * config.action_dim)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.embed_tokens

    def forward(self, input_ids, attention_mask, pixel_values, actions=None, **unused) -> ModelOutput:
        """Normalised actions (batch, num_action_chunks, action_dim); with `actions` also their mean absolute error."""
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values})
        words = self.language_model.embed_tokens(input_ids)
        for layer in self.language_model.layers:
            words = words + layer(words)
        mean = (words * attention_mask[..., None]).sum(dim=1) / attention_mask.sum(dim=1, keepdim=True)
        found = self.action_head(mean + self.pixels(pixel_values.flatten(1)))
        found = found.unflatten(1, (self.config.num_action_chunks, self.config.action_dim))
        return ModelOutput(loss=None if actions is None else (found - actions).abs().mean(), logits=found)

    @torch.no_grad()
    def predict_action(self, input_ids, attention_mask, pixel_values, unnorm_key=None) -> torch.Tensor:
        """Actions (batch, num_action_chunks, action_dim) in the robot's units."""
        statistics = find_statistics(self.config.norm_stats, unnorm_key)["action"]
        normalized = self(input_ids, attention_mask, pixel_values).logits
        require_finite(self, {"actions": normalized}, {"pixel_values": pixel_values}, statistics)
        return unnormalize(normalized, statistics, self.config.normalization_type)
