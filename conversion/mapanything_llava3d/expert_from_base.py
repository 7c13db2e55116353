"""An action expert that starts as a copy of layers of the language model it is joined to.

Copied layers are the base's bit for bit, so the expert has to be as wide as the base. A narrower one would leave
channels of the base's states out, without which no layer computes what it did: it starts at random.
"""

from typing import Any

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ...modeling.mapanything_llava3d.llava3d_with_action_expert import paired_layers
from ..tensors.collected import Candidates, Collected
from ..tensors.plan import Fact
from .options import Llava3DOptions
from .sizes import DECODER, EXPERT


def starts_from_base(options: Llava3DOptions, expert_type: str | None) -> bool:
    """Whether the expert is a copy. Raises ConversionError for options that need one, without it."""
    if options.expert_init != "base":
        if options.expert_init_layers is not None:
            raise ConversionError("--expert-init-layers names layers to copy: pass --expert-init base, too.")
        return False
    if "deep_fusion" not in (expert_type or ""):
        raise ConversionError(
            f"--expert-init base copies layers into the deep-fusion expert, and action_expert_type is {expert_type!r}."
        )
    return True


def copied_sizes(options: Llava3DOptions, text: dict[str, Any]) -> dict[str, int]:
    """The fields of `expert_config` that an expert of copied layers has from the base's config.

    Raises:
        ConversionError: another width was asked for.
    """
    width, inner = text["hidden_size"], text["intermediate_size"]
    given = {"--expert-hidden-size": (options.expert_hidden_size, width)}
    given["--expert-mlp-ratio"] = options.expert_mlp_ratio, inner / width
    for option, (value, needed) in given.items():
        if value is not None and abs(value - needed) > 1e-2 * needed:
            raise ConversionError(
                f"{option} {value:g} is not the base's {needed:g}: layers of the base are copied whole (--expert-init "
                "base), so the expert must be as wide; leave the option out, or --expert-init for one that starts at "
                "random."
            )
    return {"hidden_size": width, "intermediate_size": inner}


def copy_layers(options: Llava3DOptions, config: MapAnythingLlava3DConfig, collected: Collected) -> Fact:
    """Let the expert's tensors be those of the chosen layers of the base, and its last norm the base's.

    Raises:
        ConversionError: the chosen layers are not as many as the expert has, or the base has no such layer.
    """
    there, count = config.text_config.num_hidden_layers, config.expert_num_layers
    chosen = options.expert_init_layers
    if chosen is None:
        chosen = paired_layers(there, count, config.expert_layer_alignment)
    if len(chosen) != count:
        raise ConversionError(
            f"--expert-init-layers names {len(chosen)} layers and the expert has {count}: name one for each "
            "(--expert-num-layers)."
        )
    if wrong := [layer for layer in chosen if not 0 <= layer < there]:
        raise ConversionError(f"--expert-init-layers {wrong[0]}: the base has layers 0 to {there - 1}.")
    for name in list(collected.candidates):
        for own, base in enumerate(chosen):
            if name.startswith(at := f"{DECODER}layers.{base}."):
                share(collected, name, f"{EXPERT}layers.{own}.{name.removeprefix(at)}")
    share(collected, f"{DECODER}norm.weight", f"{EXPERT}norm.weight")
    how = "chosen" if options.expert_init_layers is not None else "those that it attends with"
    return Fact("expert_init", f"layers {', '.join(map(str, chosen))} of the base", f"given (--expert-init), {how}")


def share(collected: Collected, source: str, target: str) -> None:
    """Let a tensor of the model be what another one is."""
    collected.candidates[target] = Candidates([[collected.best(source)]])
