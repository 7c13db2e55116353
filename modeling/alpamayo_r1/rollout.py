"""Reasoning of Alpamayo-R1: one prefill of images and prompt, then many samples of text decoded together.

The loop is our own because the next stage needs the keys and values of exactly the accepted text. As published, a row
ends with `<|traj_future_start|>`, and one more column follows, so that this token's keys and values are in the cache.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import DynamicCache, LogitsProcessorList, Qwen3VLForConditionalGeneration, StoppingCriteriaList
from transformers.generation import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel, Qwen3VLTextModel

from ...configuration.vla_errors import InputError
from ..cache_names import cache_argument
from ..finite_predictions import finite_rows
from ..mrope_positions import rope_positions

VLM_CACHE = cache_argument(Qwen3VLModel.forward)
TEXT_CACHE = cache_argument(Qwen3VLTextModel.forward)


class TrajectoryTokenMask(LogitsProcessor):
    """Keeps trajectory tokens out of the reasoning: the expert draws the trajectory."""

    def __init__(self, first: int, count: int):
        self.first, self.count = first, count

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        scores = scores.clone()
        scores[:, self.first : self.first + self.count] = float("-inf")
        return scores


@dataclass
class Prompt:
    """What a prefill leaves.

    Attributes:
        input_ids: (batch, length), padded on the left.
        real: (batch, length) bool, false on padding.
        last_position: (batch,), the largest position of each prompt's last token.
        logits: (batch, vocabulary) float32, for the first new token.
    """

    input_ids: torch.LongTensor
    real: torch.Tensor
    cache: DynamicCache
    last_position: torch.LongTensor
    logits: torch.Tensor

    def repeated(self, count: int) -> "Prompt":
        """Every row `count` times; the cache is expanded in place."""
        self.cache.batch_repeat_interleave(count)
        rows = (self.input_ids, self.real, self.last_position, self.logits)
        input_ids, real, last_position, logits = (tensor.repeat_interleave(count, dim=0) for tensor in rows)
        return Prompt(input_ids, real, self.cache, last_position, logits)


@dataclass
class Rollout:
    """Sampled texts and the cache that holds them.

    Attributes:
        sequences: (rows, length), prompts and new tokens, then padding.
        lengths: (rows,), accepted new tokens of each row, with the one that ended it.
        finite: (rows,) bool, whether every accepted token of a row was drawn from finite logits.
        cache: keys and values of all but the last column.
    """

    prompt: Prompt
    sequences: torch.LongTensor
    lengths: torch.LongTensor
    finite: torch.Tensor

    @property
    def cache(self) -> DynamicCache:
        return self.prompt.cache

    @property
    def generated(self) -> torch.LongTensor:
        return self.sequences[:, self.prompt.input_ids.shape[1] :]


def decoder_modules(vlm: Qwen3VLForConditionalGeneration) -> list[nn.Module]:
    """The language model and its layers: all that may switch the cache off for the sake of checkpointing."""
    return [vlm.model.language_model, *vlm.model.language_model.layers]


def prefill(
    vlm: Qwen3VLForConditionalGeneration,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    pixel_values: torch.Tensor | None,
    image_grid_thw: torch.LongTensor | None,
) -> Prompt:
    """Run images and prompts once.

    Raises:
        InputError: a prompt is padded on the right.
    """
    real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
    if not real[:, -1].all():
        raise InputError("attention_mask ends with padding; prompts must be padded on the left (padding_side='left').")
    positions = rope_positions(vlm, input_ids, real.long(), image_grid_thw)
    cache = DynamicCache()
    output = vlm.model(
        input_ids=input_ids,
        attention_mask=None if real.all() else real.long(),
        position_ids=positions,
        pixel_values=pixel_values,
        image_grid_thw=image_grid_thw,
        use_cache=True,
        **{VLM_CACHE: cache},
    )
    logits = vlm.lm_head(output.last_hidden_state[:, -1]).float()
    return Prompt(input_ids, real, cache, positions[:, :, -1].amax(dim=0), logits)


def check_count(name: str, value: int) -> None:
    """Raises InputError for anything but a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name}={value!r} must be a whole number above 0.")


def warpers(temperature: float, top_k: int | None, top_p: float) -> list[LogitsProcessor]:
    """transformers' own, in its order; greedy decoding is `top_k=1`.

    Raises:
        InputError: a value is out of range.
    """
    if not temperature > 0 or not 0 < top_p <= 1:
        raise InputError(f"temperature={temperature} must be above 0, top_p={top_p} above 0 and up to 1.")
    if top_k is not None:
        check_count("top_k", top_k)
    found: list[LogitsProcessor] = [TemperatureLogitsWarper(float(temperature))] if temperature != 1 else []
    found += [TopKLogitsWarper(top_k)] if top_k is not None else []
    return found + ([TopPLogitsWarper(top_p)] if top_p < 1 else [])


@torch.no_grad()
def sample_text(
    vlm: Qwen3VLForConditionalGeneration,
    prompt: Prompt,
    max_new_tokens: int,
    end_ids: list[int],
    pad_token_id: int,
    processors: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList | None = None,
    generator: torch.Generator | None = None,
) -> Rollout:
    """Sample a text for every row of the prompt; all rows advance together, and one that has ended waits.

    Logits that are not finite are drawn from as if all were equal, for an error in the middle would cost a CUDA device
    all that it holds; `Rollout.finite` tells.

    end_ids: the tokens that end a row.
    """
    sequences, logits = prompt.input_ids, prompt.logits
    ends = torch.tensor(end_ids, device=sequences.device)
    ended = torch.zeros_like(sequences[:, 0], dtype=torch.bool)
    lengths = torch.zeros_like(sequences[:, 0])
    finite = torch.ones_like(ended)
    for step in range(max_new_tokens):
        sound = finite_rows(logits)
        finite = finite & (sound | ended)
        probabilities = processors(sequences, logits.masked_fill(~sound[:, None], 0.0)).softmax(dim=-1)
        token = torch.multinomial(probabilities, 1, generator=generator)[:, 0].masked_fill(ended, pad_token_id)
        sequences = torch.cat([sequences, token[:, None]], dim=1)
        lengths += ~ended
        ended = ended | torch.isin(token, ends)
        if stopping_criteria:
            ended = ended | stopping_criteria(sequences, None)
        if step + 1 == max_new_tokens:
            break
        logits = next_logits(vlm, prompt, token, step)
        if ended.all():
            sequences = torch.cat([sequences, torch.full_like(token[:, None], pad_token_id)], dim=1)
            break
    return Rollout(prompt, sequences, lengths, finite)


def next_logits(
    vlm: Qwen3VLForConditionalGeneration, prompt: Prompt, token: torch.LongTensor, step: int
) -> torch.Tensor:
    """Feed one token (rows,) behind the prompt and `step` new tokens; returns (rows, vocabulary) float32."""
    mask = None
    if not prompt.real.all():
        mask = torch.cat([prompt.real, prompt.real.new_ones(len(token), step + 1)], dim=1).long()
    position = prompt.last_position + 1 + step
    output = vlm.model.language_model(
        inputs_embeds=vlm.get_input_embeddings()(token[:, None]),
        attention_mask=mask,
        position_ids=position[None, :, None].expand(3, -1, -1),
        use_cache=True,
        **{TEXT_CACHE: prompt.cache},
    )
    return vlm.lm_head(output.last_hidden_state[:, -1]).float()
