"""Reasoning of Alpamayo-R1: one prefill of images and prompt, then many samples of text decoded together.

The loop is our own and not transformers' `generate`: the next stage needs the keys and values of exactly the accepted
text. As published, a row ends with `<|traj_future_start|>`, and one more column follows, so that this token's keys and
values are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, StoppingCriteriaList
from transformers.generation import LogitsProcessor, StoppingCriteria

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import InputError
from ..prediction_core import bucketed, run_core
from .driving_inputs import check_count
from .prompt_pass import PromptInputs, prompt_logits
from .text_decoding import NextToken, read_token, write_token
from .text_keys import TextKeys, TextSizes, text_keys
from .token_drawing import (
    Drawing,
    Warping,
    WithoutTrajectoryTokens,
    WrittenText,
    chosen,
    longest_of_ended,
    nothing_written,
    possible,
    with_token,
)

TOKENS_BETWEEN_CHECKS = 8  # a look at a device waits for it; a token too many costs one step of all rows


@dataclass
class TextSampling:
    """How texts are drawn.

    Attributes:
        max_new_tokens: limit of a text.
        processors, stopping_criteria: a caller's own.
        padding: columns before all prompts that the caller did not pass, and does not see.
    """

    max_new_tokens: int
    drawing: Drawing
    processors: Sequence[LogitsProcessor] = ()
    stopping_criteria: StoppingCriteriaList = field(default_factory=StoppingCriteriaList)
    generator: torch.Generator | None = None
    padding: int = 0

    @property
    def end_ids(self) -> tuple[int, ...]:
        return self.drawing.end_ids

    @property
    def is_own(self) -> bool:
        """Whether none of a caller's functions has to see what is written."""
        return len(self.processors) + len(self.stopping_criteria) == 0


@dataclass
class Prompt:
    """What a prefill leaves.

    Attributes:
        input_ids: (batch, length), padded on the left.
        real: (batch, length) bool, false on padding.
        last_position: (batch,), the largest position of each prompt's last token.
        logits: (batch, vocabulary) float32, for the first new token.
        samples: texts of each prompt that there is room for in `keys`, whose prompt part is written.
    """

    input_ids: torch.LongTensor
    real: torch.Tensor
    last_position: torch.LongTensor
    logits: torch.Tensor
    samples: int
    keys: TextKeys

    def repeated(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor (batch, ...) for each row."""
        return tensor.repeat_interleave(self.samples, dim=0)


@dataclass
class Rollout:
    """Sampled texts.

    Attributes:
        prompt: with the keys and values of its own and of all texts.
        sequences: (rows, length), prompts as the caller passed them and new tokens, then padding.
        tokens: (rows, columns), the text of each row, then padding.
        lengths: (rows,), accepted new tokens of each row, with the one that ended it.
        finite: (rows,) bool, whether every accepted token of a row was drawn from finite logits.
        longest: the largest of the lengths, `None` in a compiled call, which does not ask.
    """

    prompt: Prompt
    sequences: torch.LongTensor
    tokens: torch.LongTensor
    lengths: torch.LongTensor
    finite: torch.Tensor
    longest: int | None

    @property
    def read(self) -> int:
        """How many columns have keys and values: those of all texts, but for the token at the limit."""
        return self.tokens.shape[1] - 1


def keys_for(model: nn.Module, batch: int, prompt: int, samples: int, room: tuple[int, int]) -> TextKeys:
    """Memory for so many prompts of this length, and for samples of each.

    model: an `AlpamayoR1`; room: places for the new tokens of each, and for waypoints.
    """
    return text_keys(model, model.vlm, TextSizes(batch, samples, prompt, bucketed(model, room[0]), room[1]))


def prefill(model: nn.Module, inputs: PromptInputs, samples: int, keys: TextKeys) -> Prompt:
    """Run prompts once; samples: texts of each prompt that there is room for in `keys`."""
    logits = prompt_logits(model, inputs, keys)
    real = torch.ones_like(inputs.input_ids) if inputs.real is None else inputs.real
    last = inputs.positions[:, :, -1].amax(dim=0)
    return Prompt(inputs.input_ids, real.bool(), last, logits, samples, keys)


def warpers(temperature: float, top_k: int | None, top_p: float) -> Warping:
    """Raises InputError where a value is out of range."""
    if not temperature > 0 or not 0 < top_p <= 1:
        raise InputError(f"temperature={temperature} must be above 0, top_p={top_p} above 0 and up to 1.")
    if top_k is not None:
        check_count("top_k", top_k)
    return Warping(float(temperature), top_k, float(top_p))


def text_sampling(
    config: AlpamayoR1Config,
    tokenizer: PreTrainedTokenizerBase | None,
    max_new_tokens: int | None,
    warping: Warping,
    given: Sequence[LogitsProcessor] | None = None,
    stopping_criteria: Sequence[StoppingCriteria] | None = None,
    generator: torch.Generator | None = None,
) -> TextSampling:
    """The mask of trajectory tokens, then a caller's processors (`given`), then `warping`.

    Behind an ended text stands the tokenizer's padding token, without one the config's, or any that no one sees.

    Raises:
        InputError: `max_new_tokens` is no whole number above 0.
    """
    limit = config.tokens_per_future_traj if max_new_tokens is None else max_new_tokens
    check_count("max_new_tokens", limit)
    rule = WithoutTrajectoryTokens(config.traj_token_start_idx, config.traj_vocab_size)
    ends = [] if config.eos_token_id is None else config.eos_token_id
    ends = ends if isinstance(ends, (list, tuple)) else [ends]
    pad = config.pad_token_id if tokenizer is None else tokenizer.pad_token_id
    pad = pad if pad is not None else (*ends, 0)[0]
    drawing = Drawing(rule, warping, (config.traj_token_ids["future_start"], *ends), pad)
    criteria = StoppingCriteriaList(stopping_criteria or [])
    return TextSampling(limit, drawing, tuple(given or ()), criteria, generator)


@torch.no_grad()
def sample_text(model: nn.Module, prompt: Prompt, sampling: TextSampling) -> Rollout:
    """Sample a text for every row; all rows advance together, and one that has ended waits.

    Whether all have ended is asked every few tokens, after every token where a caller's functions are asked, too, and
    never in a compiled call: its texts are written to the limit, with padding behind those that have ended.
    """
    limit, drawing, logits = sampling.max_new_tokens, sampling.drawing, prompt.repeated(prompt.logits)
    written = nothing_written(len(logits), bucketed(model, limit), drawing.pad_token_id, logits.device)
    written = drawn(logits, written, 0, prompt, sampling)
    exponentials = torch.empty_like(logits) if sampling.is_own else None
    step = NextToken(written, prompt.real, prompt.repeated(prompt.last_position) + 1, exponentials)
    asks, between = not torch.compiler.is_compiling(), TOKENS_BETWEEN_CHECKS if sampling.is_own else 1
    longest, read, last = None, 0, limit - 1  # the last token of all is drawn and not read
    while read < last:
        read += 1
        step = step._replace(written=next_token(model, step, read, prompt, sampling, ended=longest is not None))
        if asks and longest is None and read % between == 0:
            longest = int(longest_of_ended(step.written)) or None
            last = last if longest is None else max(read, min(last, longest))
    if asks and longest is None:
        longest = int(step.written.lengths.amax())
    columns = limit if longest is None else min(limit, longest + 1)
    tokens, before = step.written.tokens[:, :columns], prompt.repeated(prompt.input_ids[:, sampling.padding :])
    sequences = torch.cat([before, tokens], dim=1)
    return Rollout(prompt, sequences, tokens, step.written.lengths, step.written.finite, longest)


def next_token(
    model: nn.Module, step: NextToken, count: int, prompt: Prompt, sampling: TextSampling, ended: bool
) -> WrittenText:
    """Read the last of `count` tokens and draw the next.

    ended: all texts have, and all that is wanted are their last token's keys and values.
    """
    if sampling.is_own:
        fill_exponentials(step.exponentials, sampling.generator)
        return run_core(model, write_token, step, sampling.drawing, prompt.keys)
    logits = run_core(model, read_token, step, (), prompt.keys)
    return step.written if ended else drawn(logits, step.written, count, prompt, sampling)


def fill_exponentials(numbers: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Numbers of an exponential distribution, in place, drawn where the generator is: torch draws nowhere else."""
    if generator is None:
        return numbers.exponential_()
    return numbers.copy_(torch.empty_like(numbers, device=generator.device).exponential_(generator=generator))


def drawn(
    logits: torch.Tensor, written: WrittenText, count: int, prompt: Prompt, sampling: TextSampling
) -> WrittenText:
    """`count` tokens and one more, drawn from logits (rows, vocabulary) as a caller's functions want it."""
    drawing, before = sampling.drawing, prompt.repeated(prompt.input_ids[:, sampling.padding :])
    scores, sound = possible(logits, written, drawing)
    for processor in sampling.processors:
        scores = processor(torch.cat([before, written.tokens[:, :count]], dim=1), scores)
    scores = drawing.warping(scores)
    token = chosen(scores, fill_exponentials(torch.empty_like(scores), sampling.generator))
    possible_rows = scores.amax(dim=-1).isfinite()  # not where a caller's processor left no token, or NaN
    written = with_token(written, token, sound & possible_rows, drawing)
    if not sampling.stopping_criteria:
        return written
    sequences = torch.cat([before, written.tokens[:, : count + 1]], dim=1)
    return written._replace(ended=written.ended | sampling.stopping_criteria(sequences, None))
