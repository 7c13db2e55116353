"""Keys and values of Alpamayo-R1's texts: a prompt's once, and behind them those of each of its samples.

They lie where they are from the prefill to the last step of the expert, which reads them too. Memory of 16 samples is
that of one prompt and of what 16 texts add, not of 16 prompts.
"""

from typing import NamedTuple

import torch
from torch import nn
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from ..input_checks import execution_device
from ..modules import floating_dtype
from ..prediction_core import kept_buffers
from ..shared_prefix_attention import KeysValues


class TextSizes(NamedTuple):
    """How much is kept.

    Attributes:
        batch, samples: prompts, and texts of each; rows are batch * samples, texts of a prompt one behind the other.
        prompt: tokens of the longest prompt, with the padding before it.
        text: places of new tokens in each row.
        waypoints: places behind them, for the tokens of the expert.
    """

    batch: int
    samples: int
    prompt: int
    text: int
    waypoints: int

    @property
    def rows(self) -> int:
        return self.batch * self.samples


class TextKeys(NamedTuple):
    """Keys and values in memory that graphs may hold addresses of, a pair for each layer of the VLM.

    What of them is real is told by tensors that go with them: `real` of a prompt, a row's number of tokens.

    Attributes:
        prompt: (batch, key heads, prompt, head_dim) each, padded on the left.
        written: (batch * samples, key heads, text + waypoints, head_dim) each: new tokens from place 0 on, the expert's
            from place `text` on.
    """

    prompt: tuple[KeysValues, ...]
    written: tuple[KeysValues, ...]


def text_keys(model: nn.Module, vlm: Qwen3VLForConditionalGeneration, sizes: TextSizes) -> TextKeys:
    """Memory for texts of these sizes, each layer's where it computes.

    With fast prediction it is that of an earlier call of the same sizes, see `prediction_core.kept_buffers`. All of a
    prompt's is to be written; the rest is zero, for what nobody may look at is multiplied by weights of zero, and must
    not be the NaN that an earlier call left.
    """

    def make() -> TextKeys:
        layers = vlm.model.language_model.layers
        places = [(execution_device(layer), floating_dtype(layer.self_attn)) for layer in layers]
        size = key_size(vlm.config)
        prompt, written = (sizes.batch, sizes.prompt), (sizes.rows, sizes.text + sizes.waypoints)
        return TextKeys(*(tuple(empty_pair(*rows, size, *place) for place in places) for rows in (prompt, written)))

    found = kept_buffers(model, (text_keys, sizes), make)
    for keys, values in found.written:
        keys.zero_(), values.zero_()
    return found


def empty_pair(
    rows: int, length: int, size: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of one layer."""
    heads, head_dim = size
    return tuple(torch.empty(rows, heads, length, head_dim, device=device, dtype=dtype) for _ in range(2))


def key_size(config: Qwen3VLConfig) -> tuple[int, int]:
    """Key heads, and the size of each."""
    text = config.text_config
    return text.num_key_value_heads, text.head_dim


def kept_bytes(config: Qwen3VLConfig, sizes: TextSizes, itemsize: int = 2) -> int:
    """Memory of `text_keys`; itemsize: bytes of a number, 2 in bfloat16."""
    tokens = sizes.batch * sizes.prompt + sizes.rows * (sizes.text + sizes.waypoints)
    return tokens * bytes_of_token(config, itemsize)


def repeated_bytes(config: Qwen3VLConfig, sizes: TextSizes, itemsize: int = 2) -> int:
    """Memory of the same where every sample has a copy of its prompt, as in transformers' `generate`."""
    return sizes.rows * (sizes.prompt + sizes.text + sizes.waypoints) * bytes_of_token(config, itemsize)


def bytes_of_token(config: Qwen3VLConfig, itemsize: int) -> int:
    heads, head_dim = key_size(config)
    return 2 * config.text_config.num_hidden_layers * heads * head_dim * itemsize
