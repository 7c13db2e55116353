"""Masks that predictions give to text models of transformers: made here, of which no value is asked.

Given a padding mask (batch, length), transformers looks whether there is padding at all, and a device is waited for.
Masks (batch, 1, length, length) it takes as they are, and models with layers of two kinds a dict of them. What a model
asks is the same then with one prompt and with several, in a graph and outside of one.
"""

import torch
from transformers import PretrainedConfig

from ...configuration.multimodal_vla.backbone_facts import (
    ASKS_IN_LAYERS,
    ASKS_IN_LAYERS_OF_4,
    CARRIES_STATE,
    COUNTS_PLACES,
    MAKES_OWN_MASKS,
)
from ...configuration.transformers_release import IS_4
from ..masking import additive, mask_for, without_empty_rows

TAKES_MASKS = ("sdpa", "eager")  # implementations of attention that add or read a mask of all pairs
FULL, SLIDING = "full_attention", "sliding_attention"


def causal_masks(
    config: PretrainedConfig, real: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor | dict[str, torch.Tensor]:
    """What a decoder's stack takes as its `attention_mask`, for tokens of which each sees itself and those before it.

    In a training step, and where a model makes masks of its own (`MAKES_OWN_MASKS`, flash attention, layers that hand a
    state on), it is the padding mask (batch, length), by which transformers chooses the fastest kernel.

    A window is counted in tokens, so that padding between them changes nothing; in those of transformers it is counted
    in places, see `counts_places`.

    config: of the stack; real: (batch, length) bool, false on padding; dtype: of the states.
    """
    implementation, length = config._attn_implementation, real.shape[1]
    windows = windows_below(config, length)
    if torch.is_grad_enabled() or implementation not in TAKES_MASKS or makes_masks(config) or windows is None:
        return real.long()
    place, count = torch.arange(length, device=real.device), real.long().cumsum(dim=1)
    seen = (place[None, :] <= place[:, None]) & real[:, None, :]

    def mask(window: int | None) -> torch.Tensor:
        near = seen if window is None else seen & (count[:, None, :] > count[:, :, None] - window)
        return mask_as_taken(implementation, without_empty_rows(near), dtype)

    if not windows:
        return mask(None)
    return {FULL: mask(None), SLIDING: mask(windows[0])}


def mask_as_taken(implementation: str, allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """As `mask_for`; on 4.57 some models want one that is added with any attention, and say so on CUDA alone."""
    return additive(allowed, dtype) if IS_4 else mask_for(implementation, allowed, dtype)


def makes_masks(config: PretrainedConfig) -> bool:
    """Whether a text model reads a padding mask alone; a Falcon by its switch for distances in place of rotations."""
    of_falcon = config.model_type == "falcon" and config.alibi
    return of_falcon or config.model_type in (*MAKES_OWN_MASKS, *CARRIES_STATE)


def windows_below(config: PretrainedConfig, length: int) -> tuple[int, ...] | None:
    """The window of layers that see less than a sequence of `length` tokens, one or none; `None`: it is not known
    which layers see how much."""
    kinds, window = set(getattr(config, "layer_types", None) or ()), getattr(config, "sliding_window", None)
    chunk = getattr(config, "attention_chunk_size", None)
    if all(limit is None or length < limit for limit in (window, chunk)) or kinds == {FULL}:
        return ()
    return (window,) if SLIDING in kinds and kinds <= {FULL, SLIDING} else None


def encoder_mask(config: PretrainedConfig, real: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """As `causal_masks`, for an encoder, all of whose tokens see each other."""
    implementation, length = config._attn_implementation, real.shape[1]
    if torch.is_grad_enabled() or implementation not in TAKES_MASKS:
        return real.long()
    seen = without_empty_rows(real[:, None, :].expand(-1, length, -1))
    if not IS_4:
        return mask_for(implementation, seen, dtype)
    return real.long() if config.model_type in ("distilbert", "mt5", "t5", "umt5") else seen.long()


def asks_in_layers(config: PretrainedConfig) -> bool:
    """Whether a text model reads numbers of a device in its own forward, whatever masks it is given."""
    asking = (*ASKS_IN_LAYERS, *ASKS_IN_LAYERS_OF_4) if IS_4 else ASKS_IN_LAYERS
    return config.model_type.removesuffix("_text") in asking


def reads_padding(config: PretrainedConfig) -> bool:
    """Whether padding changes what a text model makes of the tokens, wherever it is: convolutions of 4.57 read it."""
    return config.model_type == "lfm2" and IS_4


def counts_places(config: PretrainedConfig, length: int) -> bool:
    """Whether a text model counts distances in places, so that padding between tokens moves them apart: it is told no
    positions, or windows below the `length` of a sequence are those of masks that are not made by `causal_masks`."""
    if config.model_type in COUNTS_PLACES:
        return True
    windows = windows_below(config, length)
    if windows == ():
        return False
    is_made = not torch.is_grad_enabled() and not makes_masks(config) and config._attn_implementation in TAKES_MASKS
    return windows is None or not is_made


def has_windows(config: PretrainedConfig) -> bool:
    """Whether some layers see less than the whole sequence."""
    limits = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return any(limit is not None for limit in limits) and set(getattr(config, "layer_types", None) or ()) != {FULL}
