"""The parts of the DiT action head (DiT: Peebles and Xie, arXiv 2212.09748; GR00T N1, arXiv 2503.14734).

Parameter names are those of diffusers, which the published heads are built from. Upstream: starVLA/starVLA,
starVLA/model/modules/action_model/flow_matching_head/cross_attention_dit.py.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ...configuration.mapanything_llava3d.configuration_dit_action_head import DiTActionHeadConfig
from ..attention import attend
from ..embodiments import linear_for
from ..fused_linears import product_of

TIMESTEP_CHANNELS = 256
EXPANSION = 4  # of the feed-forward


def timestep_angles(buckets: torch.Tensor, size: int, steps: int) -> torch.Tensor:
    """(batch,) -> (batch, size) float32: the time at frequencies that fall from 1 to 1/10000 within `steps`."""
    exponents = torch.arange(size, dtype=torch.float32, device=buckets.device) / steps
    return buckets.float()[:, None] * torch.exp(-math.log(10000) * exponents)


class MLP(nn.Module):
    """Linear, ReLU, linear; with several embodiments each has its own, and their ids (batch,) are an argument, too."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_embodiments: int = 1):
        super().__init__()
        self.layer1 = linear_for(num_embodiments, input_size, hidden_size)
        self.layer2 = linear_for(num_embodiments, hidden_size, output_size)

    def forward(self, features: torch.Tensor, *embodiment_id: torch.LongTensor) -> torch.Tensor:
        return self.layer2(F.relu(self.layer1(features, *embodiment_id)), *embodiment_id)


class ActionEncoder(nn.Module):
    """Noisy actions and their time: (batch, horizon, action_dim), (batch,) -> (batch, horizon, hidden_size).

    The time may also come as what `waves` made of it, in one row for all. With several embodiments as in `MLP`.
    """

    def __init__(self, action_dim: int, hidden_size: int, num_embodiments: int = 1):
        super().__init__()
        self.layer1 = linear_for(num_embodiments, action_dim, hidden_size)
        self.layer2 = linear_for(num_embodiments, 2 * hidden_size, hidden_size)
        self.layer3 = linear_for(num_embodiments, hidden_size, hidden_size)

    def forward(self, actions: torch.Tensor, time: torch.Tensor, *embodiment_id: torch.LongTensor) -> torch.Tensor:
        features = self.layer1(actions, *embodiment_id)
        waves = self.waves(time) if time.dim() == 1 else time
        waves = waves.to(features.dtype)[:, None].expand_as(features)
        features = F.silu(self.layer2(torch.cat([features, waves], dim=-1), *embodiment_id))
        return self.layer3(features, *embodiment_id)

    def waves(self, buckets: torch.Tensor) -> torch.Tensor:
        """(batch,) -> (batch, hidden_size) float32."""
        half = self.layer3.in_features // 2
        angles = timestep_angles(buckets, half, half)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class DiTTime(NamedTuple):
    """What the network reads of the time, in a row for each sample or one row for all.

    waves: (rows, hidden_size), for the action encoder; temb: (rows, hidden_size), for the blocks; modulations: what
    each block and the output projection make of it, (rows, 2 * hidden_size) each, where it was made before.
    """

    waves: torch.Tensor | None
    temb: torch.Tensor
    modulations: tuple[torch.Tensor, ...] | None = None


class TimestepEmbedder(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.linear_1 = nn.Linear(input_size, output_size)
        self.linear_2 = nn.Linear(output_size, output_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.silu(self.linear_1(features)))


class TimestepEncoder(nn.Module):
    """Time as a condition of every block: buckets (batch,) -> (batch, hidden_size) of `dtype`."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(TIMESTEP_CHANNELS, hidden_size)

    def forward(self, buckets: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        half = TIMESTEP_CHANNELS // 2
        angles = timestep_angles(buckets, half, half - 1)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.timestep_embedder(waves.to(dtype))


class AdaLayerNorm(nn.Module):
    """A norm whose scale and shift follow from the time."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.linear = nn.Linear(hidden_size, 2 * hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-5, elementwise_affine=False)

    def forward(
        self, hidden_states: torch.Tensor, temb: torch.Tensor, modulation: torch.Tensor | None = None
    ) -> torch.Tensor:
        """temb: (batch, hidden_size); modulation: what `self.modulation` made of it, where that was done before."""
        modulation = self.modulation(temb) if modulation is None else modulation
        scale, shift = modulation[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift, self.norm(hidden_states), scale)

    def modulation(self, temb: torch.Tensor) -> torch.Tensor:
        """(rows, 2 * hidden_size): factors, and shifts behind them."""
        scale, shift = self.linear(F.silu(temb)).chunk(2, dim=-1)
        return torch.cat([1 + scale, shift], dim=-1)


class DiTAttention(nn.Module):
    """Attention of normed tokens over keys and values that the caller has made with `keys_values`."""

    def __init__(self, config: DiTActionHeadConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(config.dropout))

    def heads(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, hidden_size) -> (batch, heads, tokens, head_dim)."""
        return states.unflatten(-1, (self.config.num_attention_heads, -1)).transpose(1, 2)

    def keys_values(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        key, value = product_of((self.to_k, self.to_v), states)
        return self.heads(key), self.heads(value)

    def forward(
        self,
        hidden_states: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Without key and value the tokens attend to themselves; where those have fewer rows, as many rows of tokens,
        one behind the other, look at each, which lies in memory once."""
        if key is None:
            projections = product_of((self.to_q, self.to_k, self.to_v), hidden_states)
            query, key, value = (self.heads(each) for each in projections)
        else:
            query = self.heads(self.to_q(hidden_states))
        samples = len(query) // len(key)
        if samples > 1:
            query = query.unflatten(0, (-1, samples)).transpose(1, 2).flatten(2, 3)
        mixed = attend(query, key, value, mask, self.config._attn_implementation)
        if samples > 1:
            mixed = mixed.unflatten(2, (samples, -1)).transpose(1, 2).flatten(0, 1)
        return self.to_out(mixed.transpose(1, 2).flatten(2))

    def projections_to_fuse(self, context: str) -> list[list[nn.Linear]]:
        """Layers that read the same input in a block of this context."""
        return [[self.to_q, self.to_k, self.to_v]] if context == "own" else [[self.to_k, self.to_v]]


class GELUProjection(nn.Module):
    """Linear, then GELU in its tanh form."""

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.proj = nn.Linear(input_size, output_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.proj(hidden_states), approximate="tanh")


class FeedForward(nn.Module):
    """Expansion, GELU, dropout, contraction, dropout."""

    def __init__(self, hidden_size: int, dropout: float):
        super().__init__()
        inner = EXPANSION * hidden_size
        self.net = nn.Sequential(
            GELUProjection(hidden_size, inner), nn.Dropout(dropout), nn.Linear(inner, hidden_size), nn.Dropout(dropout)
        )

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.net(hidden_states)


class DiTBlock(GradientCheckpointingLayer):
    """Attention, then feed-forward.

    Args:
        context: `vlm`: the queries see one layer of the VLM; `own`: the block's tokens, normed, as far as a mask lets
            them; `both`: the VLM's layer and the block's tokens as they come in, not normed (as published).
    """

    methods_with_weights = ("vl_inputs", "modulation")  # predictions call them before the first step; see `shard_model`

    def __init__(self, config: DiTActionHeadConfig, context: str):
        super().__init__()
        self.context = context
        self.norm1 = AdaLayerNorm(config.hidden_size)
        self.attn1 = DiTAttention(config)
        self.final_dropout = nn.Dropout(config.dropout)  # the second one on the attention's output, as published
        self.norm3 = nn.LayerNorm(config.hidden_size, eps=1e-5, elementwise_affine=False)
        self.ff = FeedForward(config.hidden_size, config.dropout)

    def modulation(self, temb: torch.Tensor) -> torch.Tensor:
        """What the block's norm makes of the time, (rows, hidden_size) -> (rows, 2 * hidden_size)."""
        return self.norm1.modulation(temb)

    def vl_inputs(
        self, vl_embs: torch.Tensor, mask: torch.Tensor | None, project: bool
    ) -> tuple[torch.Tensor | None, ...]:
        """What `forward` takes after the time; project: make keys and values of the VLM's layer now."""
        if self.context == "own":
            return ()
        return (mask, None, *self.attn1.keys_values(vl_embs)) if project else (mask, vl_embs)

    def forward(
        self,
        hidden_states: torch.Tensor,
        temb: torch.Tensor,
        mask: torch.Tensor | None = None,
        vl_embs: torch.Tensor | None = None,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        modulation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        hidden_states: (batch, tokens, hidden_size); temb: (batch, hidden_size); mask: as `attend` takes it.
        The VLM comes as vl_embs (batch, vl_tokens, hidden_size), or as what `keys_values` made of it; an `own` block
        takes neither. modulation: what `self.modulation` made of temb.
        """
        normed = self.norm1(hidden_states, temb, modulation)
        if vl_embs is not None:
            key, value = self.attn1.keys_values(vl_embs)
        if self.context == "both":
            own_key, own_value = self.attn1.keys_values(hidden_states)
            key, value = torch.cat([key, own_key], dim=2), torch.cat([value, own_value], dim=2)
        hidden_states = hidden_states + self.final_dropout(self.attn1(normed, key, value, mask))
        return hidden_states + self.ff(self.norm3(hidden_states))


class DiT(nn.Module):
    """The blocks, and where `config.output_projection` is `adaln`, a projection that is modulated by the time."""

    def __init__(self, config: DiTActionHeadConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.timestep_encoder = TimestepEncoder(width)
        self.transformer_blocks = nn.ModuleList(
            DiTBlock(config, config.context_of_block(i)) for i in range(config.num_hidden_layers)
        )
        if config.output_projection == "adaln":
            self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
            self.proj_out_1 = nn.Linear(width, 2 * width)
            self.proj_out_2 = nn.Linear(width, config.output_dim)

    def forward(
        self, hidden_states: torch.Tensor, time: DiTTime, layers: list[tuple[torch.Tensor | None, ...]]
    ) -> torch.Tensor:
        """
        hidden_states: (batch, tokens, hidden_size); time: of `at_times`; layers: the further arguments of each block.
        Returns (batch, tokens, output_dim).
        """
        ahead = time.modulations or (None,) * (len(self.transformer_blocks) + 1)
        for block, layer, modulation in zip(self.transformer_blocks, layers, ahead[:-1], strict=True):
            hidden_states = block(hidden_states, time.temb, *layer, modulation=modulation)
        if self.config.output_projection == "none":
            return hidden_states
        shift, scale = (self.output_modulation(time.temb) if ahead[-1] is None else ahead[-1])[:, None].chunk(2, dim=-1)
        return self.proj_out_2(torch.addcmul(shift, self.norm_out(hidden_states), 1 + scale))

    def at_times(self, buckets: torch.Tensor, dtype: torch.dtype, ahead: bool = False) -> DiTTime:
        """Of times (rows,), without `waves`; ahead: also what blocks make of them, in one product a block for all rows,
        for predictions; in training the blocks do it, where gradient checkpointing can drop it."""
        temb = self.timestep_encoder(buckets, dtype)
        if not ahead:
            return DiTTime(None, temb)
        made = [block.modulation(temb) for block in self.transformer_blocks]
        return DiTTime(None, temb, (*made, self.output_modulation(temb)))

    def output_modulation(self, temb: torch.Tensor) -> torch.Tensor:
        """(rows, 2 * hidden_size): shifts and scales, as published; what came in where nothing is projected."""
        return temb if self.config.output_projection == "none" else self.proj_out_1(F.silu(temb))
