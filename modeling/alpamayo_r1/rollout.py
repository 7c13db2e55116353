"""Reasoning of Alpamayo-R1: one prefill of images and prompt, then many samples of text decoded together.

The loop is our own and not transformers' `generate`: the next stage needs the keys and values of exactly the accepted
text. As published, a row ends with `<|traj_future_start|>`, and one more column follows, so that this token's keys and
values are in the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase, Qwen3VLForConditionalGeneration, StoppingCriteriaList
from transformers.generation import (
    LogitsProcessor,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import InputError
from ..finite_predictions import finite_rows
from .driving_inputs import check_count
from .prompt_reading import TEXT_CACHE, Images, read_tokens


class TrajectoryTokenMask(LogitsProcessor):
    """Keeps trajectory tokens out of the reasoning: the expert draws the trajectory."""

    def __init__(self, first: int, count: int):
        self.first, self.count = first, count

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        scores = scores.clone()
        scores[:, self.first : self.first + self.count] = float("-inf")
        return scores


@dataclass
class TextSampling:
    """How texts are drawn.

    Attributes:
        max_new_tokens: limit of a text.
        end_ids: the tokens that end a text, that which opens the trajectory first.
        pad_token_id: what stands behind an ended text.
        processors: from logits to the scores that tokens are drawn from, one after the other.
    """

    max_new_tokens: int
    end_ids: Sequence[int]
    pad_token_id: int
    processors: Sequence[LogitsProcessor]
    stopping_criteria: StoppingCriteriaList
    generator: torch.Generator | None = None


@dataclass
class Prompt:
    """What a prefill leaves.

    Attributes:
        input_ids: (batch, length), padded on the left.
        real: (batch, length) bool, false on padding, or `None` where there is none.
        last_position: (batch,), the largest position of each prompt's last token.
        logits: (batch, vocabulary) float32, for the first new token.
    """

    input_ids: torch.LongTensor
    real: torch.Tensor | None
    cache: DynamicCache
    last_position: torch.LongTensor
    logits: torch.Tensor

    def repeated(self, count: int) -> "Prompt":
        """Every row `count` times; the cache is expanded in place."""
        self.cache.batch_repeat_interleave(count)
        real = None if self.real is None else self.real.repeat_interleave(count, dim=0)
        rows = (self.input_ids, self.last_position, self.logits)
        input_ids, last_position, logits = (tensor.repeat_interleave(count, dim=0) for tensor in rows)
        return Prompt(input_ids, real, self.cache, last_position, logits)

    def real_before(self, length: int) -> torch.Tensor:
        """(batch, length) bool, false on the prompt's padding, true on what was written behind it."""
        return torch.cat([self.real, self.real.new_ones(len(self.real), length - self.real.shape[1])], dim=1)


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


def prefill(
    vlm: Qwen3VLForConditionalGeneration,
    input_ids: torch.LongTensor,
    positions: torch.LongTensor,
    real: torch.Tensor | None,
    images: Images | None,
) -> Prompt:
    """Run prompts once; the arguments as in `read_tokens`."""
    cache = DynamicCache()
    states = read_tokens(vlm, input_ids, positions, real, images, cache)
    return Prompt(input_ids, real, cache, positions[:, :, -1].amax(dim=0), vlm.lm_head(states[:, -1]).float())


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


def text_sampling(
    config: AlpamayoR1Config,
    tokenizer: PreTrainedTokenizerBase | None,
    max_new_tokens: int | None,
    own: Sequence[LogitsProcessor],
    given: Sequence[LogitsProcessor] | None = None,
    stopping_criteria: Sequence[StoppingCriteria] | None = None,
    generator: torch.Generator | None = None,
) -> TextSampling:
    """The mask of trajectory tokens, then a caller's processors (`given`), then our `warpers` (`own`).

    Behind an ended text stands the tokenizer's padding token, without one the config's, or any that no one sees.

    Raises:
        InputError: `max_new_tokens` is no whole number above 0.
    """
    limit = config.tokens_per_future_traj if max_new_tokens is None else max_new_tokens
    check_count("max_new_tokens", limit)
    mask = TrajectoryTokenMask(config.traj_token_start_idx, config.traj_vocab_size)
    ends = [] if config.eos_token_id is None else config.eos_token_id
    ends = ends if isinstance(ends, (list, tuple)) else [ends]
    pad = config.pad_token_id if tokenizer is None else tokenizer.pad_token_id
    pad = pad if pad is not None else (*ends, 0)[0]
    criteria, ends = StoppingCriteriaList(stopping_criteria or []), (config.traj_token_ids["future_start"], *ends)
    return TextSampling(limit, ends, pad, (mask, *(given or ()), *own), criteria, generator)


@torch.no_grad()
def sample_text(vlm: Qwen3VLForConditionalGeneration, prompt: Prompt, sampling: TextSampling) -> Rollout:
    """Sample a text for every row of the prompt; all rows advance together, and one that has ended waits.

    Logits that are not finite are drawn from as if all were equal, for an error in the middle would cost a CUDA device
    all that it holds; `Rollout.finite` tells. In a graph nobody asks whether all texts have ended: they are written to
    the limit, padding behind those that have.
    """
    sequences, logits = prompt.input_ids, prompt.logits
    ended = torch.zeros_like(sequences[:, 0], dtype=torch.bool)
    lengths = torch.zeros_like(sequences[:, 0])
    finite = torch.ones_like(ended)
    for step in range(sampling.max_new_tokens):
        sound = finite_rows(logits)
        finite = finite & (sound | ended)
        token = drawn_token(sequences, logits.masked_fill(~sound[:, None], 0.0), sampling)
        token = token.masked_fill(ended, sampling.pad_token_id)
        sequences = torch.cat([sequences, token[:, None]], dim=1)
        lengths = lengths + ~ended
        for end in sampling.end_ids:
            ended = ended | (token == end)
        if sampling.stopping_criteria:
            ended = ended | sampling.stopping_criteria(sequences, None)
        if step + 1 == sampling.max_new_tokens:
            break
        logits = next_logits(vlm, prompt, token, step)
        if not torch.compiler.is_compiling() and ended.all():
            sequences = torch.cat([sequences, torch.full_like(token[:, None], sampling.pad_token_id)], dim=1)
            break
    return Rollout(prompt, sequences, lengths, finite)


def drawn_token(sequences: torch.LongTensor, logits: torch.Tensor, sampling: TextSampling) -> torch.LongTensor:
    """(rows,) from logits (rows, vocabulary)."""
    scores = logits
    for processor in sampling.processors:
        scores = processor(sequences, scores)
    return torch.multinomial(scores.softmax(dim=-1), 1, generator=sampling.generator)[:, 0]


def next_logits(
    vlm: Qwen3VLForConditionalGeneration, prompt: Prompt, token: torch.LongTensor, step: int
) -> torch.Tensor:
    """Feed one token (rows,) behind the prompt and `step` new tokens; returns (rows, vocabulary) float32."""
    length = prompt.input_ids.shape[1] + step + 1
    position = prompt.last_position + 1 + step
    output = vlm.model.language_model(
        inputs_embeds=vlm.get_input_embeddings()(token[:, None]),
        attention_mask=None if prompt.real is None else prompt.real_before(length).long(),
        position_ids=position[None, :, None].expand(3, -1, -1),
        use_cache=True,
        **{TEXT_CACHE: prompt.cache},
    )
    return vlm.lm_head(output.last_hidden_state[:, -1]).float()
