"""The velocity that Alpamayo-R1's expert sees over a text, and the loss that it learns it by.

The expert is a stack of Qwen3-VL's text layers over the keys and values of an accepted text. Action tokens of one
trajectory see each other and the text up to the token that opened the trajectory, and take the places right behind it;
what was decoded behind it for the sake of other rows is hidden, and so is the padding of a prompt.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from transformers import DynamicCache

from ...configuration.vla_errors import InputError
from ..masking import mask_for
from ..modules import floating_dtype
from ..stack_passes import PrefixCache, run_suffix
from .trajectory_flow_matching import FlowMatching


class ExpertParts(NamedTuple):
    """Noisy actions to tokens, the stack, tokens to velocities; causal: no action token sees a later one."""

    action_in_proj: nn.Module
    expert: nn.Module
    action_out_proj: nn.Linear
    causal: bool


def velocity_over(
    text: PrefixCache, seen: torch.Tensor, first: torch.LongTensor, num_tokens: int, parts: ExpertParts
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """`velocity(x, t)`: noisy actions (rows, num_tokens, 2) and times (rows, 1, 1) -> velocities like x.

    text: keys and values, looked at where seen (rows, length) is true; first: (rows,), the first token's position.
    """
    dtype = floating_dtype(parts.action_out_proj)
    mask = action_mask(seen, num_tokens, parts.causal, dtype, parts.expert.config._attn_implementation)
    rotary = parts.expert.rotary_emb(seen.new_empty(1, dtype=dtype), positions_behind(first, num_tokens))

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        states = run_suffix(parts.expert.layers, parts.action_in_proj(x, t), mask, rotary, text)
        return parts.action_out_proj(parts.expert.norm(states))

    return velocity


def positions_behind(first: torch.LongTensor, num_tokens: int) -> torch.LongTensor:
    """(3, rows, num_tokens), from the first (rows,) on."""
    return (first[:, None] + torch.arange(num_tokens, device=first.device))[None].expand(3, -1, -1)


def action_mask(
    seen: torch.Tensor, num_tokens: int, causal: bool, dtype: torch.dtype, implementation: str | None
) -> torch.Tensor:
    """The mask (rows, 1, tokens, text + tokens) from seen (rows, text) bool, the text that may be looked at.

    dtype, implementation: see `mask_for`.
    """
    block = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=seen.device)
    block = block.tril() if causal else block
    text = seen[:, None, :].expand(-1, num_tokens, -1)
    return mask_for(implementation, torch.cat([text, block.expand(len(seen), -1, -1)], dim=2), dtype)


def trajectory_loss(
    cache: DynamicCache,
    positions: torch.LongTensor,
    start: torch.LongTensor,
    real: torch.Tensor | None,
    training_data: dict[str, torch.Tensor],
    parts: ExpertParts,
    diffusion: FlowMatching,
    total: torch.Tensor | None = None,
    sample_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean squared error of the velocity `actions - noise`, a scalar.

    Args:
        cache: keys and values of the VLM over texts, used up; positions: theirs, (3, batch, length).
        start: (batch,), see `start_of_trajectory`; the expert sees no later tokens.
        real: (batch, length) bool, false on padding that it does not see, `None` where it sees all.
        training_data: of `construct_training_data`; total, sample_weight: see `FlowMatchingLoss`.
    """
    length = positions.shape[2]
    seen = torch.arange(length, device=start.device) <= start[:, None]
    first = positions.amax(dim=0).gather(1, start[:, None])[:, 0] + 1
    seen = seen if real is None else seen & real
    velocity = velocity_over(kept_text(cache), seen, first, training_data["x"].shape[1], parts)
    pred = velocity(training_data["noisy_x"], training_data["timesteps"])
    return diffusion.compute_loss_from_pred(training_data, pred, total, sample_weight)


def kept_text(cache: DynamicCache) -> PrefixCache:
    """The keys and values of a decoder's cache, which is empty afterwards: they are never in memory twice."""
    kept = PrefixCache(cache.get_seq_length())
    for layer in cache.layers:
        kept.append(layer.keys, layer.values)
        layer.keys = layer.values = None
    return kept


def without_gradient(cache: DynamicCache) -> DynamicCache:
    """The cache, whose keys and values no gradient reaches any more."""
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys.detach(), layer.values.detach()
    return cache


def start_of_trajectory(input_ids: torch.LongTensor, start_id: int) -> torch.LongTensor:
    """(batch,), where each row's `<|traj_future_start|>` (`start_id`) stands.

    Raises:
        InputError: a row has none.
    """
    is_start = input_ids == start_id
    if not is_start.any(dim=1).all():
        rows = (~is_start.any(dim=1)).nonzero().flatten().tolist()
        raise InputError(f"rows {rows} of input_ids have no <|traj_future_start|>, behind which the expert starts.")
    return is_start.int().argmax(dim=1)
