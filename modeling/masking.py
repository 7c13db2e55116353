"""Who may look at whom, and means over part of a sequence.

Who may look is decided in bool, (batch, queries, keys), true where a query may look at a key. Attention of transformers
and torch's fused one take it as it is, with a dimension for the heads; attention that is written out (`eager`) adds a
mask to its scores, 0 where a query may look and the dtype's lowest value elsewhere. Fused kernels must not get such a
lowest value: the normaliser of a row that holds nothing else is it, and cuDNN's gradients are NaN then. No row is
without a key for the same reason: padding, which nobody else looks at, may look at itself. Without gradients a mask may
be what torch itself makes of one in bool, 0 and minus infinity, made once for all layers.
"""

import torch
import torch.nn.functional as F

from ..configuration.vla_errors import InputError

AT_ONCE = 8  # numbers of a mask that kernels of a card read at once, where they have 16 bits; of 32 bits half as many


def mask_for(implementation: str | None, allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, queries, keys) bool -> the mask (batch, 1, queries, keys) that an attention takes.

    implementation: `_attn_implementation` of the config; dtype: of the states, for `eager`.
    """
    return additive(allowed, dtype) if implementation == "eager" else allowed.unsqueeze(1)


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, queries, keys) bool -> (batch, 1, queries, keys) of `dtype`."""
    blocked = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=allowed.device)
    return torch.where(allowed, blocked.new_zeros(()), blocked).unsqueeze(1)


def without_empty_rows(allowed: torch.Tensor) -> torch.Tensor:
    """(batch, length, length) bool, where padding, which sees nothing and is not seen, sees itself."""
    return allowed | torch.eye(allowed.shape[-1], dtype=torch.bool, device=allowed.device)


def without_first(mask: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """A mask (batch, 1, queries, keys) without its first rows and columns.

    A mask that is added to scores has to begin where kernels of a card may read `AT_ONCE` numbers: torch's attention
    copies one whose rows do not, but not one of which that holds for its first number alone.
    """
    rest = mask[..., rows:, columns:]
    if mask.dtype == torch.bool or mask.stride(-2) % AT_ONCE or columns % AT_ONCE == 0:
        return rest
    return F.pad(rest, (0, -rest.shape[-1] % AT_ONCE))[..., : rest.shape[-1]]


def prefix_attention(
    states: torch.Tensor, attention_mask: torch.Tensor | None, causal: bool, implementation: str | None
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.LongTensor]:
    """How a prefix (images and text) attends to itself, when a suffix will see it and is not seen by it.

    Args:
        states: (batch, length, hidden_size).
        attention_mask: (batch, length), 0 on padding, anywhere; `None`: no padding.
        causal: tokens see what is before them, else all.
        implementation: see `mask_for`.

    Returns:
        The mask (batch, 1, length, length); (batch, length) bool, true on tokens; position ids (batch, length), which
        count the tokens. Mask and tokens are `None` where all see all.
    """
    batch, length = states.shape[:2]
    places = torch.arange(length, device=states.device)
    real = None if attention_mask is None else check_mask(states, attention_mask)
    positions = places.expand(batch, -1) if real is None else (real.long().cumsum(dim=1) - 1).clamp(min=0)
    if real is None and not causal:
        return None, None, positions
    allowed = states.new_ones(batch, length, length, dtype=torch.bool)
    allowed = allowed if real is None else without_empty_rows(allowed & real[:, None, :])
    allowed = allowed & (places[None, :] <= places[:, None]) if causal else allowed
    return mask_for(implementation, allowed, states.dtype), real, positions


def suffix_attention(
    suffix: torch.Tensor, length: int, real: torch.Tensor | None, implementation: str | None, samples: int = 1
) -> tuple[torch.Tensor | None, torch.LongTensor]:
    """How a suffix (state, actions, time) attends to itself and to the prefix before it: one block that sees both.

    suffix: (batch, suffix length, hidden_size); length, real: of the prefix, see `prefix_attention`; samples: so many
    suffixes of one length, one behind the other, which do not see each other.
    Returns the mask (batch, 1, suffix length, length + suffix length), `None` where all see all, and position ids
    (batch, suffix length), which go on from the number of tokens in the prefix.
    """
    batch, suffix_len = suffix.shape[:2]
    places = torch.arange(suffix_len, device=suffix.device)
    own = suffix_len // samples
    if real is None and samples == 1:
        return None, (places + length).expand(batch, -1)
    real = places.new_ones(batch, length, dtype=torch.bool) if real is None else real
    each_other = (places // own)[:, None] == places // own
    seen = [real[:, None, :].expand(-1, suffix_len, -1), each_other.expand(batch, -1, -1)]
    mask = mask_for(implementation, torch.cat(seen, dim=2), suffix.dtype)
    return mask, real.sum(dim=1, keepdim=True) + places % own


def check_mask(tokens: torch.Tensor, attention_mask: torch.Tensor | None, name: str = "attention_mask") -> torch.Tensor:
    """(batch, length) bool, true on tokens and false on padding.

    tokens: (batch, length) ids, or their embeddings; attention_mask: (batch, length), 0 on padding, `None` for none.

    Raises:
        InputError: the mask, an argument of this name, has another shape.
    """
    if attention_mask is None:
        return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    if attention_mask.shape != tokens.shape[:2]:
        wanted = tuple(tokens.shape[:2])
        raise InputError(f"{name} has shape {tuple(attention_mask.shape)}; (batch, length) is {wanted}.")
    return attention_mask.to(tokens.device) != 0


def without_answers(
    tokens: torch.Tensor, attention_mask: torch.Tensor | None, answer_mask: torch.Tensor | None
) -> torch.Tensor | None:
    """(batch, length) int64, 1 on real tokens that are no answer, or the mask itself where there is no answer.

    tokens: as of `check_mask`. Raises InputError for a mask of another shape.
    """
    if answer_mask is None:
        return attention_mask
    is_answer = check_mask(tokens, answer_mask, "answer_mask")
    return (check_mask(tokens, attention_mask) & ~is_answer).long()


def masked_mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of hidden_states (batch, sequence, size) over mask (batch, sequence) bool -> (batch, 1, size)."""
    total = mask.to(hidden_states.dtype).unsqueeze(1) @ hidden_states
    return total / mask.sum(dim=1).view(-1, 1, 1)
