"""Configuration of one vision tower of the prismatic pair, and the sizes of the published ones."""

import copy
from collections.abc import Mapping
from typing import Any

from ..known_fields import KnownFieldsConfig, keeps_arguments
from ..vla_errors import ConfigError

# Sizes of the two published vision towers by their timm names; `depth` counts the block that is never run.
TIMM_MODELS = {
    "vit_large_patch14_reg4_dinov2.lvd142m": {
        "embed_dim": 1024,
        "depth": 24,
        "num_heads": 16,
        "mlp_ratio": 4.0,
        "patch_size": 14,
        "num_registers": 4,
        "has_class_token": True,
        "has_layer_scale": True,
    },
    "vit_so400m_patch14_siglip_224": {
        "embed_dim": 1152,
        "depth": 27,
        "num_heads": 16,
        "mlp_ratio": 3.7362,
        "patch_size": 14,
        "num_registers": 0,
        "has_class_token": False,
        "has_layer_scale": False,
    },
}
TIMM_MODELS["vit_so400m_patch14_siglip_384"] = TIMM_MODELS["vit_so400m_patch14_siglip_224"]

SIGLIP_SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_registers": 0,
    "has_class_token": False,
    "has_layer_scale": False,
}


class CogVLAVisionConfig(KnownFieldsConfig):
    """One vision transformer of the pair.

    Args:
        num_hidden_layers: blocks that are run: one fewer than the published depth, since the features are the tokens
            after the second to last block.
        image_size: height and width of its input in pixels.
        num_registers: register tokens between class token and patches (DINOv2).
        has_layer_scale: a learned factor per channel on both residual branches (DINOv2).
    """

    model_type = "cogvla_vision"
    base_config_key = "featurizer_config"

    @keeps_arguments
    def __init__(
        self,
        hidden_size: int = 1024,
        intermediate_size: int = 4096,
        num_hidden_layers: int = 23,
        num_attention_heads: int = 16,
        image_size: int = 224,
        patch_size: int = 14,
        num_registers: int = 4,
        has_class_token: bool = True,
        has_layer_scale: bool = True,
        layer_norm_eps: float = 1e-6,
        initializer_range: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if hidden_size % num_attention_heads:
            raise ConfigError(
                f"num_attention_heads={num_attention_heads} does not divide the vision hidden_size={hidden_size}."
            )
        if image_size < patch_size:
            raise ConfigError(f"patch_size={patch_size} is larger than image_size={image_size}.")

    @property
    def num_patches(self) -> int:
        """Whole patches; what is left of the picture at its right and lower edge is not seen."""
        return (self.image_size // self.patch_size) ** 2

    @classmethod
    def from_timm(cls, model_id: str, image_size: int, overrides: Mapping[str, Any]) -> "CogVLAVisionConfig":
        """From a timm model id, with `embed_dim`, `depth`, `num_heads`, `mlp_ratio`, ... overridden.

        Raises:
            ConfigError: the id names no known tower.
        """
        if model_id not in TIMM_MODELS:
            raise ConfigError(f"timm_model_ids has {model_id!r}; known are {', '.join(TIMM_MODELS)}.")
        sizes = {**TIMM_MODELS[model_id], **overrides}
        width = sizes["embed_dim"]
        return cls(
            hidden_size=width,
            intermediate_size=sizes.get("intermediate_size", int(width * sizes["mlp_ratio"])),
            num_hidden_layers=sizes["depth"] - 1,
            num_attention_heads=sizes["num_heads"],
            image_size=image_size,
            **{k: sizes[k] for k in ("patch_size", "num_registers", "has_class_token", "has_layer_scale")},
        )


def as_vision_config(value: CogVLAVisionConfig | dict | None, default: dict) -> CogVLAVisionConfig:
    """A config object from what a caller or a config.json gives."""
    if value is None or isinstance(value, dict):
        return CogVLAVisionConfig(**(default if value is None else value))
    return copy.deepcopy(value)
