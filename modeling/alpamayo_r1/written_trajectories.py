"""Trajectories that Alpamayo-R1's VLM writes as tokens, without the expert.

Published form: NVlabs/alpamayo-recipes, alpamayo1_5_sft, `TrainableReasoningVLA.sample_trajectories_from_data`.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase
from transformers.generation import LogitsProcessor

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ..input_checks import check_length
from ..stack_passes import without_checkpointing
from .prompt_reading import decoder_modules
from .rollout import TextSampling, TrajectoryTokenMask, prefill, sample_text, text_sampling
from .trajectory_outputs import AlpamayoR1TrajectoryOutput, Trajectories, with_texts
from .trajectory_text import future_tokenizer


class TrajectoryWriter(LogitsProcessor):
    """Lets a text be reasoning, then one whole future: its opening, `count` values, its end.

    Until the future is opened no value and no end of the text is written, and after `max_reasoning` tokens it is
    opened whatever the model would write.

    Args:
        prompt_length: columns before the text.
        count: values of a future; they are the tokens from `config.traj_token_start_idx` on, `num_values` of them.
        end_ids: tokens that would end a reasoning; the one that opens the future may be among them.
    """

    def __init__(
        self,
        config: AlpamayoR1Config,
        prompt_length: int,
        count: int,
        num_values: int,
        max_reasoning: int,
        end_ids: tuple[int, ...],
    ):
        self.start, self.end = config.traj_token_ids["future_start"], config.traj_token_ids["future_end"]
        self.values = config.traj_token_start_idx, config.traj_token_start_idx + num_values
        self.mask = TrajectoryTokenMask(config.traj_token_start_idx, config.traj_vocab_size)
        self.prompt_length, self.count, self.max_reasoning = prompt_length, count, max_reasoning
        self.ends = [end for end in {*end_ids, self.end} if end != self.start]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        written = input_ids[:, self.prompt_length :]
        behind = ((written == self.start).cumsum(dim=1) > 0).sum(dim=1, keepdim=True) - 1  # -1: not opened yet
        ids = torch.arange(scores.shape[1], device=scores.device)[None]
        is_value = (ids >= self.values[0]) & (ids < self.values[1])
        future = torch.where(behind < self.count, is_value, ids == self.end)
        return torch.where(behind < 0, self.reasoning(scores, ids, written.shape[1]), scores.where(future, -torch.inf))

    def reasoning(self, scores: torch.FloatTensor, ids: torch.LongTensor, length: int) -> torch.FloatTensor:
        """The scores of a text of this length that has not opened its future."""
        if length >= self.max_reasoning:
            return torch.where(ids == self.start, 0.0, -torch.inf).expand_as(scores)
        scores = self.mask(None, scores)
        for end in self.ends:
            scores[:, end] = -torch.inf
        return scores


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
    count, ends = config.tokens_per_future_traj, tuple(sampling.end_ids)
    num_values = future_tokenizer(config).vocab_size
    parts = {"prompt": prompt_length, "text to be written": sampling.max_new_tokens, "trajectory": count + 2}
    check_length(parts, config.vlm_config.text_config.max_position_embeddings)
    writer = TrajectoryWriter(config, prompt_length, count, num_values, sampling.max_new_tokens, ends)
    return replace(
        sampling,
        max_new_tokens=sampling.max_new_tokens + count + 2,
        end_ids=(config.traj_token_ids["future_end"],),
        processors=(writer, *sampling.processors[1:]),  # in place of the mask of trajectory tokens, which is first
    )


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
    config, tokenizer, length = model.config, future_tokenizer(model.config), scene["input_ids"].shape[1]
    fused = model.with_history(scene["input_ids"], *history)
    with without_checkpointing(decoder_modules(model.vlm)):
        prompt = prefill(model.vlm, **{**scene, "input_ids": fused}).repeated(samples)
        rollout = sample_text(model.vlm, prompt, sampling)
    written = rollout.sequences[:, length:]
    first = (written == config.traj_token_ids["future_start"]).int().argmax(dim=1, keepdim=True) + 1
    places = first + torch.arange(config.tokens_per_future_traj, device=written.device)
    values = written.gather(1, places) - config.traj_token_start_idx
    poses = tokenizer.decode(*(each.repeat_interleave(samples, dim=0) for each in history), values)[:2]
    actions = tokenizer.bins.decode(values.unflatten(-1, tokenizer.action_space.get_action_space_dims()))
    return Trajectories(actions, *poses, rollout.sequences, rollout.lengths, rollout.finite)


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
