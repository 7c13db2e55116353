"""Parts and options of a LLaVA-3D model that do not fit each other, refused before a tensor is looked at."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from ..files.json_file import read_json
from .options import Llava3DOptions, Llava3DRunOptions, option_of
from .sizes import LANGUAGE_TYPES

KINDS = {  # what a part is, and the model types that say so
    "vision": ("a SigLIP", ("siglip", "siglip_vision_model")),
    "language": ("a Llama or Mistral, of LLaVA-3D or plain", tuple(LANGUAGE_TYPES)),
}
SIZES = ("expert_hidden_size", "expert_num_layers", "expert_mlp_ratio", "dit_num_layers")
OF_DIT = ("dit_num_layers", "context", "output_projection", "condition_dropout")
OF_STACK = ("expert_hidden_size", "expert_num_layers", "expert_mlp_ratio")
OF_RUNS_ACTIONS = ("num_action_chunks", "normalization", "num_inference_steps", "statistics")
OF_ACTIONS = ("action_dim", "num_action_chunks", "use_state", "state_dim", "num_embodiments")


def check_kinds(parts: Mapping[str, Path]) -> None:
    """Raises ConversionError for a part whose config.json is that of another kind of model."""
    types = {role: (read_json([folder], "config.json", required=False) or {}) for role, folder in parts.items()}
    types = {role: config.get("model_type") for role, config in types.items()}
    known = {name for _, names in KINDS.values() for name in names}
    for role, found in types.items():
        words, names = KINDS.get(role, ("a MapAnything", ()))
        if found is None or found in names or (not names and found not in known):
            continue
        other = next((r for r, (_, fitting) in KINDS.items() if r != role and found in fitting), None)
        swapped = f"; was it meant as --{other}?" if other else "."
        needed = f" ({', '.join(names)})" if names else ""
        raise ConversionError(f"--{role} {parts[role]} has model_type {found!r}; {words} is needed{needed}{swapped}")


def check_used(options: Llava3DOptions, experts: str) -> None:
    """Refuse options of an action expert that the model will not have, and sizes that are none.

    experts: what it will have, as `--action-expert-type` says it.

    Raises:
        ConversionError: the message names the option.
    """
    for name in SIZES:
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ConversionError(f"{option_of(name)} {value} must be above 0.")
    unused = [] if "dit" in experts else [(name, "no DiT head") for name in OF_DIT]
    unused += [] if "deep_fusion" in experts else [(name, "no joined expert") for name in OF_STACK]
    unused += [(name, "no action expert") for name in OF_ACTIONS] if experts == "none" else []
    refuse_given(options, unused, f" (--action-expert-type {experts})")


def check_used_by_run(options: Llava3DRunOptions, experts: str | None, has_geometry: bool) -> None:
    """Refuse options of parts that a converted model has not.

    experts: what it has, as `--action-expert-type` says it, or `None`.

    Raises:
        ConversionError: the message names the option.
    """
    unused = [] if "dit" in (experts or "") else [(name, "no DiT head") for name in ("context", "output_projection")]
    unused += [] if "deep_fusion" in (experts or "") else [("expert_layer_alignment", "no joined expert")]
    unused += [] if has_geometry else [("geometry_normalization", "no geometry branch")]
    unused += [] if experts else [(name, "no action expert") for name in OF_RUNS_ACTIONS]
    refuse_given(options, unused)


def refuse_given(options: Any, unused: Iterable[tuple[str, str]], why: str = "") -> None:
    """unused: options, and what the model lacks for each."""
    for name, lack in unused:
        if getattr(options, name) is not None:
            raise ConversionError(
                f"{option_of(name)} {getattr(options, name)} is given, but the model will have {lack}{why}; leave it "
                "out."
            )
