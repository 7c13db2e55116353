"""One more token of all texts of Alpamayo-R1: cores, which can be compiled and captured (`prediction_core.py`)."""

from typing import NamedTuple

import torch
from torch import nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from ..cache_names import cache_argument
from ..decoder_layer_pass import is_called_as_it_is, rms_norm, without_gradients
from ..masking import mask_for
from ..shared_prefix_attention import KeysValues, prefix_bias, shared_prefix_attention
from .text_keys import TextKeys
from .text_layer import can_run_in_parts, run_in_parts, turning
from .token_drawing import Drawing, WrittenText, draw

TEXT_CACHE = cache_argument(Qwen3VLTextModel.forward)


class NextToken(NamedTuple):
    """What the next token is computed from, beside keys and values.

    Attributes:
        written: of which the last token is read now.
        real: (batch, prompt) bool, false on the padding of prompts.
        first_position: (rows,), that of the first new token.
        exponentials: (rows, vocabulary), what decides the draw; `None` where nothing is drawn.
    """

    written: WrittenText
    real: torch.Tensor
    first_position: torch.LongTensor
    exponentials: torch.Tensor | None = None


class SameText(NamedTuple):
    """Texts that were written before, over other prompts.

    Attributes:
        tokens: (rows, columns).
        real: (batch, prompt) bool, false on the padding of prompts.
        first_position: (rows,), that of the first token.
    """

    tokens: torch.LongTensor
    real: torch.Tensor
    first_position: torch.LongTensor


def write_token(model: nn.Module, inputs: NextToken, options: Drawing, keys: TextKeys) -> WrittenText:
    """Core: read the last token of each row, and draw the next."""
    return draw(read_token(model, inputs, (), keys), inputs.written, inputs.exponentials, options)


def read_token(model: nn.Module, inputs: NextToken, options: tuple, keys: TextKeys) -> torch.Tensor:
    """Core: read the last token of each row, whose keys and values are written then; logits (rows, vocabulary)."""
    vlm, place = model.vlm, inputs.written.count - 1
    embeds = vlm.get_input_embeddings()(inputs.written.tokens.index_select(1, place))
    positions = (inputs.first_position + place)[None, :, None].expand(3, -1, -1)
    seen = (torch.arange(keys.written[0][0].shape[2], device=place.device) <= place)[None]
    run = run_layers if all_in_parts(vlm.model.language_model, embeds) else run_whole
    states = run(vlm.model.language_model, embeds, positions, (inputs.real, seen), place, keys)
    return vlm.lm_head(states[:, -1]).float()


def read_same_text(model: nn.Module, inputs: SameText, options: tuple, keys: TextKeys) -> torch.Tensor:
    """Core: read texts whole, whose keys and values are written; the last states of their last tokens, (rows,
    hidden_size). Its decoder is `all_in_parts`."""
    decoder, columns = model.vlm.model.language_model, inputs.tokens.shape[1]
    places = torch.arange(columns, device=inputs.tokens.device)
    seen = torch.arange(keys.written[0][0].shape[2], device=places.device) <= places[:, None]
    positions = (inputs.first_position[:, None] + places)[None].expand(3, -1, -1)
    embeds = model.vlm.get_input_embeddings()(inputs.tokens)
    return run_layers(decoder, embeds, positions, (inputs.real, seen), places, keys)[:, -1]


def all_in_parts(decoder: Qwen3VLTextModel, states: torch.Tensor) -> bool:
    """Whether the decoder is no more than its layers in their parts, and the norm behind them."""
    return (
        without_gradients(states)
        and is_called_as_it_is(decoder)
        and all(can_run_in_parts(layer) for layer in decoder.layers)
    )


def run_layers(
    decoder: Qwen3VLTextModel,
    states: torch.Tensor,
    positions: torch.LongTensor,
    seen: tuple[torch.Tensor, torch.Tensor],
    place: torch.LongTensor,
    keys: TextKeys,
) -> torch.Tensor:
    """The last hidden states of the same tokens of all rows.

    states: (rows, tokens, hidden_size), embeddings; positions: (3, rows, tokens); seen: (batch, prompt) and (tokens,
    room) bool, what is looked at of prompts and of what is written; place: (tokens,), where keys and values go.
    """
    rotary = turning(decoder.rotary_emb(states, positions))
    bias = prefix_bias(seen[0], seen[1][None, None])
    for layer, prompt, written in zip(decoder.layers, keys.prompt, keys.written, strict=True):

        def attend(queries, new_keys, new_values, layer=layer, prompt=prompt, written=written):
            write(written, (new_keys, new_values), place)
            return shared_prefix_attention(queries, prompt, written, bias, layer.self_attn.scaling)

        states = run_in_parts(layer, states, rotary, attend)
    return rms_norm(decoder.norm, states)


def run_whole(
    decoder: Qwen3VLTextModel,
    states: torch.Tensor,
    positions: torch.LongTensor,
    seen: tuple[torch.Tensor, torch.Tensor],
    place: torch.LongTensor,
    keys: TextKeys,
) -> torch.Tensor:
    """As `run_layers`, of one token, by the stock decoder and its layers with all that is hooked to them; keys are
    repeated."""
    rows, batch, implementation = len(states), len(seen[0]), decoder.config._attn_implementation or ""
    whole = torch.cat([seen[0].repeat_interleave(rows // batch, dim=0), seen[1].expand(rows, -1)], dim=1)
    mask = whole.long() if "flash" in implementation else mask_for(implementation, whole[:, None], states.dtype)
    cache = {TEXT_CACHE: RepeatingCache(keys, place)}
    return decoder(
        inputs_embeds=states, attention_mask=mask, position_ids=positions, use_cache=True, **cache
    ).last_hidden_state


class RepeatingCache:
    """Stands in for a cache of transformers: what is written goes to its place, and each row sees its prompt's keys."""

    def __init__(self, keys: TextKeys, place: torch.LongTensor):
        self.keys, self.place = keys, place

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.keys.prompt[0][0].shape[2]

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Asked by newer releases, and `get_mask_sizes` by all, where a mask has two dimensions."""
        return self.get_seq_length()

    def get_mask_sizes(self, *args) -> tuple[int, int]:
        """How many keys there are, and which is the first of them."""
        return self.get_seq_length() + self.keys.written[0][0].shape[2], 0

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *args, **kwargs) -> KeysValues:
        prompt, written = self.keys.prompt[layer_idx], self.keys.written[layer_idx]
        write(written, (keys, values), self.place)
        samples = len(written[0]) // len(prompt[0])
        return tuple(
            torch.cat([shared.repeat_interleave(samples, dim=0), own], dim=2).to(new.dtype)
            for shared, own, new in zip(prompt, written, (keys, values), strict=True)
        )


def write(kept: KeysValues, new: KeysValues, place: torch.LongTensor) -> None:
    """Put keys and values (rows, key heads, tokens, head_dim) where they are kept."""
    for memory, tokens in zip(kept, new, strict=True):
        memory.index_copy_(2, place.to(memory.device), tokens.to(memory.dtype))
