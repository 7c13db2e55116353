"""The config of a published OpenVLA, OpenVLA-OFT or CogVLA as it is: from config.json and the shapes of tensors."""

from collections.abc import Mapping
from typing import Any

from ..vla_errors import ConfigError
from .cogvla_start import action_size, named
from .configuration_cogvla import CogVLAConfig, check_published
from .openvla_names import has_cogvla_fields, parts_found
from .openvla_sizes import TensorShapes, check_promised, with_sizes

PLAIN = {"action_attention": "causal", "num_action_chunks": 1, "normalization_type": "bounds_q99"}
UNRECORDED = ("num_images_in_input", "num_action_chunks", "normalization_type")


def base_config(published: Mapping[str, Any], shapes: TensorShapes, given: Mapping[str, Any]) -> CogVLAConfig:
    """The config of the base; a plain OpenVLA is known whole, of others it must be said how they were trained.

    Args:
        published: the parsed config.json, with the statistics of the training data.
        given: see `start_config`, by the names of fields.

    Raises:
        ConfigError: it is another model, or what no published file records was not given.
        ConversionError: a tensor is missing.
    """
    check_published(published)
    published, found = with_sizes(published, shapes), parts_found(shapes)
    check_promised(published, found)
    size = {"action_dim": action_size(published.get("norm_stats") or {})}
    found = {name: value for name, value in (size | found).items() if value is not None}
    if is_plain(found, published):
        return CogVLAConfig.from_openvla(published, **found, **PLAIN)
    needed = UNRECORDED + (("num_diffusion_steps",) if found["action_head"] == "diffusion" else ())
    missing = [name for name in needed if name not in given]
    if missing:
        raise ConfigError(
            f"no published file records how this base was trained; say what it was: {', '.join(map(named, missing))}."
        )
    attention = "block" if has_cogvla_fields(published) else "bidirectional"
    said = {name: given[name] for name in needed}
    return CogVLAConfig.from_openvla(published, **found, **said, action_attention=attention)


def is_own(content: Mapping[str, Any]) -> bool:
    """Whether the content of a config.json is that of a `CogVLAConfig`, and not of a published one."""
    return "featurizer_config" in content and "fused_featurizer_config" in content


def is_plain(found: Mapping[str, Any], published: Mapping[str, Any]) -> bool:
    """Whether nothing was added to OpenVLA. An OpenVLA-OFT of discrete tokens, one view and no state looks the same."""
    added = found["use_film"] or found["use_aggr"] or found["use_lfp"] or found["vision_aggregate_type"] == "moe"
    return not added and found["action_head"] == "discrete" and "state_dim" not in found
