"""A vision transformer with FiLM in every block and learned aggregation tokens (CogVLA, arXiv 2508.21046).

Covers both towers of the prismatic pair: DINOv2 (class token, registers, layer scale) and SigLIP (patches only). The
published models take the tokens after the second to last block, without the final norm; what lies behind it influences
nothing and is not built. Upstream: JiuTian-VL/CogVLA, prismatic/models/{film_vit_wrapper,vit_wrapper_reg}.py.
"""

import torch
from torch import nn

from ...configuration.cogvla.configuration_cogvla_vision import CogVLAVisionConfig
from ..film import FiLM
from ..fused_linears import is_unhooked, product_if_joined
from ..learned_tokens import LearnedTokens
from ..mlp import MLP
from ..vision_layers import LayerScale, PatchEmbedding, VisionBlock


class FiLMVisionTransformer(nn.Module):
    """One tower.

    Args:
        condition_size: width of the text embedding that drives FiLM, or `None` for a tower without FiLM.
        num_aggregation_tokens: with 0 the patch tokens are returned, otherwise only the aggregation tokens.
    """

    def __init__(self, config: CogVLAVisionConfig, condition_size: int | None, num_aggregation_tokens: int):
        super().__init__()
        width = config.hidden_size
        self.patch_embed = PatchEmbedding(width, config.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.num_patches, width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if config.has_class_token else None
        self.reg_token = nn.Parameter(torch.zeros(1, config.num_registers, width)) if config.num_registers else None
        self.aggregation = LearnedTokens(1, num_aggregation_tokens, width) if num_aggregation_tokens else None
        layer_scale = "scale_factor" if config.has_layer_scale else None
        self.blocks = nn.ModuleList(
            VisionBlock(
                config,
                width,
                config.num_attention_heads,
                MLP(width, width, config.intermediate_size),
                layer_scale,
                FiLM(condition_size, width) if condition_size else None,
            )
            for _ in range(config.num_hidden_layers)
        )

    def forward(self, pixel_values: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """
        pixel_values: (batch * views, 3, height, width); condition: (batch, condition_size), or `None` without FiLM.
        Returns (batch * views, tokens, hidden_size).
        """
        hidden_states = self.embed(pixel_values)
        terms = self.film_terms(condition)
        for number, block in enumerate(self.blocks):
            hidden_states = block(hidden_states, condition, None if terms is None else terms[number])
        if self.aggregation is not None:
            return hidden_states[:, -self.aggregation.tokens.shape[-2] :]
        return hidden_states[:, -self.pos_embed.shape[1] :]

    def film_terms(self, condition: torch.Tensor | None) -> list[tuple[torch.Tensor, torch.Tensor]] | None:
        """Factor and shift of each block, (batch, 1, hidden_size), from one product where the weights of all blocks lie
        side by side; `None`: the blocks compute their own."""
        films = [block.film for block in self.blocks if block.film is not None]
        if not films or not all(is_unhooked(module) for module in (*self.blocks, *films)):
            return None
        joint = product_if_joined([linear for film in films for linear in (film.scale, film.shift)], condition)
        if joint is None:
            return None
        scales, shifts = joint.view(len(joint), len(films), 2, -1).unbind(2)
        return list(zip((1 + scales).split(1, dim=1), shifts.split(1, dim=1), strict=True))

    def projections_to_fuse(self) -> list[list[nn.Module]]:
        """The linear layers that read the condition."""
        films = [block.film for block in self.blocks if isinstance(block.film, FiLM)]
        return [[linear for film in films for linear in (film.scale, film.shift)]]

    def embed(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Class token, registers, patches, aggregation tokens, in this order; only patches have positions."""
        patches = self.patch_embed(pixel_values) + self.pos_embed
        prefix = [t.expand(len(patches), -1, -1) for t in (self.cls_token, self.reg_token) if t is not None]
        suffix = [self.aggregation(patches)] if self.aggregation is not None else []
        return torch.cat([*prefix, patches, *suffix], dim=1)


@torch.no_grad()
def init_tower_weights(module: nn.Module, std: float) -> None:
    """Initialise what transformers does not know; the model that holds towers calls this for every module."""
    if isinstance(module, FiLMVisionTransformer):
        for token in (module.pos_embed, module.cls_token, module.reg_token):
            if token is not None:
                nn.init.normal_(token, std=std)
    elif isinstance(module, LearnedTokens):
        nn.init.normal_(module.tokens)  # as published
    elif isinstance(module, LayerScale):
        nn.init.ones_(module.factor)
