"""Decoder layers that run on the vision tokens that matter: LFP, layer-wise token pruning (CogVLA, arXiv 2508.21046).

Upstream: JiuTian-VL/CogVLA, prismatic/models/modeling_llama.py.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel

from ..cache_names import cache_argument
from ..fused_linears import product_if_joined
from ..llama_layers import LAYERS_CACHE, Rotary, attended, decoder_layer, gated, is_stock, normed, projections_of
from ..masking import without_first
from ..stock_initialisation import StockInitialisation

STACKS_CACHE = cache_argument(LlamaModel.forward)


@dataclass
class Pruning:
    """What the pruning layers of one forward pass need, and what they report.

    The sequence is one BOS token, `num_vision_tokens` vision tokens, then everything else, padding last.

    Attributes:
        prompt: (batch, sequence) bool, the tokens between vision and action block (state and time tokens included,
            padding not), whose mean modulates the vision tokens before they are scored.
        kept: `{layer: (batch, k)}`, ascending indices of the kept tokens, 0 being the first vision token.
        row, count: (batch, 1, sequence) and (batch, 1, 1), the prompt as a mean over it needs it.
        places: (1, sequence), the numbers of all tokens.
    """

    num_vision_tokens: int
    prompt: torch.Tensor
    kept: dict[int, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self):
        self.row, self.count = self.prompt.unsqueeze(1), self.prompt.sum(dim=1).view(-1, 1, 1)
        self.places = torch.arange(self.prompt.shape[1], device=self.prompt.device).unsqueeze(0)

    def to(self, device: torch.device, non_blocking: bool = False) -> "Pruning":
        """For layers of another device, where accelerate moves what goes into a layer; all report to the same dict."""
        moved = replace(self, prompt=self.prompt.to(device, non_blocking=non_blocking))
        return self if self.prompt.device == moved.prompt.device else moved

    def mean(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Of hidden_states (batch, sequence, size) over the prompt, (batch, 1, size); see `masked_mean`."""
        self.row = self.row.to(hidden_states.dtype)  # the layers of a pass have one dtype
        return self.row @ hidden_states / self.count


class TokenRouter(nn.Module):
    """Scores tokens; with `film` the vision tokens are first modulated by the prompt of the same layer."""

    def __init__(self, hidden_size: int, film: bool):
        super().__init__()
        self.router = nn.Linear(hidden_size, 2)
        self.scale = bottleneck_mlp(hidden_size) if film else None
        self.shift = bottleneck_mlp(hidden_size) if film else None

    def forward(self, hidden_states: torch.Tensor, pruning: Pruning) -> torch.Tensor:
        """hidden_states: (batch, sequence, hidden_size), normed -> scores in 0..1, (batch, sequence), float32."""
        if self.scale is not None:
            scale, shift = self.film(pruning.mean(hidden_states))
            vision = hidden_states[:, 1 : 1 + pruning.num_vision_tokens]
            hidden_states = replace_vision(hidden_states, torch.addcmul(shift, vision, 1 + scale))
        return self.router(hidden_states).softmax(dim=-1, dtype=torch.float32)[..., 1]

    def film(self, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and shift, (batch, 1, hidden_size) each; prompt: (batch, 1, hidden_size)."""
        mlps = self.scale, self.shift
        joint = None
        if all(is_stock(mlp, nn.Sequential) and is_stock(mlp[1], nn.GELU) for mlp in mlps):
            joint = product_if_joined([mlp[0] for mlp in mlps], prompt)
        if joint is None:
            return self.scale(prompt), self.shift(prompt)
        return tuple(mlp[2](states) for mlp, states in zip(mlps, F.gelu(joint).chunk(2, dim=-1), strict=True))


def bottleneck_mlp(hidden_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden_size, hidden_size // 2), nn.GELU(), nn.Linear(hidden_size // 2, hidden_size))


class LFPDecoderLayer(LlamaDecoderLayer):
    """A Llama layer that leaves the lowest-scored vision tokens out; they pass it unchanged.

    The kept tokens are renumbered from position 0, and the MLP's output (not the attention's) is multiplied by the
    score of every token that takes part. Without `pruning`, as when decoding token by token, it is a plain Llama layer
    over a cache that is shorter than that of other layers.
    """

    def __init__(self, config: LlamaConfig, layer_idx: int, keep_ratio: float, film: bool):
        super().__init__(config, layer_idx)
        self.layer_idx = layer_idx
        self.keep_ratio = keep_ratio
        self.router = TokenRouter(config.hidden_size, film)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        pruning: Pruning | None = None,
        **kwargs,
    ) -> torch.Tensor:
        """
        hidden_states: (batch, sequence, hidden_size); attention_mask: (batch, 1, queries, keys), see masking.py;
        kwargs: as in `LlamaDecoderLayer`, the cache among them.

        Dropping d vision tokens keeps the order of the rest, and padding is last, so the mask among the kept tokens is
        the mask without its first d rows and columns; with it goes a cache that holds d tokens fewer.
        """
        if pruning is None:
            keys = kwargs[LAYERS_CACHE].get_seq_length(self.layer_idx) + hidden_states.shape[1]
            mask = without_first(attention_mask, 0, attention_mask.shape[-1] - keys)
            return decoder_layer(self, hidden_states, mask, position_embeddings, **kwargs)
        states = normed(self.input_layernorm, hidden_states)
        scores = self.router(states, pruning)
        kept = highest_scored(scores[:, 1 : 1 + pruning.num_vision_tokens], self.keep_ratio)
        pruning.kept[self.layer_idx] = kept
        dropped = pruning.num_vision_tokens - kept.shape[1]
        places = kept_places(kept, pruning.num_vision_tokens, pruning.places)

        residual = select(hidden_states, places)
        rotary = tuple(x[:, : residual.shape[1]] for x in position_embeddings)
        mask = without_first(attention_mask, dropped, dropped)
        residual = residual + attended(self.self_attn, select(states, places), mask, rotary, **kwargs)
        weights = scores.gather(1, places).unsqueeze(-1).to(residual.dtype)
        output = gated(self.mlp, normed(self.post_attention_layernorm, residual))
        return restore(hidden_states, torch.addcmul(residual, output, weights), places)


class LFPLlamaModel(StockInitialisation, LlamaModel):
    """A Llama whose layers named in `keep_ratios` prune vision tokens; takes `pruning` in `forward`."""

    def __init__(self, config: LlamaConfig, keep_ratios: dict[int, float], film: bool):
        super().__init__(config)
        for layer, ratio in keep_ratios.items():
            self.layers[layer] = LFPDecoderLayer(config, layer, ratio, film)
        self.post_init()

    def run(
        self,
        hidden_states: torch.Tensor,
        mask: torch.Tensor,
        rotary: Rotary,
        pruning: Pruning | None = None,
        cache: Any = None,
    ) -> torch.Tensor:
        """What `forward` does without gradients, with what does not change from step to step of a prediction given:
        (batch, tokens, hidden_size) -> the same, after the last norm.

        cache: of transformers, or a `GrowingCache`.
        """
        named = {LAYERS_CACHE: cache}
        for layer in self.layers:
            if is_stock(layer, LlamaDecoderLayer):
                hidden_states = decoder_layer(layer, hidden_states, mask, rotary, **named)
            else:
                given = {"attention_mask": mask, "position_embeddings": rotary, "pruning": pruning, **named}
                hidden_states = layer(hidden_states, **given)
        return normed(self.norm, hidden_states)

    def projections_to_fuse(self) -> list[list[nn.Module]]:
        """The linear layers that read one input: those of each layer, and of its router's FiLM."""
        groups = [group for layer in self.layers for group in projections_of(layer)]
        mlps = [(layer.router.scale, layer.router.shift) for layer in self.layers if hasattr(layer, "router")]
        return groups + [[scale[0], shift[0]] for scale, shift in mlps if isinstance(scale, nn.Sequential)]


def highest_scored(scores: torch.Tensor, keep_ratio: float) -> torch.Tensor:
    """Ascending indices (batch, int(n * keep_ratio)) of the highest of `scores` (batch, n).

    Equal scores, common in bfloat16, are decided by position: the choice is the same on every device.
    """
    count = int(scores.shape[1] * keep_ratio)
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :count].sort(dim=1).values


def kept_places(kept: torch.Tensor, num_vision_tokens: int, places: torch.Tensor) -> torch.Tensor:
    """(batch, length of the rest), those of `places` (1, sequence) that a layer reads: all but those of vision tokens
    that are not in `kept` (batch, k)."""
    places = places.expand(len(kept), -1)
    return torch.cat([places[:, :1], kept + 1, places[:, 1 + num_vision_tokens :]], dim=1)


def select(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """x: (batch, sequence, size) at `places` (batch, k). Whole rows are copied of a single sample, in less time."""
    if len(x) == 1:
        return x[0].index_select(0, places[0]).unsqueeze(0)
    return x.gather(1, places.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def restore(x: torch.Tensor, update: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """`x` with its tokens at `places` replaced by `update`, the reverse of `select`."""
    if len(x) == 1:
        return x[0].index_copy(0, places[0], update[0]).unsqueeze(0)
    return x.scatter(1, places.unsqueeze(-1).expand_as(update), update)


def replace_vision(x: torch.Tensor, vision: torch.Tensor) -> torch.Tensor:
    """`x` (batch, sequence, size) with the tokens after BOS replaced by `vision` (batch, tokens, size)."""
    return torch.cat([x[:, :1], vision, x[:, 1 + vision.shape[1] :]], dim=1)
