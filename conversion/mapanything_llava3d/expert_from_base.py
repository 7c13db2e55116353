"""An action expert whose tensors are those of layers of the language model, see `expert_of_base_layers.py`."""

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...modeling.mapanything_llava3d.expert_of_base_layers import chosen_layers, copied_tensors
from ..tensors.collected import Candidates, Collected
from ..tensors.plan import Fact
from .options import Llava3DOptions


def copy_layers(options: Llava3DOptions, config: MapAnythingLlava3DConfig, collected: Collected) -> Fact:
    """Let the expert's tensors be those of the chosen layers of the base, and its last norm the base's.

    Raises:
        ConfigError: see `chosen_layers`.
    """
    chosen = chosen_layers(config, options.expert_init_layers)
    for target, source in copied_tensors(chosen, list(collected.candidates)).items():
        collected.candidates[target] = Candidates([[collected.best(source)]])
    how = "chosen" if options.expert_init_layers is not None else "those that it attends with"
    return Fact("expert_init", f"layers {', '.join(map(str, chosen))} of the base", f"given (--expert-init), {how}")
