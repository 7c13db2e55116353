"""What is asked of the vision towers of a composed VLA where there are two, or something is done inside of them."""

from typing import Any

from ..language_model_config import check_positive
from ..vla_errors import ConfigError
from .backbone_facts import READS_PATCHES, TWO_TOWERS
from .proven_backbones import check_tower
from .tower_facts import BLOCK_NAMES, PATCHES_LAST

JOINING = ("perceiver", "qformer", "token_learner")  # projectors each of whose tokens is of all features


def check_towers(config: Any) -> None:
    """Refuse choices about towers that cannot work, by the name of the field.

    config: a `MultimodalVLAConfig`, its backbones and choices set. Raises ConfigError.
    """
    if config.vlm_config is not None:
        check_no_choices_of_towers(config)
        return
    if config.vision_aggregate_type == "moe":
        check_moe(config)
    if config.fusion == "gated_cross_attention" and config.vision_part.model_type in READS_PATCHES:
        check_gated_patches(config)
    if config.use_aggr:
        check_positive("num_vision_aggr", config.num_vision_aggr)
    for field, tower in config.towers.items():
        check_layer(field, tower, config.vision_feature_layer)
        if config.conditions_towers and tower.model_type not in BLOCK_NAMES:
            name = "use_film" if config.use_film else "use_aggr"
            raise ConfigError(
                f"{name}=True acts inside of the blocks of vision towers, which is known of {', '.join(BLOCK_NAMES)}; "
                f"{field}.model_type is {tower.model_type!r}."
            )
    if config.second_vision_config is not None:
        check_pair(config)


def check_no_choices_of_towers(config: Any) -> None:
    """Refuse with a VLM, whose towers are its own."""
    given = [name for name in ("use_film", "use_aggr") if getattr(config, name)]
    given += [n for n in ("second_vision_config", "vision_feature_layer") if getattr(config, n) is not None]
    given += ["vision_aggregate_type"] * (config.vision_aggregate_type != "concat")
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot be chosen with vlm_config: a VLM reads images with the tower that it was "
            "trained with; compose one of vision_config and text_config."
        )


def check_gated_patches(config: Any) -> None:
    """Refuse layers of a language model that would look at the padding of pictures of other shapes."""
    if config.projector_type not in JOINING:
        raise ConfigError(
            f"projector_type={config.projector_type!r} with fusion='gated_cross_attention' keeps the padding of the "
            f"patches of a {config.vision_part.model_type}; choose {', '.join(JOINING)}."
        )


def check_moe(config: Any) -> None:
    """Refuse a mixture of one tower, and another projector than its own two."""
    if config.second_vision_config is None:
        raise ConfigError("vision_aggregate_type='moe' weighs two vision towers: second_vision_config is missing.")
    if config.projector_type != "mlp":
        raise ConfigError(
            f"projector_type={config.projector_type!r} does not go with vision_aggregate_type='moe', which has an "
            "'mlp' for each tower; leave it out."
        )


def check_layer(field: str, tower: Any, layer: int | None) -> None:
    """Refuse a layer that the tower has not; the last one is what a tower returns, with its norm (`None`)."""
    if layer is None:
        return
    if tower.model_type not in PATCHES_LAST:
        raise ConfigError(
            f"vision_feature_layer={layer!r} counts blocks of one width, as in {', '.join(PATCHES_LAST)}; "
            f"{field}.model_type is {tower.model_type!r}."
        )
    depth = tower.num_hidden_layers
    if type(layer) is not int or not -depth <= layer <= -2:
        raise ConfigError(
            f"vision_feature_layer={layer!r} must be between {-depth} and -2 for {field}, counted from the end of its "
            f"{depth} blocks; None is what the tower returns."
        )


def check_pair(config: Any) -> None:
    """Refuse two towers whose tokens are not the same patches of the same picture."""
    second = config.second_vision_config
    if second.model_type in TWO_TOWERS:
        raise ConfigError(
            f"second_vision_config.model_type={second.model_type!r} has a text tower; put it first (vision_config), or "
            f"give its vision_config alone."
        )
    check_tower("second_vision_config", second.model_type)
    for field, tower in config.towers.items():
        if tower.model_type not in PATCHES_LAST:
            raise ConfigError(
                f"{field}.model_type={tower.model_type!r} cannot be one of two vision towers, which must give a token "
                f"a patch; known to do so are {', '.join(PATCHES_LAST)}."
            )
        if type(tower.image_size) is not int or type(tower.patch_size) is not int:
            raise ConfigError(
                f"{field}.image_size={tower.image_size!r} and patch_size={tower.patch_size!r} of one of two vision "
                "towers must be whole numbers, for both read the same square picture."
            )
    counts = [(config.image_size // tower.patch_size) ** 2 for tower in config.towers.values()]
    if len(set(counts)) > 1 and not config.use_aggr:
        raise ConfigError(
            f"patch_size={second.patch_size} of second_vision_config makes {counts[1]} patches of a picture of "
            f"{config.image_size} pixels, patch_size={config.vision_part.patch_size} of vision_config {counts[0]}: "
            "they cannot be joined; choose towers with the same patches, or use_aggr=True."
        )
