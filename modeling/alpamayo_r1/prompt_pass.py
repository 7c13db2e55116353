"""The prompt of Alpamayo-R1 through its language model, as a core that leaves keys and values where they are kept."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache

from ..decoder_layer_pass import rms_norm
from ..masking import without_empty_rows
from ..prediction_core import run_core
from ..shared_prefix_attention import KeysValues
from .prompt_reading import embedded, read_tokens
from .text_decoding import all_in_parts
from .text_keys import TextKeys
from .text_layer import run_in_parts, turning
from .vision_encoding import Images


class PromptInputs(NamedTuple):
    """What is read.

    Attributes:
        input_ids: (batch, length), with their histories; positions: (3, batch, length).
        real: (batch, length) bool, false on padding, or `None` where nothing is padded.
        images: what the vision tower made of the images, or `None`.
    """

    input_ids: torch.LongTensor
    positions: torch.LongTensor
    real: torch.Tensor | None
    images: Images | None


def prompt_logits(model: nn.Module, inputs: PromptInputs, keys: TextKeys) -> torch.Tensor:
    """Logits (batch, vocabulary) float32 for the first new token; keys and values of prompts are written.

    By the stock decoder where it attends in another way than by sdpa, or is watched, wrapped or in training.
    """
    decoder = model.vlm.model.language_model
    if decoder.config._attn_implementation == "sdpa" and all_in_parts(decoder, keys.prompt[0][0]):
        return run_core(model, read_prompt, inputs, (), keys)
    cache = DynamicCache()
    states = read_tokens(model.vlm, *inputs, cache)
    take_over(keys, cache)
    return model.vlm.lm_head(states[:, -1]).float()


def take_over(keys: TextKeys, cache: DynamicCache) -> None:
    """Move the keys and values of prompts out of a cache, layer by layer."""
    for kept, layer in zip(keys.prompt, cache.layers, strict=True):
        keep(kept, (layer.keys, layer.values))
        layer.keys = layer.values = None


def keep(kept: KeysValues, new: KeysValues) -> None:
    for memory, found in zip(kept, new, strict=True):
        memory.copy_(found)


def read_prompt(model: nn.Module, inputs: PromptInputs, options: tuple, keys: TextKeys) -> torch.Tensor:
    """Core: see `prompt_logits`."""
    decoder = model.vlm.model.language_model
    states, deepstack = embedded(model.vlm, inputs.input_ids, inputs.images)
    rotary = turning(decoder.rotary_emb(states, inputs.positions))
    mask = None if inputs.real is None else causal_mask(inputs.real, states.dtype)
    padding = None if inputs.real is None else ~inputs.real.unsqueeze(-1)
    for index, (layer, kept) in enumerate(zip(decoder.layers, keys.prompt, strict=True)):

        def attend(queries, new_keys, new_values, layer=layer, kept=kept):
            keep(kept, (new_keys, new_values))
            mixed = causal_attention(queries, new_keys, new_values, mask, layer.self_attn.scaling)
            return mixed if padding is None else mixed.masked_fill(padding, 0)  # as in the stock layer's sdpa

        states = run_in_parts(layer, states, rotary, attend)
        if index < len(deepstack):
            states = states + deepstack[index]
    return model.vlm.lm_head(rms_norm(decoder.norm, states[:, -1:])[:, 0]).float()


def causal_mask(real: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, 1, length, length) that is added to scores: 0 where a token looks at what is before it and no padding."""
    length = real.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    seen = without_empty_rows(before & real[:, None, :])
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, float("-inf"))[:, None]


def causal_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """(batch, length, heads * head_dim) of queries (batch, heads, length, head_dim) and of keys of fewer heads.

    Beside a mask, the kernels of a card know no shared key heads: one layer's are repeated, which is less than a mask
    of all heads that share them would be.
    """
    options = {"is_causal": True, "enable_gqa": True}
    if mask is not None:
        options, groups = {"attn_mask": mask}, queries.shape[1] // keys.shape[1]
        keys, values = (each.repeat_interleave(groups, dim=1) for each in (keys, values))
    mixed = F.scaled_dot_product_attention(queries, keys, values, scale=scaling, **options)
    return mixed.transpose(1, 2).flatten(2)
