"""Alpamayo-R1's expert: a stack of Qwen3-VL's text layers over the keys and values of an accepted text.

Action tokens of one trajectory see each other and the text up to the token that opened the trajectory; what was decoded
behind it for the sake of other rows is hidden, and so is the padding of a prompt.
"""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from ..masking import mask_for
from ..prefix_cache import PrefixCache, run_layer


def kept_text(cache: DynamicCache, room: int) -> PrefixCache:
    """A decoder's cache with `room` behind it, layer by layer, so that it is never in memory twice."""
    length = cache.get_seq_length()
    kept = PrefixCache(cache.layers[0].keys.shape[0], length, None, room)
    for layer in cache.layers:
        kept.append(layer.keys, layer.values)
        layer.keys = layer.values = None
    return kept


def action_mask(
    seen: torch.Tensor, num_tokens: int, causal: bool, dtype: torch.dtype, implementation: str | None = "eager"
) -> torch.Tensor:
    """The mask (rows, 1, tokens, text + tokens) from seen (rows, text) bool, the text that may be looked at.

    dtype, implementation: see `mask_for`.
    """
    block = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=seen.device)
    block = block.tril() if causal else block
    text = seen[:, None, :].expand(-1, num_tokens, -1)
    return mask_for(implementation, torch.cat([text, block.expand(len(seen), -1, -1)], dim=2), dtype)


def run_expert(
    expert: nn.Module,
    action_embeds: torch.Tensor,
    text: PrefixCache,
    mask: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """States after the final norm, (rows, tokens, hidden_size) like `action_embeds`; the text is left as it is.

    Where gradient checkpointing is on, the layers are computed once more in the backward pass.
    """
    hidden_states = action_embeds
    text.reserve(action_embeds.shape[1], action_embeds.dtype)
    for index, layer in enumerate(expert.layers):
        arguments = (layer, hidden_states, mask, rotary, text.extender(index))
        if layer.gradient_checkpointing and layer.training and torch.is_grad_enabled():
            hidden_states = checkpoint(run_layer, *arguments, use_reentrant=False)
        else:
            hidden_states = run_layer(*arguments)
    return expert.norm(hidden_states)
