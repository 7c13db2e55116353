"""What transformers and training ask of a composed VLA: how parts begin, which are frozen, where its embeddings are."""

from typing import Any

import torch
from torch import nn

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ..learned_tokens import LearnedTokens
from ..moe_aggregator import ratio_figures
from ..strict_loading import StrictPreTrainedModel
from .capped_attention import LEAVES_OUT_CAPS, attend_with_caps
from .frozen_parts import keep_in_evaluation
from .gated_cross_attention import GatedCrossAttention
from .joint_projections import joint_projections
from .multimodal_outputs import MultimodalVLAOutput
from .portable_weights import PortableWeights


class ComposedPreTrainedModel(PortableWeights, StrictPreTrainedModel):
    """A subclass has a `backbone`."""

    config_class = MultimodalVLAConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    pretrained_parts = ("backbone",)
    watched_gradients = {"aggregation": "aggregation"}
    _supports_sdpa = True

    def training_figures(self, output: MultimodalVLAOutput) -> dict[str, torch.Tensor]:
        return ratio_figures(output.moe_ratios, ("vision_tower", "second_vision_tower"))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LearnedTokens):
            text = self.config.text_part  # OPT and XGLM call it otherwise
            std = getattr(text, "initializer_range", None) or getattr(text, "init_std", 0.02)  # a T5 has neither
            nn.init.normal_(module.tokens, std=std)
        elif isinstance(module, GatedCrossAttention):  # closed: the language model writes what it wrote
            nn.init.zeros_(module.attn_gate)
            nn.init.zeros_(module.mlp_gate)

    def projections_to_fuse(self) -> list[list[nn.Module]]:
        return joint_projections(self)

    @property
    def frozen_parts(self) -> list[nn.Module]:
        parts = self.backbone.vision_parts if self.config.freeze_vision_tower else []
        return [*parts, self.language_part] if self.config.freeze_language_model else parts

    @property
    def language_part(self) -> nn.Module:
        return self.backbone.language_part

    def freeze(self) -> None:
        """Keep vision towers and language model out of training, where the config says so."""
        for part in self.frozen_parts:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "ComposedPreTrainedModel":
        """As in torch; a vision tower and a language model that are frozen whole, by whatever froze them, stay as in
        evaluation."""
        super().train(mode)
        if mode:
            keep_in_evaluation([*self.backbone.vision_parts, self.language_part])
        return self

    def _set_gradient_checkpointing(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers, whenever it is switched: which layers ask whether they train follows from it."""
        super()._set_gradient_checkpointing(*args, **kwargs)
        self.train(self.training)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in transformers; what the config freezes is frozen."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded).freeze()
        return loaded

    def set_attn_implementation(self, attn_implementation: str | dict, *args, **kwargs) -> None:
        """As in transformers, see `StrictPreTrainedModel`; bounded scores stay so (`capped_attention.py`)."""
        super().set_attn_implementation(attn_implementation, *args, **kwargs)
        if LEAVES_OUT_CAPS:
            attend_with_caps(self.backbone)

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.backbone.language_model.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.backbone.language_model.set_output_embeddings(value)
