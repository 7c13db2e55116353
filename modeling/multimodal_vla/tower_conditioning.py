"""FiLM in every block of a vision tower of transformers, and aggregation tokens beside its patches (CogVLA, arXiv
2508.21046).

The tower's own embeddings, norms, attention and MLPs run here one after the other, and FiLM acts between attention and
MLP, where CogVLA's own towers (`film_vision_transformer.py`) have it: with the same weights the features are the same.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.multimodal_vla.tower_facts import BLOCK_NAMES, BlockNames
from ..film import FiLM, film_terms, modulate
from ..learned_tokens import LearnedTokens
from ..stack_passes import checkpointed


class TowerConditioning(nn.Module):
    """What one tower gets: a FiLM for each block that runs, aggregation tokens, or both; `None` what it does not get.

    It is no part of the tower, whose weights keep their names.
    """

    def __init__(self, width: int, num_blocks: int, condition_size: int | None, num_aggregation_tokens: int):
        super().__init__()
        self.film = nn.ModuleList(FiLM(condition_size, width) for _ in range(num_blocks)) if condition_size else None
        self.aggregation = LearnedTokens(1, num_aggregation_tokens, width) if num_aggregation_tokens else None


class Conditions(NamedTuple):
    """What is done inside of the towers.

    Attributes:
        towers: a `TowerConditioning` for each of them.
        embedding: (batch, hidden_size), the mean embedding of the instruction.
    """

    towers: Sequence[TowerConditioning]
    embedding: torch.Tensor


def make_conditioning(config: MultimodalVLAConfig) -> nn.ModuleList | None:
    """One for each tower; `None` where nothing is done inside of them."""
    if not config.conditions_towers:
        return None
    condition_size = config.hidden_size if config.use_film else None
    tokens = config.num_vision_aggr if config.use_aggr else 0
    return nn.ModuleList(
        TowerConditioning(tower.hidden_size, num_blocks(tower, config.vision_feature_layer), condition_size, tokens)
        for tower in config.towers.values()
    )


def num_blocks(tower_config: Any, feature_layer: int | None) -> int:
    """How many blocks run for the states after one of them, counted from the end: -2 is the second to last."""
    return tower_config.num_hidden_layers + (0 if feature_layer is None else feature_layer + 1)


def features_by_blocks(
    tower: nn.Module,
    pixel_values: torch.Tensor,
    conditioning: TowerConditioning | None,
    embedding: torch.Tensor | None,
    feature_layer: int | None,
    patches_alone: bool,
    **of_size: bool,
) -> torch.Tensor:
    """Aggregation tokens where there are any, else all tokens or patches: (batch * views, tokens, width of the tower).

    Args:
        tower: of a kind in `BLOCK_NAMES`.
        pixel_values: (batch * views, 3, height, width), the views of a sample side by side.
        conditioning: `None`: nothing is done inside of the tower.
        embedding: (batch, hidden_size), the mean embedding of the instruction, which drives FiLM.
        feature_layer: as `vision_feature_layer` of the config; blocks behind it do not run.
        patches_alone: leave out class and register tokens.
        of_size: further arguments of the tower's embeddings.
    """
    tower = getattr(tower, "vision_model", tower)  # a level of SigLIP's on 4.57
    names = BLOCK_NAMES[tower.config.model_type]
    film, aggregation = (None, None) if conditioning is None else (conditioning.film, conditioning.aggregation)
    states = tower.embeddings(pixel_values, **of_size)
    wanted = num_patches(tower.config, pixel_values) if patches_alone else states.shape[1]
    if aggregation is not None:
        tokens = aggregation(states)
        states, wanted = torch.cat([states, tokens], dim=1), tokens.shape[1]
    blocks = tower.get_submodule(names.blocks)[: num_blocks(tower.config, feature_layer)]
    terms = None if film is None else film_terms(film, embedding.to(states.dtype))
    for number, block in enumerate(blocks):
        if terms is None:
            states = block(states, None)
        else:
            states = checkpointed(block, run_block, block, names, states, *terms[number])
    states = states[:, -wanted:]
    return getattr(tower, names.norm)(states) if feature_layer is None else states


def run_block(
    block: nn.Module, names: BlockNames, states: torch.Tensor, factor: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """A pre-norm block of transformers, FiLM between its attention and its MLP; factor, shift: see `modulate`."""

    def scaled(name: str | None, branch: torch.Tensor) -> torch.Tensor:  # blocks with layer scale also drop paths
        return branch if name is None else block.drop_path(getattr(block, name)(branch))

    attended = getattr(block, names.attention)(getattr(block, names.norm1)(states))
    attended = attended[0] if isinstance(attended, tuple) else attended  # some give their weights, too
    states = modulate(states + scaled(names.scale1, attended), factor, shift)
    return states + scaled(names.scale2, block.mlp(getattr(block, names.norm2)(states)))


def num_patches(tower_config: Any, pixel_values: torch.Tensor) -> int:
    """Whole patches of a picture, pixel_values: (n, 3, height, width)."""
    height, width = pixel_values.shape[-2:]
    return (height // tower_config.patch_size) * (width // tower_config.patch_size)
