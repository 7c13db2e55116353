"""An action expert that starts as a copy of layers of the language model it is joined to.

Copied layers are the base's bit for bit, so the expert has to be as wide as the base. A narrower one would leave
channels of the base's states out, without which no layer computes what it did: it starts at random.
"""

from collections.abc import Iterable, Sequence

from transformers import PretrainedConfig

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConfigError
from .llava3d_with_action_expert import paired_layers

DECODER, EXPERT = "language_model.model.model.", "language_model_with_expert.expert."
INITS = ("random", "base")


def starts_from_base(init: str | None, layers: Sequence[int] | None, expert_type: str | None) -> bool:
    """Whether the expert is a copy.

    init: `base`, `random` or `None`; layers: those to be copied, if they were given; expert_type: of the model.

    Raises:
        ConfigError: these do not fit each other.
    """
    if init not in (None, *INITS):
        raise ConfigError(f"expert_init={init!r} is unknown; choose from {', '.join(INITS)}.")
    if init != "base":
        if layers is not None:
            raise ConfigError("expert_init_layers (--expert-init-layers) are copied with expert_init='base' alone.")
        return False
    if "deep_fusion" not in (expert_type or ""):
        raise ConfigError(
            "expert_init='base' (--expert-init base) copies layers into the deep-fusion expert, and "
            f"action_expert_type is {expert_type!r}."
        )
    return True


def copied_sizes(
    text: PretrainedConfig, hidden_size: int | None = None, mlp_ratio: float | None = None
) -> dict[str, int]:
    """The fields of `expert_config` that an expert of copied layers has from the language model's config.

    hidden_size, mlp_ratio: what was asked for, if anything.

    Raises:
        ConfigError: that is not the language model's.
    """
    width, inner = text.hidden_size, text.intermediate_size
    for name, value, needed in (
        ("expert_hidden_size", hidden_size, width),
        ("expert_mlp_ratio", mlp_ratio, inner / width),
    ):
        if value is not None and abs(value - needed) > 1e-2 * needed:
            raise ConfigError(
                f"{name}={value:g} is not the base's {needed:g}: layers of the base are copied whole (expert_init="
                "'base'), so the expert must be as wide; leave it out, or let the expert start at random."
            )
    return {"hidden_size": width, "intermediate_size": inner}


def chosen_layers(config: MapAnythingLlava3DConfig, given: Sequence[int] | None) -> list[int]:
    """For each layer of the expert the base layer that it is a copy of; by default the one that it attends with.

    Raises:
        ConfigError: given are not as many as the expert has, or the base has no such layer.
    """
    there, count = config.text_config.num_hidden_layers, config.expert_num_layers
    if given is None:
        return paired_layers(there, count, config.expert_layer_alignment)
    if len(given) != count:
        raise ConfigError(
            f"expert_init_layers (--expert-init-layers) names {len(given)} layers and the expert has {count}: name one "
            "for each (expert_num_layers)."
        )
    if wrong := [layer for layer in given if not 0 <= layer < there]:
        raise ConfigError(f"expert_init_layers has {wrong[0]}: the base has layers 0 to {there - 1}.")
    return list(given)


def copied_tensors(layers: Sequence[int], names: Iterable[str]) -> dict[str, str]:
    """`{tensor of the expert: tensor of the base}`; the last norm is the base's last.

    layers: see `chosen_layers`; names: of the base's tensors.
    """
    found = {f"{EXPERT}norm.weight": f"{DECODER}norm.weight"}
    for name in names:
        for own, base in enumerate(layers):
            if name.startswith(at := f"{DECODER}layers.{base}."):
                found[f"{EXPERT}layers.{own}.{name.removeprefix(at)}"] = name
    return found
