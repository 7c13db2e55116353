"""Trajectories that Alpamayo-R1's VLM writes as tokens, without the expert.

Published form: NVlabs/alpamayo-recipes, alpamayo1_5_sft, `TrainableReasoningVLA.sample_trajectories_from_data`.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ..input_checks import check_length
from ..prediction_core import exclusive
from ..stack_passes import without_checkpointing
from .prompt_pass import PromptInputs
from .prompt_reading import decoder_modules
from .rollout import TextSampling, keys_for, prefill, sample_text, text_sampling
from .token_drawing import WithoutTrajectoryTokens, WrittenText
from .trajectory_outputs import AlpamayoR1TrajectoryOutput, Trajectories, with_texts
from .trajectory_text import future_tokenizer


class TrajectoryWriting(NamedTuple):
    """Lets a text be reasoning, then one whole future: its opening, `number` values, its end.

    Until the future is opened no value and no end of the text is written, and after `max_reasoning` tokens it is
    opened whatever the model would write.

    Attributes:
        start, end: the tokens around a future.
        values: the first of the tokens of values, and that behind the last.
        number: values of a future.
        ends: tokens that would end a reasoning, without `start`.
    """

    start: int
    end: int
    values: tuple[int, int]
    number: int
    max_reasoning: int
    reasoning: WithoutTrajectoryTokens
    ends: tuple[int, ...]

    def __call__(self, written: WrittenText, scores: torch.Tensor) -> torch.Tensor:
        ids = torch.arange(scores.shape[1], device=scores.device)
        is_written = torch.arange(written.tokens.shape[1], device=scores.device) < written.count
        opened = ((written.tokens == self.start) & is_written).cumsum(dim=1) > 0
        behind = (opened & is_written).sum(dim=1, keepdim=True) - 1  # -1: not opened yet
        future = torch.where(behind < self.number, (ids >= self.values[0]) & (ids < self.values[1]), ids == self.end)
        reasoning = self.reasoning(written, scores)
        for end in self.ends:
            reasoning = reasoning.masked_fill(ids == end, float("-inf"))
        is_over = written.count >= self.max_reasoning
        opening = torch.zeros_like(scores).masked_fill(ids != self.start, float("-inf"))
        reasoning = torch.where(is_over, opening, reasoning)
        return torch.where(behind < 0, reasoning, scores.masked_fill(~future, float("-inf")))


def writing(
    config: AlpamayoR1Config,
    tokenizer: PreTrainedTokenizerBase | None,
    prompt_length: int,
    max_new_tokens: int | None,
    drawing: tuple,
) -> TextSampling:
    """The sampling of a reasoning of so many tokens, and of a future behind it.

    drawing: how tokens are drawn, the further arguments of `text_sampling`.

    Raises:
        ConfigError: see `future_tokenizer`.
        InputError: there is no room for all of it behind a prompt of this length; or see `text_sampling`.
    """
    sampling = text_sampling(config, tokenizer, max_new_tokens, *drawing)
    count, first, markers = config.tokens_per_future_traj, config.traj_token_start_idx, config.traj_token_ids
    start, end = markers["future_start"], markers["future_end"]
    values = first, first + future_tokenizer(config).vocab_size
    parts = {"prompt": prompt_length, "text to be written": sampling.max_new_tokens, "trajectory": count + 2}
    check_length(parts, config.vlm_config.text_config.max_position_embeddings)
    ends = tuple(sorted({*sampling.end_ids, end} - {start}))
    rule = TrajectoryWriting(start, end, values, count, sampling.max_new_tokens, sampling.drawing.rule, ends)
    drawing = sampling.drawing._replace(rule=rule, end_ids=(end,))
    return replace(sampling, max_new_tokens=sampling.max_new_tokens + count + 2, drawing=drawing)


def written_trajectories(
    model: nn.Module,
    scene: dict[str, Any],
    history: tuple[torch.Tensor, torch.Tensor],
    samples: int,
    sampling: TextSampling,
) -> Trajectories:
    """The futures that an `AlpamayoR1` writes, samples of each prompt together; their actions are normalised as those
    of the tokenizer.

    scene: of `read_scene`; history: (batch, steps, 3) and (batch, steps, 3, 3); sampling: of `writing`.
    """
    config, tokenizer = model.config, future_tokenizer(model.config)
    fused = model.with_history(scene["input_ids"], *history)
    with exclusive(model), without_checkpointing(decoder_modules(model.vlm)):
        keys = keys_for(model, *fused.shape, samples, (sampling.max_new_tokens, 0))
        prompt = prefill(model, PromptInputs(**{**scene, "input_ids": fused}), samples, keys)
        rollout = sample_text(model, prompt, sampling)
    written = rollout.tokens
    first = (written == config.traj_token_ids["future_start"]).int().argmax(dim=1, keepdim=True) + 1
    places = first + torch.arange(config.tokens_per_future_traj, device=written.device)
    values = written.gather(1, places) - config.traj_token_start_idx
    poses = tokenizer.decode(*(each.repeat_interleave(samples, dim=0) for each in history), values)[:2]
    actions = tokenizer.bins.decode(values.unflatten(-1, tokenizer.action_space.get_action_space_dims()))
    return Trajectories(actions, *poses, rollout.sequences, rollout.lengths, rollout.finite, rollout.longest)


def with_written_texts(
    drawn: Trajectories,
    shape: tuple[int, int, int],
    prompt_length: int,
    sampling: TextSampling,
    tokenizer: PreTrainedTokenizerBase | None,
) -> AlpamayoR1TrajectoryOutput:
    """See `with_texts`; a text that was opened for the model is as long as it may be."""
    output = with_texts(drawn, shape, prompt_length, sampling, tokenizer)
    output.has_start_token = (drawn.lengths < sampling.max_new_tokens).view(shape)
    return output
