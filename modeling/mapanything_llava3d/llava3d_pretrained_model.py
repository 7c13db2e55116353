"""What LLaVA-3D's model is before its parts: how they are initialised, and how it begins from an earlier one."""

import torch
from torch import nn

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ..cache_names import CACHE_NAMES
from ..embodiments import init_embodiment_weights
from ..strict_loading import StrictPreTrainedModel
from .llava3d_start_in_memory import start_from_base
from .mapanything_geometry import init_geometry_weights


class MapAnythingLlava3DPreTrainedModel(StrictPreTrainedModel):
    """Initialisation, and what transformers needs to know of this family."""

    config_class = MapAnythingLlava3DConfig
    supports_gradient_checkpointing = True
    _no_split_modules = [
        "LlamaDecoderLayer",
        "MistralDecoderLayer",
        "SiglipEncoderLayer",
        "VisionBlock",
        "DiTBlock",
    ]
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_geometry_weights(module, self.config.text_config.initializer_range)
        init_embodiment_weights(module, self.config.text_config.initializer_range)

    @classmethod
    def from_base(cls, base: str, *, seed: int = 0, dtype: torch.dtype | str = "auto", **switches):
        """A checkpoint of this class with parts that it has not yet, the same as `vlahub create --base` makes.

        Args:
            base: folder or Hub repository.
            seed: of what is new; its numbers depend on it and on their tensor's name alone, not on the order of steps.
            dtype: of all weights; "auto": that of the base's embeddings.
            switches: fields of the config that shall be otherwise (`action_expert_type="deep_fusion"`, `state_dim=8`,
                `norm_stats=...`); `expert_init="base"`, for a new deep-fusion expert that is a copy of layers of the
                language model, those that it attends with or `expert_init_layers=[...]`, one for each of its own; and
                `revision`, `token`, `device_map`, ... of `from_pretrained`.

        Raises:
            ConfigError: a part of the base would be lost or be another one, or nothing would be new; the message names
                it.
        """
        return start_from_base(cls, base, seed, dtype, switches)
