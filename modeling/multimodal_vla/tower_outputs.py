"""What is read of a vision tower of a composed VLA: the tokens of its last hidden state, all of them.

Class and register tokens are tokens like those of patches: nothing is dropped. What convolutions give is a map, whose
places are tokens row by row.
"""

import inspect

import torch
from transformers import MODEL_MAPPING, PretrainedConfig

from ...configuration.multimodal_vla.backbone_facts import FEATURE_MAPS, READS_PATCHES, TWO_TOWERS
from ...configuration.multimodal_vla.proven_backbones import width_of_features
from ...configuration.vla_errors import ConfigError
from .naflex_images import SHAPES


def tokens_of(features: torch.Tensor, config: PretrainedConfig) -> torch.Tensor:
    """(n, tokens, width) of the last hidden state of a tower, which may be (n, width, rows, columns).

    config: the tower's. Raises ConfigError for features of another form.
    """
    kind, width = config.model_type, width_of_features(config)
    tokens = features.flatten(2).mT if features.dim() == 4 and kind in FEATURE_MAPS else features
    if tokens.dim() != 3 or tokens.shape[-1] != width:
        raise ConfigError(
            f"vision_config.model_type={kind!r} cannot be the vision tower of a composed VLA: its last hidden state "
            f"has shape {tuple(features.shape)}, and features of width {width} are needed, (images, tokens, {width})."
        )
    return tokens


def check_arguments_of_tower(field: str, vision_config: PretrainedConfig) -> None:
    """Refuse a vision tower that does not read pixels alone, by its class.

    field: where the config has it; vision_config: of a tower, also with a text tower beside it.

    Raises:
        ConfigError: there is no such model, its forward begins with another argument than `pixel_values`, or it needs
            more than that.
    """
    config = vision_config.vision_config if vision_config.model_type in TWO_TOWERS else vision_config
    kind, tower = config.model_type, MODEL_MAPPING.get(type(config), None)
    if tower is None:
        raise ConfigError(f"{field}.model_type={kind!r} is no model of AutoModel.")
    _, first, *others = inspect.signature(tower.forward).parameters.values()
    needed = [one.name for one in others if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    needed = [name for name in needed if kind not in READS_PATCHES or name not in SHAPES]
    if first.name != "pixel_values" or needed:
        raise ConfigError(
            f"{field}.model_type={kind!r} cannot be the vision tower of a composed VLA: it reads "
            f"{', '.join([first.name, *needed])}, and a tower is given pixel_values alone."
        )
