"""How models of CogVLA, OpenVLA-OFT and OpenVLA are loaded, initialised and started from a base."""

import torch
from torch import nn

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_errors import ConfigError
from ..cache_names import CACHE_NAMES
from ..strict_loading import StrictPreTrainedModel, tied_weights
from .film_vision_transformer import init_tower_weights
from .start_from_base import start_from_base


class CogVLAPreTrainedModel(StrictPreTrainedModel):
    """What is the same for every model of the family."""

    config_class = CogVLAConfig
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "LFPDecoderLayer", "VisionBlock"]
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_sdpa = True
    pretrained_parts = ("vision_backbone", "language_model")
    added_parts = ("film", "aggregation", "router")
    named_parts = {
        "film": ("vision_backbone.*.film",),
        "aggregation": ("vision_backbone.*.aggregation",),
        "fusion": ("moe_aggregator",),
        "lfp": ("language_model.*.router",),
        "state": ("proprio_projector",),
        "action_head": ("action_head", "noisy_action_projector"),
    }
    watched_gradients = {"aggregation": "aggregation", "routers": "router"}
    _tied_weights_keys = tied_weights({"language_model.lm_head.weight": "language_model.model.embed_tokens.weight"})

    @classmethod
    def from_base(cls, base: str, *, seed: int = 0, dtype: torch.dtype | str = "auto", **switches):
        """The start of a policy: a base model with parts that it has not yet, the same as `vlahub create` makes.

        What the base has stays as it is, bit for bit. What is new starts as published: FiLM as the identity, all else
        as in a new model.

        Args:
            base: folder or Hub repository of a published OpenVLA, of an OpenVLA-OFT or CogVLA that is merged, or of a
                checkpoint of this class, such as an earlier step.
            seed: of what is new; its numbers depend on it and on their tensor's name alone, so parts that are switched
                on one by one, in any order, are those of all at once.
            dtype: of all weights; "auto": that of the base's embeddings.
            switches: fields of the config that shall be otherwise than in the base (`use_film=True`,
                `num_vision_aggr=64`, `vision_aggregate_type="moe"`, `lfp_type="shiftedcos_decay_0.85_0.15"`,
                `action_head="l1"`, `num_images_in_input=2`, `state_dim=8`, `norm_stats=...`), also in the words of the
                command (`film`, `aggregation_tokens`, `fusion`, `lfp`, `num_images`, `statistics`, and `decoding`,
                "parallel" or "autoregressive", of discrete actions); and `revision`, `token`, `cache_dir`,
                `device_map`, `attn_implementation` of `from_pretrained`.

        Raises:
            ConfigError: a part of the base would be lost or have another size, a setting is unknown or has no effect,
                or no start can be made of the base. The message names it.
        """
        return start_from_base(cls, base, seed, dtype, switches)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, *args, **kwargs
    ) -> nn.Embedding:
        """As in transformers; new rows are behind those of the action bins, which keep their ids.

        Raises:
            ConfigError: fewer rows would be left than tokens and bins need.
        """
        before = self.config.text_config.vocab_size
        needed, multiple = before - self.config.pad_to_multiple_of, pad_to_multiple_of or 1
        if new_num_tokens is not None and -(-new_num_tokens // multiple) * multiple < needed:
            raise ConfigError(
                f"{new_num_tokens} rows are fewer than the {needed} of tokens and action bins: actions would be others."
            )
        table = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, *args, **kwargs)
        self.config.pad_to_multiple_of += self.config.text_config.vocab_size - before
        return table

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_tower_weights(module, self.config.text_config.initializer_range)
