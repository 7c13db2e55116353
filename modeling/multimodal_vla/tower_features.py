"""The features of one vision tower of a composed VLA, as it returns them or after one of its blocks."""

import torch
from torch import nn

from ...configuration.multimodal_vla.tower_facts import BLOCK_NAMES
from .tower_conditioning import TowerConditioning, features_by_blocks, num_patches
from .tower_outputs import tokens_of


def features_of_tower(
    tower: nn.Module,
    pixel_values: torch.Tensor,
    of_size: dict[str, bool],
    conditioning: TowerConditioning | None,
    embedding: torch.Tensor | None,
    feature_layer: int | None,
    patches_alone: bool,
) -> torch.Tensor:
    """(batch * views, tokens, width of the tower).

    Args:
        pixel_values: (batch * views, 3, height, width).
        of_size: arguments that the tower needs for pixels of this size.
        conditioning, embedding: what is done inside of the tower, and by what, see `features_by_blocks`; `None`:
            nothing.
        feature_layer: `vision_feature_layer` of the config.
        patches_alone: leave out class and register tokens.
    """
    inside = conditioning is not None
    if inside or (feature_layer is not None and tower.config.model_type in BLOCK_NAMES):
        options = feature_layer, inside or patches_alone
        return features_by_blocks(tower, pixel_values, conditioning, embedding, *options, **of_size)
    if feature_layer is None:
        features = tokens_of(tower(pixel_values, **of_size).last_hidden_state, tower.config)
    else:
        states = tower(pixel_values, output_hidden_states=True, **of_size).hidden_states
        features = tokens_of(states[feature_layer], tower.config)
    return features[:, -num_patches(tower.config, pixel_values) :] if patches_alone else features
