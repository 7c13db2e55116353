"""Losses that are sums over items, divided by how many there are: in one batch, or in all that make one step.

A mean of means is not the mean where batches differ: in padding, in weights, in size. Whoever splits what makes one
step into several batches (accumulation, processes) asks the model for the `loss_items` of each, adds them up, and
passes the totals to every forward as `num_items_in_batch`; the losses of the parts then add up to that of the whole.
What is counted may depend on what is drawn: `batch.update(model.drawn(**batch))` comes before both.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..configuration.vla_errors import InputError

IGNORED = -100  # a label that no loss counts

Items = Mapping[str, torch.Tensor]


class ActionTargets(NamedTuple):
    """What is learnt of the actions of a batch.

    Attributes:
        actions: (batch, steps, action_dim), normalised.
        time, noise: of flow matching, (batch,) in 0..1, 1 being noise, and like actions; drawn where they are `None`.
        action_is_pad: (batch, steps), true on steps behind the end of an episode, which are not learnt.
        items: totals of `loss_items` over the batches that make one step, where this is one of them.
        sample_weight: (batch,), what each sample weighs; `None`: all alike.
    """

    actions: torch.Tensor
    time: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    action_is_pad: torch.Tensor | None = None
    items: Items | None = None
    sample_weight: torch.Tensor | None = None

    def mean(self, errors: torch.Tensor) -> torch.Tensor:
        """The mean of errors (batch, steps) over the steps that are learnt, by their weights, a scalar."""
        total = None if self.items is None else self.items["action"]
        return weighted_mean(errors, learnt_steps(self.actions, self.action_is_pad, self.sample_weight), total)

    def num_steps(self) -> dict[str, torch.Tensor]:
        """What the steps that are learnt weigh together, a scalar by the name of their loss."""
        return {"action": learnt_steps(self.actions, self.action_is_pad, self.sample_weight).sum()}


def check_sample_weight(sample_weight: torch.Tensor | None, batch_size: int, items: Items | None = None) -> None:
    """Refuse weights that no mean can be taken by; one look at their values, before the first kernel of a step.

    items: totals of the step, of which the batch is a part: it may be one without weight then.

    Raises:
        InputError: the weights have another shape than (batch,), one is negative, NaN or infinite, or all are 0.
    """
    if sample_weight is None:
        return
    if sample_weight.shape != (batch_size,):
        raise InputError(
            f"sample_weight has shape {tuple(sample_weight.shape)}; (batch,) is ({batch_size},), a number a sample."
        )
    if torch.compiler.is_compiling():
        return
    values = sample_weight.detach().tolist()
    wrong = [i for i, value in enumerate(values) if not 0 <= value < math.inf]
    if wrong:
        raise InputError(f"sample_weight[{wrong[0]}] is {values[wrong[0]]}; weights are finite numbers of 0 or more.")
    if items is None and not sum(values):
        raise InputError("sample_weight is 0 for the whole batch: a weighted mean needs a weight above 0.")


def learnt_steps(
    actions: torch.Tensor, action_is_pad: torch.Tensor | None, sample_weight: torch.Tensor | None = None
) -> torch.Tensor:
    """(batch, steps) float32, what the steps weigh: 1, or the weight of their sample, and 0 behind an episode.

    action_is_pad: (batch, steps), true behind an episode; sample_weight: (batch,).

    Raises:
        InputError: `action_is_pad` has another shape, or holds real numbers.
    """
    if sample_weight is not None:
        weights = sample_weight.to(actions.device, torch.float32)
        return learnt_steps(actions, action_is_pad) * weights[:, None]
    if action_is_pad is None:
        return torch.ones(actions.shape[:2], dtype=torch.float32, device=actions.device)
    if action_is_pad.shape != actions.shape[:2]:
        raise InputError(
            f"action_is_pad has shape {tuple(action_is_pad.shape)}; (batch, steps) is {tuple(actions.shape[:2])}."
        )
    if action_is_pad.is_floating_point():
        raise InputError(f"action_is_pad is {action_is_pad.dtype}; torch.bool is needed, true behind an episode's end.")
    return (~action_is_pad.to(actions.device).bool()).float()


def given_times(time: torch.Tensor | None) -> torch.Tensor:
    """The times of a batch that is counted by them, (batch,). Raises InputError where it has none."""
    if time is None:
        raise InputError(
            "the batch has no time, by which this loss weighs samples: batch.update(model.drawn(**batch)) draws it, "
            "once for loss_items and forward(..., num_items_in_batch=...)."
        )
    return time


def weighted_mean(errors: torch.Tensor, weight: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
    """The sum of errors times weight, both (batch, steps), over `total`, that of the weights if it is not given.

    Where nothing has a weight it is 0.
    """
    total = weight.sum() if total is None else total.to(errors.device, torch.float32)
    return (errors * weight).sum() / divisor(total)


def divisor(total: torch.Tensor) -> torch.Tensor:
    """The total of items or weights, however small; 1 in the place of none, where a loss is 0."""
    return torch.where(total > 0, total, torch.ones_like(total))


def text_items(labels: torch.Tensor, sample_weight: torch.Tensor | None = None) -> torch.Tensor:
    """How many labels (batch, length) a causal language model learns, or what they weigh; nothing predicts the first of
    a row. sample_weight: (batch,)."""
    learnt = labels[:, 1:] != IGNORED
    if sample_weight is None:
        return learnt.sum().float()
    return (learnt.sum(dim=1) * sample_weight.to(labels.device, torch.float32)).sum()


def items_of_text(labels: torch.Tensor, items: Items | None, sample_weight: torch.Tensor | None = None) -> torch.Tensor:
    """What losses of text divide by: given items, or those of this batch; 1 in the place of none."""
    return divisor(text_items(labels, sample_weight) if items is None else items["text"].to(labels.device))


def text_loss(
    loss_function: Callable[..., torch.Tensor],
    logits: torch.Tensor,
    labels: torch.Tensor,
    items: Items | None,
    sample_weight: torch.Tensor | None,
) -> torch.Tensor:
    """Cross entropy of the next token, by the `loss_function` of a model of transformers or by weights of samples.

    logits, labels: (batch, length, vocabulary) and (batch, length); items: totals of the step; sample_weight: (batch,).
    """
    if sample_weight is None:
        count = items_of_text(labels, items)
        return loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], num_items_in_batch=count)
    total = None if items is None else items["text"]
    return cross_entropy(logits[:, :-1], labels[:, 1:].to(logits.device), total, sample_weight)


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    total: torch.Tensor | None = None,
    sample_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Of logits (batch, n, classes) and labels (batch, n), -100 where nothing is learnt.

    total: see `weighted_mean`.
    sample_weight: (batch,), what the labels of each row weigh; 1 by default.
    """
    flat, wanted = logits.flatten(0, 1).float(), labels.flatten()
    learnt = labels != IGNORED
    if sample_weight is None:
        total = learnt.sum() if total is None else total.to(logits.device)
        return F.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum") / divisor(total)
    errors = F.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="none").view(labels.shape)
    return weighted_mean(errors, learnt * sample_weight.to(errors)[:, None], total)
