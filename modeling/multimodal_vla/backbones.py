"""The backbone of a composed VLA, new or made of pretrained parts."""

import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from ...configuration.checkpoint_place import check_place
from ...configuration.dtype_names import check_dtype
from ...configuration.multimodal_vla.backbone_facts import TWO_TOWERS
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.multimodal_vla.nested_configs import kind_of
from ...configuration.multimodal_vla.proven_backbones import check_proven, is_text_encoder
from ...configuration.vla_errors import ConfigError
from ..generation_settings import savable
from ..modules import floating_dtype
from .composed_backbone import ComposedBackbone
from .text_encoders import text_model_class
from .tower_outputs import check_arguments_of_tower
from .vlm_backbone import VLMBackbone

CONFIG = ("config.json",)


def make_backbone(config: MultimodalVLAConfig, pretrained: Mapping[str, nn.Module]) -> ComposedBackbone | VLMBackbone:
    """With new weights; on the meta device, where there are pretrained parts to take their place."""
    for nested in nested_configs(config):
        nested.dtype = torch.get_default_dtype()  # sub-models would be made in the dtype of their configs
    if pretrained and getattr(config.text_config, "hidden_act", None) == "xielu":
        config = copy.deepcopy(config)
        config.text_config.hidden_act = "silu"  # 4.57 asks a new xIELU for its values, and the meta device has none
    with torch.device("meta") if pretrained else contextlib.nullcontext():
        return (ComposedBackbone if config.vlm_config is None else VLMBackbone)(config)


def nested_configs(config: Any) -> list[Any]:
    """All configs inside a config."""
    found = [getattr(config, name) for name in config.sub_configs]
    return found + [deeper for one in found if one is not None for deeper in nested_configs(one)]


def configs_of_backbones(vision: str | Sequence[str], text: str, grounding: bool) -> dict[str, PretrainedConfig]:
    """By the fields of `MultimodalVLAConfig`; arguments as in `from_backbones`.

    Raises ConfigError for a text model that is not proven, a tower that does not read pixels, and for another number of
    towers than one or two.
    """
    towers = [vision] if isinstance(vision, str) else list(vision)
    for place in (text, *towers):
        check_place(place, CONFIG)
    if len(towers) not in (1, 2):
        raise ConfigError(f"vision={vision!r} names {len(towers)} vision towers; a composed VLA has one or two.")
    found = {"text_config": AutoConfig.from_pretrained(text)}
    if not is_text_encoder(found["text_config"]):
        check_proven("text_config", kind_of(found["text_config"]))
    for number, (field, tower) in enumerate(zip(("vision_config", "second_vision_config"), towers, strict=False)):
        config = AutoConfig.from_pretrained(tower)
        alone = config.model_type in TWO_TOWERS and not (grounding and number == 0)
        found[field] = config.vision_config if alone else config
        check_arguments_of_tower(field, found[field])
    return found


def load_backbones(
    vision: str | Sequence[str],
    text: str,
    dtype: torch.dtype | str | None,
    grounding: bool,
    text_kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> tuple[dict[str, PreTrainedModel], dict[str, PretrainedConfig]]:
    """The parts of a `ComposedBackbone`, by its attributes, and their configs, by the fields of `MultimodalVLAConfig`;
    arguments as in `from_backbones`, whose errors come before weights are read.
    """
    check_dtype("dtype", dtype)
    configs = configs_of_backbones(vision, text, grounding)
    MultimodalVLAConfig(**configs, **options)  # checks
    dtype = torch.float32 if dtype is None else dtype
    text_class = text_model_class(configs["text_config"])
    language_model = text_class.from_pretrained(text, dtype=dtype, **(text_kwargs or {}))
    dtype = floating_dtype(language_model) if dtype == "auto" else dtype  # towers may be stored in another one
    towers = [vision] if isinstance(vision, str) else vision
    names = (("vision_tower", "vision_config"), ("second_vision_tower", "second_vision_config"))
    parts = {
        name: AutoModel.from_pretrained(tower, config=configs[field], dtype=dtype)
        for tower, (name, field) in zip(towers, names, strict=False)
    }
    parts["language_model"] = language_model
    return parts, configs | {"text_config": parts["language_model"].config}  # it may be quantised


def whole_layers(model: nn.Module, config: MultimodalVLAConfig) -> list[str]:
    """Names of the classes whose modules stay on one device, and are sharded by themselves.

    Blocks of a tower that FiLM acts in are not called, but their parts are: none is sharded by itself.
    """
    modules = set(model.modules())
    if config.use_film:
        modules -= {module for tower in model.backbone.vision_parts for module in tower.modules()}
    return sorted({name for module in modules for name in getattr(module, "_no_split_modules", None) or ()})


def load_vlm(
    vlm: str, dtype: torch.dtype | str | None, vlm_kwargs: Mapping[str, Any] | None
) -> dict[str, PreTrainedModel]:
    """The part of a `VLMBackbone`, by its attribute; arguments as in `from_vlm`."""
    check_dtype("dtype", dtype)
    check_place(vlm, CONFIG)
    check_proven("vlm_config", kind_of(AutoConfig.from_pretrained(vlm)))  # before weights are read
    dtype = torch.float32 if dtype is None else dtype
    return {"vlm": AutoModelForImageTextToText.from_pretrained(vlm, dtype=dtype, **(vlm_kwargs or {}))}


def generation_of(owner: PreTrainedModel) -> GenerationConfig | None:
    """The settings by which a pretrained part writes, as they can be saved; `None` for an encoder."""
    found = getattr(owner, "generation_config", None)
    return None if found is None else savable(found)


def put_beside(model: nn.Module, owner: PreTrainedModel) -> None:
    """Give the new modules of a model, all but its `backbone`, the device and the dtype of the pretrained `owner`."""
    for name, child in model.named_children():
        if name != "backbone":
            child.to(owner.device)
            for parameter in child.parameters():  # buffers, such as rotary frequencies, stay float32
                parameter.data = parameter.data.to(owner.dtype)
