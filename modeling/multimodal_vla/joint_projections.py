"""Linear layers of a composed VLA that read the same input, and are one product where their weights lie side by side.

They are layers of ours: FiLM, keys and values of cross-attention, the flow head's stack. Towers, language models and
VLMs are those of transformers, whose own forward multiplies.
"""

from torch import nn

from ..llama_layers import projections_of
from .context_action_network import ContextActionNetwork
from .gated_cross_attention import GatedLayers
from .perceiver_resampler import CrossAttention
from .tower_conditioning import TowerConditioning


def joint_projections(model: nn.Module) -> list[list[nn.Module]]:
    """`projections_to_fuse` of a composed VLA."""
    groups = [] if model.film is None else [[model.film.scale, model.film.shift]]
    for module in model.modules():
        if isinstance(module, TowerConditioning) and module.film is not None:
            groups.append([linear for film in module.film for linear in (film.scale, film.shift)])
        elif isinstance(module, GatedLayers):
            groups.append(module.keys_values())
        elif isinstance(module, CrossAttention):
            groups.append([module.k_proj, module.v_proj])
        elif isinstance(module, ContextActionNetwork):
            groups += [group for layer in module.stack.layers for group in projections_of(layer)]
    return groups
