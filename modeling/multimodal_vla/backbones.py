"""The backbone of a composed VLA, new or made of pretrained parts."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, PretrainedConfig, PreTrainedModel

from ...configuration.multimodal_vla.backbone_facts import TWO_TOWERS
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig, kind_of
from ...configuration.multimodal_vla.proven_backbones import check_proven, is_text_encoder
from .composed_backbone import ComposedBackbone
from .text_encoders import text_model_class
from .tower_outputs import check_arguments_of_tower
from .vlm_backbone import VLMBackbone


def make_backbone(config: MultimodalVLAConfig, pretrained: Mapping[str, nn.Module]) -> ComposedBackbone | VLMBackbone:
    """With new weights; on the meta device, where there are pretrained parts to take their place."""
    for nested in nested_configs(config):
        nested.dtype = torch.get_default_dtype()  # sub-models would be made in the dtype of their configs
    with torch.device("meta") if pretrained else contextlib.nullcontext():
        return (ComposedBackbone if config.vlm_config is None else VLMBackbone)(config)


def nested_configs(config: Any) -> list[Any]:
    """All configs inside a config."""
    found = [getattr(config, name) for name in config.sub_configs]
    return found + [deeper for one in found if one is not None for deeper in nested_configs(one)]


def configs_of_backbones(vision: str, text: str, grounding: bool) -> dict[str, PretrainedConfig]:
    """`vision_config` and `text_config` of pretrained parts, before their weights are read; as in `from_backbones`.

    Raises:
        ConfigError: one of them cannot be a part of a composed VLA.
    """
    text_config = AutoConfig.from_pretrained(text)
    if not is_text_encoder(text_config):
        check_proven("text_config", kind_of(text_config))
    config = AutoConfig.from_pretrained(vision)
    if config.model_type in TWO_TOWERS and not grounding:
        config = config.vision_config
    check_arguments_of_tower(config)
    return {"vision_config": config, "text_config": text_config}


def load_tower_and_language_model(
    vision: str,
    text: str,
    configs: Mapping[str, PretrainedConfig],
    dtype: torch.dtype | str | None,
    text_kwargs: Mapping[str, Any] | None,
) -> dict[str, PreTrainedModel]:
    """The parts of a `ComposedBackbone`, by its attributes; configs: of `configs_of_backbones`."""
    dtype = torch.float32 if dtype is None else dtype
    text_class = text_model_class(configs["text_config"])
    return {
        "vision_tower": AutoModel.from_pretrained(vision, config=configs["vision_config"], dtype=dtype),
        "language_model": text_class.from_pretrained(text, dtype=dtype, **(text_kwargs or {})),
    }


def load_vlm(
    vlm: str, dtype: torch.dtype | str | None, vlm_kwargs: Mapping[str, Any] | None
) -> dict[str, PreTrainedModel]:
    """The part of a `VLMBackbone`, by its attribute; arguments as in `from_vlm`."""
    check_proven("vlm_config", kind_of(AutoConfig.from_pretrained(vlm)))  # before weights are read
    dtype = torch.float32 if dtype is None else dtype
    return {"vlm": AutoModelForImageTextToText.from_pretrained(vlm, dtype=dtype, **(vlm_kwargs or {}))}


def put_beside(model: nn.Module, owner: PreTrainedModel) -> None:
    """Give the new modules of a model, all but its `backbone`, the device and the dtype of the pretrained `owner`."""
    for name, child in model.named_children():
        if name != "backbone":
            child.to(owner.device)
            for parameter in child.parameters():  # buffers, such as rotary frequencies, stay float32
                parameter.data = parameter.data.to(owner.dtype)
