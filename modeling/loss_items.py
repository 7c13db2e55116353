"""Losses that are sums over items, divided by how many there are: in one batch, or in all that make one step.

A mean of means is not the mean where batches differ: in padding, in weights, in size. Whoever splits what makes one
step into several batches (accumulation, processes) asks the model for the `loss_items` of each, adds them up, and
passes the totals to every forward as `num_items_in_batch`; the losses of the parts then add up to that of the whole.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..configuration.vla_errors import InputError

IGNORED = -100  # a label that no loss counts
NOTHING = 1e-8  # in place of no items at all, where the loss is 0

Items = Mapping[str, torch.Tensor]


class ActionTargets(NamedTuple):
    """What is learnt of the actions of a batch.

    Attributes:
        actions: (batch, steps, action_dim), normalised.
        time, noise: of flow matching, (batch,) in 0..1, 1 being noise, and like actions; drawn where they are `None`.
        action_is_pad: (batch, steps), true on steps behind the end of an episode, which are not learnt.
        items: totals of `loss_items` over the batches that make one step, where this is one of them.
    """

    actions: torch.Tensor
    time: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    action_is_pad: torch.Tensor | None = None
    items: Items | None = None

    def mean(self, errors: torch.Tensor) -> torch.Tensor:
        """The mean of errors (batch, steps) over the steps that are learnt, a scalar."""
        total = None if self.items is None else self.items["action"]
        return weighted_mean(errors, learnt_steps(self.actions, self.action_is_pad), total)

    def num_steps(self) -> dict[str, torch.Tensor]:
        """How many steps are learnt, a scalar by the name of their loss."""
        return {"action": learnt_steps(self.actions, self.action_is_pad).sum()}


def learnt_steps(actions: torch.Tensor, action_is_pad: torch.Tensor | None) -> torch.Tensor:
    """(batch, steps) float32, 1 where an action is learnt; action_is_pad: (batch, steps), true behind an episode.

    Raises:
        InputError: `action_is_pad` has another shape.
    """
    if action_is_pad is None:
        return torch.ones(actions.shape[:2], device=actions.device)
    if action_is_pad.shape != actions.shape[:2]:
        raise InputError(
            f"action_is_pad has shape {tuple(action_is_pad.shape)}; (batch, steps) is {tuple(actions.shape[:2])}."
        )
    return (~action_is_pad.to(actions.device).bool()).float()


def weighted_mean(errors: torch.Tensor, weight: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
    """The sum of errors times weight, both (batch, steps), over `total`, that of the weights if it is not given.

    Where nothing has a weight it is 0.
    """
    total = weight.sum() if total is None else total.to(errors.device, torch.float32)
    return (errors * weight).sum() / total.clamp(min=NOTHING)


def text_items(labels: torch.Tensor) -> torch.Tensor:
    """How many labels (batch, length) a causal language model learns; nothing predicts the first of a row."""
    return (labels[:, 1:] != IGNORED).sum().float()


def items_of_text(labels: torch.Tensor, items: Items | None) -> torch.Tensor:
    """What transformers' losses of text divide by: given items, or those of this batch, at least 1."""
    count = text_items(labels) if items is None else items["text"].to(labels.device)
    return count.clamp(min=1)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
    """Of logits (n, classes) and labels (n,), -100 where nothing is learnt; see `weighted_mean` for the total."""
    total = (labels != IGNORED).sum() if total is None else total.to(logits.device)
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum") / total.clamp(min=1)
