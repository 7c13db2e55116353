"""What the vision transformers of CogVLA and LLaVA-3D have in common, under the names of DINOv2 and timm."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import attend
from .film import FiLM, modulate
from .fused_linears import is_unhooked
from .mlp import MLP


class PatchEmbedding(nn.Module):
    """Non-overlapping patches, each mapped linearly: (n, 3, h, w) -> (n, patches, hidden_size), row by row."""

    def __init__(self, hidden_size: int, patch_size: int):
        super().__init__()
        self.proj = nn.Conv2d(3, hidden_size, patch_size, stride=patch_size)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.proj(pixel_values).flatten(2).transpose(1, 2)


class VisionAttention(nn.Module):
    """Multi-head self-attention over all tokens of one sequence; (n, tokens, hidden_size) -> the same.

    Args:
        config: whose `_attn_implementation` counts, asked in every call since it may be set after construction.
    """

    def __init__(self, config: PretrainedConfig, hidden_size: int, num_heads: int):
        super().__init__()
        self.config = config
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = hidden_states.shape
        qkv = self.qkv(hidden_states).view(batch, tokens, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attend(query, key, value, implementation=self.config._attn_implementation)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class SwiGLU(nn.Module):
    """Gated MLP (Shazeer, arXiv 2002.05202): the first half of `w12` is the gate, through SiLU, of the second."""

    def __init__(self, hidden_size: int, intermediate_size: int):
        super().__init__()
        self.w12 = nn.Linear(hidden_size, 2 * intermediate_size)
        self.w3 = nn.Linear(intermediate_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, value = self.w12(hidden_states).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class LayerScale(nn.Module):
    """A learned factor per channel (Touvron et al., arXiv 2103.17239), a parameter of the name that was published."""

    def __init__(self, hidden_size: int, name: str):
        super().__init__()
        self.name = name
        self.register_parameter(name, nn.Parameter(torch.ones(hidden_size)))

    @property
    def factor(self) -> nn.Parameter:
        """(hidden_size,)"""
        return getattr(self, self.name)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states * self.factor


class VisionBlock(GradientCheckpointingLayer):
    """Pre-norm transformer block; (n, tokens, hidden_size) -> the same.

    Args:
        config: see `VisionAttention`; `layer_norm_eps` is read, too.
        mlp: from `hidden_size` to `hidden_size`.
        layer_scale: name of the parameter of `LayerScale`; `None` for blocks without it.
        film: acts between attention and MLP, for a tower that an instruction conditions.
    """

    def __init__(
        self,
        config: PretrainedConfig,
        hidden_size: int,
        num_heads: int,
        mlp: MLP | SwiGLU,
        layer_scale: str | None = None,
        film: FiLM | None = None,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.attn = VisionAttention(config, hidden_size, num_heads)
        self.ls1 = LayerScale(hidden_size, layer_scale) if layer_scale else nn.Identity()
        self.film = film
        self.norm2 = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.mlp = mlp
        self.ls2 = LayerScale(hidden_size, layer_scale) if layer_scale else nn.Identity()

    def forward(
        self,
        hidden_states: torch.Tensor,
        condition: torch.Tensor | None = None,
        film_terms: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """condition: (batch, condition_size) of the FiLM; film_terms: what it makes of that, where it is known."""
        hidden_states = scaled_sum(hidden_states, self.attn(self.norm1(hidden_states)), self.ls1)
        if self.film is not None:
            hidden_states = modulate(hidden_states, *(self.film(condition) if film_terms is None else film_terms))
        return scaled_sum(hidden_states, self.mlp(self.norm2(hidden_states)), self.ls2)


def scaled_sum(hidden_states: torch.Tensor, update: torch.Tensor, scale: nn.Module) -> torch.Tensor:
    """`hidden_states + scale(update)`; in a prediction in one kernel where the scale is a `LayerScale`."""
    is_plain = type(scale) is LayerScale and not scale.training and is_unhooked(scale)
    if torch.is_grad_enabled() or not is_plain:
        return hidden_states + scale(update)
    return torch.addcmul(hidden_states, update, scale.factor)
