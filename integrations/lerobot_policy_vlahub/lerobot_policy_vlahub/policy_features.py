"""What a checkpoint needs, and gives, as features of LeRobot's config."""

from typing import Any

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_IMAGES

from vlahub.errors import ConfigError
from vlahub.modeling.embodiments import check_embodiments

from .configuration_vlahub import VlahubConfig
from .robot_features import check_vector, is_joined, view_keys

UNKNOWN_SIZE = (3, 0, 0)  # of the images of a robot that nobody described; any size will do


def images_of(config: VlahubConfig) -> list[str]:
    """The image features in their order."""
    return [key for key, feature in (config.input_features or {}).items() if feature.type is FeatureType.VISUAL]


def settle_config(config: VlahubConfig, model_config: Any, processor: Any) -> list[str]:
    """Let LeRobot's config say what the checkpoint says: chunk size, and the features that are read.

    Returns the image feature of each view in the order of training; one feature may be several views.

    Raises:
        ConfigError: a number of steps does not fit the checkpoint, or nobody says which views there are.
        InputError: the features do not fit it, or `embodiment_id` is none of its robots, or is missing.
    """
    robot = None if config.embodiment_id is None else torch.tensor([config.embodiment_id])
    check_embodiments(model_config.num_embodiments, robot, batch_size=1)
    steps = model_config.num_action_chunks
    if config.chunk_size not in (None, steps):
        raise ConfigError(f"chunk_size={config.chunk_size}: this checkpoint predicts chunks of {steps}; leave it out.")
    if config.n_action_steps is not None and config.n_action_steps > steps:
        raise ConfigError(f"n_action_steps={config.n_action_steps}: a chunk of this checkpoint has {steps} actions.")
    config.chunk_size = steps
    names, state_dim = processor.view_names or model_config.view_names, processor.state_dim
    if not config.input_features:
        config.input_features = own_features(config, names, state_dim)
    if not config.output_features:
        config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (model_config.action_dim,))}
    shapes = {key: feature.shape for key, feature in {**config.input_features, **config.output_features}.items()}
    views = view_keys(images_of(config), names, processor.image_processor.num_images_in_input, config.views)
    if state_dim is not None and is_joined(config.state_feature, shapes):
        config.input_features[config.state_feature] = PolicyFeature(FeatureType.STATE, (state_dim,))
    elif state_dim is not None:
        check_vector(config.state_feature, shapes, state_dim, "a state")
    check_vector(ACTION, shapes, model_config.action_dim, "actions")
    read = views if state_dim is None else [*views, config.state_feature]
    config.input_features = {key: config.input_features[key] for key in read}
    return views


def own_features(config: VlahubConfig, view_names: list[str] | None, state_dim: int | None) -> dict[str, PolicyFeature]:
    """The features of a checkpoint where no environment, dataset or robot says which there are.

    Raises:
        ConfigError: neither the checkpoint nor the user names the views.
    """
    keys = list(config.views.values()) or [f"{OBS_IMAGES}.{name}" for name in view_names or []]
    if not keys:
        raise ConfigError(
            "this checkpoint records no names of its views: --policy.views, or --views of `python -m "
            "lerobot_policy_vlahub`, says which image features they are."
        )
    features = {key: PolicyFeature(FeatureType.VISUAL, UNKNOWN_SIZE) for key in keys}
    if state_dim is not None:
        features[config.state_feature] = PolicyFeature(FeatureType.STATE, (state_dim,))
    return features
