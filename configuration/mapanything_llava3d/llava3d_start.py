"""The config of a start from a LLaVA-3D that was begun before: what is switched on in it, such as an action expert.

Parts are added to those that the base has; none of them is lost, or gets another size.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..known_fields import check_arguments, in_own_words, own_arguments
from ..language_model_config import TOKEN_IDS
from ..vla_errors import ConfigError
from .configuration_mapanything_llava3d import MapAnythingLlava3DConfig

# Fields that no tensor and nothing that was learnt depends on.
FREE = {"stop_grad_from_vlm", "prefix_lang_dropout_prob", "prefix_image_dropout_prob", "num_inference_steps"}
FREE |= {"norm_stats", "view_names", "use_time_weight", "time_sampling", "ode_solver", "ode_spacing"}
FREE |= {f"{part}_model_name_or_path" for part in ("vision", "language", "mapanything")}
# Fields of a part, which are open until there is one.
OF_PART = {
    "deep_fusion": {"expert_config", "expert_hidden_size", "expert_num_layers", "expert_mlp_ratio"}
    | {"expert_layer_alignment"},
    "dit": {"dit_config", "dit_hidden_size"},
    "actions": {"action_expert_type", "action_dim", "num_action_chunks", "normalization_type", "prefix_attention"}
    | {"num_embodiments"},
    "state": {"use_state", "state_dim"},
    "geometry": {"use_geometric_branch", "geometry_config", "geometry_normalization"},
}
# What of the model is a part's, in paths as `new_parts` of `from_pretrained` has them; a model may lack some of it.
MODULES = {
    "deep_fusion": ("language_model_with_expert", "action_expert", "dit_action_projector"),
    "dit": ("dit_action_head", "dit_action_projector"),
    "state": ("action_expert.state_proj", "dit_action_head.state_encoder"),
    "geometry": ("geometric_projector", "fusion_projector"),  # the branch itself is MapAnything's
}


@dataclass(frozen=True)
class Llava3DStart:
    """Attributes:
    config: of the start.
    parts: that are new: `deep_fusion`, `dit`, `state`, `geometry`.
    """

    config: MapAnythingLlava3DConfig
    parts: frozenset[str]

    @property
    def modules(self) -> list[str]:
        """What of the model is new, see `MODULES`."""
        return [module for part in sorted(self.parts) for module in MODULES[part]]


def parts_of(config: MapAnythingLlava3DConfig) -> set[str]:
    """Those that a model has."""
    found = {"deep_fusion": config.has_deep_fusion, "dit": config.has_dit, "state": config.use_state}
    found["geometry"] = config.use_geometric_branch
    return {part for part, there in found.items() if there}


def next_llava3d(base: MapAnythingLlava3DConfig, switches: Mapping[str, Any]) -> Llava3DStart:
    """The config of a start.

    Args:
        switches: fields of the config, by any of their words. A `state_dim` switches the state on; of `norm_stats` what
            is given is added.

    Raises:
        ConfigError: a field is unknown, a part of the base would be lost or be another one, or nothing would be new.
    """
    check_arguments(MapAnythingLlava3DConfig.__name__, switches, own_arguments(MapAnythingLlava3DConfig))
    given = in_own_words(MapAnythingLlava3DConfig, switches)
    if given.get("state_dim") is not None:
        given.setdefault("use_state", True)
    before = parts_of(base)
    wanted = set(filter(None, (given.get("action_expert_type") or "").split("+")))
    kept = {"deep_fusion", "dit"} & before
    if "action_expert_type" in given and (lost := sorted(kept - wanted)):
        raise ConfigError(
            f"action_expert_type={given['action_expert_type']!r} switches {', '.join(lost)} off, which the base has: a "
            "start keeps all of its base."
        )
    check_kept(base, given, open_fields(before, wanted))
    given["norm_stats"] = {**base.norm_stats, **(given.get("norm_stats") or {})}
    config = MapAnythingLlava3DConfig(**carried_over(base, given), **given)
    parts = frozenset(parts_of(config) - before)
    if not parts:
        raise ConfigError(
            "nothing would be new: the base has all of it and can be trained as it is. Switch something on that it has "
            "not, such as action_expert_type='deep_fusion+dit', state_dim or use_geometric_branch."
        )
    return Llava3DStart(config, parts)


def open_fields(before: set[str], wanted: set[str]) -> set[str]:
    """The fields that may be given freely; before: parts of the base; wanted: experts that are asked for."""
    found = FREE | {"action_expert_type"}
    has_expert = before & {"deep_fusion", "dit"}
    for part in ("deep_fusion", "dit"):
        found |= OF_PART[part] if part in wanted - before else set()
    for part in ("state", "geometry"):
        found |= OF_PART[part] if part not in before else set()
    return found | (set() if has_expert else OF_PART["actions"])


def check_kept(base: MapAnythingLlava3DConfig, given: Mapping[str, Any], is_open: set[str]) -> None:
    """Refuse what is another one in the base."""
    for name, value in given.items():
        there = getattr(base, name, None)
        if name not in is_open and not is_same(there, value):
            raise ConfigError(
                f"{name} is {shown(there)} in the base, which was trained with it, and not {shown(value)}: a start "
                "keeps all of its base; begin with the published parts for another."
            )
    for key, statistics in (given.get("norm_stats") or {}).items():
        if base.norm_stats.get(key, statistics) != statistics:
            raise ConfigError(f"norm_stats[{key!r}] is another one in the base: give it another key.")


def is_same(there: Any, value: Any) -> bool:
    """Whether a field is what was given; of a dict what was given of it."""
    if isinstance(value, Mapping):
        return all(is_same(getattr(there, name, None), inner) for name, inner in value.items())
    return there == value


def shown(value: Any) -> str:
    return repr(value) if not hasattr(value, "to_dict") else f"a {type(value).__name__}"


def carried_over(base: MapAnythingLlava3DConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the config that are the base's."""
    arguments = inspect.signature(MapAnythingLlava3DConfig.__init__).parameters
    names = {*arguments, *TOKEN_IDS} - {"self", "kwargs", *given}
    if not base.has_deep_fusion:
        names -= OF_PART["deep_fusion"]
    if not base.has_dit:
        names -= OF_PART["dit"]
    fields = {name: getattr(base, name) for name in sorted(names)}
    if "dit_config" in fields:
        fields["dit_config"] = {**base.dit_config.to_dict(), "state_dim": given.get("state_dim", base.state_size)}
    return fields
