"""Alpamayo-R1's expert: a stack of Qwen3-VL's text layers over the keys and values of an accepted text.

Action tokens of one trajectory see each other and the text up to the token that opened the trajectory; what was decoded
behind it for the sake of other rows is hidden, and so is the padding of a prompt.
"""

import torch
from torch import nn
from transformers import DynamicCache

from ..masking import mask_for
from ..stack_passes import PrefixCache, run_suffix


def kept_text(cache: DynamicCache, stop_grad: bool = False) -> PrefixCache:
    """The keys and values of a decoder's cache, which is empty afterwards: they are never in memory twice.

    stop_grad: no gradient goes on from them.
    """
    kept = PrefixCache(cache.get_seq_length())
    for layer in cache.layers:
        pair = layer.keys, layer.values
        kept.append(*(tensor.detach() for tensor in pair) if stop_grad else pair)
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
    """States after the final norm, (rows, tokens, hidden_size) like `action_embeds`; the text is left as it is."""
    return expert.norm(run_suffix(expert.layers, action_embeds, mask, rotary, text))
