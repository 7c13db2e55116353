"""Trajectories as text: what Alpamayo-R1's VLM learns of futures before there is an expert.

A future is `<|traj_future_start|>`, two value tokens `<i...>` for each waypoint, and `<|traj_future_end|>`. Published
form: NVlabs/alpamayo-recipes, alpamayo1_5_sft, `TrainableReasoningVLA`.
"""

import torch
import torch.nn.functional as F
from transformers import Qwen3VLForConditionalGeneration

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import ConfigError
from ..loss_items import IGNORED, Items, divisor, items_of_text, learnt_steps, text_items, text_loss
from .trajectory_tokenizers import DiscreteTrajectoryTokenizer
from .unicycle_action_space import UnicycleAccelCurvatureActionSpace


def future_tokenizer(config: AlpamayoR1Config) -> DiscreteTrajectoryTokenizer:
    """Between futures and their values; ids are values plus `traj_token_start_idx`.

    Its action space is its own where `traj_tokenizer_cfg` says one, as in published configs, else the model's.

    Raises:
        ConfigError: a future has another number of tokens than `tokens_per_future_traj`, or more values than there are
            trajectory tokens.
    """
    fields = dict(config.traj_tokenizer_cfg)
    space = UnicycleAccelCurvatureActionSpace(**(fields.pop("action_space_cfg", None) or config.action_space_cfg))
    tokenizer = DiscreteTrajectoryTokenizer(space, **fields)
    waypoints, size = space.get_action_space_dims()
    if waypoints * size != config.tokens_per_future_traj:
        raise ConfigError(
            f"tokens_per_future_traj={config.tokens_per_future_traj}, but a future of {waypoints} waypoints has "
            f"{waypoints * size} tokens."
        )
    if tokenizer.vocab_size > config.traj_vocab_size:
        raise ConfigError(
            f"traj_tokenizer_cfg has {tokenizer.vocab_size} values, but there are traj_vocab_size="
            f"{config.traj_vocab_size} tokens for them."
        )
    return tokenizer


def is_of_trajectory(ids: torch.LongTensor, config: AlpamayoR1Config) -> torch.Tensor:
    """Where ids of any shape are values of a trajectory or the markers around a future, bool."""
    first, markers = config.traj_token_start_idx, config.traj_token_ids
    is_value = (ids >= first) & (ids < first + config.traj_vocab_size)
    return is_value | (ids == markers["future_start"]) | (ids == markers["future_end"])


def text_losses(
    vlm: Qwen3VLForConditionalGeneration,
    logits: torch.Tensor | None,
    labels: torch.LongTensor | None,
    trajectory_labels: torch.LongTensor | None,
    items: Items | None,
    sample_weight: torch.Tensor | None = None,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The means of the next token's cross entropy over `labels` and over `trajectory_labels`, for those that there are.

    They are two means and not one, as published: else the end of a text would be lost among 130 tokens of a future.

    logits: (batch, length, vocabulary); labels, trajectory_labels: (batch, length), -100 where there is nothing to
    learn, and never both at one place; items: totals of `loss_items` over the batches that make one step;
    sample_weight: (batch,), what the tokens of each sample weigh.
    """
    if trajectory_labels is None:
        if labels is None:
            return None, None
        return text_loss(vlm.loss_function, logits, labels, items, sample_weight), None
    merged = trajectory_labels if labels is None else torch.where(labels == IGNORED, trajectory_labels, labels)
    errors = next_token_errors(logits, merged)
    if sample_weight is not None:
        errors = errors * sample_weight.to(errors)[:, None]
    total = text_items(trajectory_labels, sample_weight) if items is None else items["trajectory"].to(errors.device)
    trajectory_loss = learnt_sum(errors, trajectory_labels) / divisor(total)
    if labels is None:
        return None, trajectory_loss
    return learnt_sum(errors, labels) / items_of_text(labels, items, sample_weight), trajectory_loss


def next_token_errors(logits: torch.Tensor, labels: torch.LongTensor) -> torch.Tensor:
    """(batch, length) float32: how unlikely the label of the next place is, 0 where there is none."""
    following = F.pad(labels, (0, 1), value=IGNORED)[:, 1:].to(logits.device)
    errors = F.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), ignore_index=IGNORED, reduction="none")
    return errors.view(following.shape)


def learnt_sum(errors: torch.Tensor, labels: torch.LongTensor) -> torch.Tensor:
    """The sum of `next_token_errors` over the places whose next one these labels teach."""
    return torch.where(labels[:, 1:].to(errors.device) != IGNORED, errors[:, :-1], 0.0).sum()


def counted_items(
    labels: torch.LongTensor | None,
    trajectory_labels: torch.LongTensor | None,
    ego_future_xyz: torch.Tensor | None,
    sample_weight: torch.Tensor | None,
) -> dict[str, torch.Tensor]:
    """What the losses of a batch are divided by, see `loss_items.py`; ego_future_xyz: (batch, ..., waypoints, 3)."""
    learnt = {"text": labels, "trajectory": trajectory_labels}
    items = {name: text_items(each, sample_weight) for name, each in learnt.items() if each is not None}
    if ego_future_xyz is not None:
        futures = ego_future_xyz.new_ones(len(ego_future_xyz), ego_future_xyz.shape[-2], 1)
        items["action"] = learnt_steps(futures, None, sample_weight).sum()
    return items
