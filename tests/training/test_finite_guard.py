"""What is not finite, step by step: which steps are skipped, how they are counted, and what ends a training."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vlahub.errors import NonFiniteError
from vlahub.training.finite_guard import NAMED, FiniteGuard, check_finite_weights, in_words, not_finite

NAN, INF = float("nan"), float("inf")


class Steps:
    """A training by hand with one guard: its model's gradients, and the callbacks in their order."""

    def __init__(self, max_skipped_steps=1):
        self.guard, self.model, self.step = FiniteGuard(max_skipped_steps), nn.Linear(2, 1), 0
        self.begin()

    def begin(self):
        self.guard.on_train_begin(None, None, None)

    def take(self, *losses, gradient=1.0):
        """One step; returns whether the optimiser sees gradients."""
        self.step += 1
        for loss in losses:
            self.guard.add_loss(torch.tensor(loss))
        for parameter in self.model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        self.guard.look_at(self.model, self.step)
        optimizer, state = SimpleNamespace(scaler=None), SimpleNamespace(global_step=self.step)
        self.guard.on_pre_optimizer_step(None, state, None, model=self.model, optimizer=optimizer)
        self.guard.on_optimizer_step(None, state, None, optimizer=optimizer)
        return self.model.weight.grad is not None

    def logged(self):
        logs, state = {"loss": 1.0}, SimpleNamespace(log_history=[{}])
        self.guard.on_log(None, state, None, logs=logs)
        assert state.log_history[-1]["skipped_steps"] == logs["skipped_steps"]
        return logs["skipped_steps"]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_step_is_skipped_for_any_of_the_losses_that_make_it(place, value):
    steps, losses = Steps(), [1.0, 1.0, 1.0]
    losses[place] = value
    assert (steps.take(*losses), steps.take(1.0)) == (False, True)
    assert not steps.take(1.0, gradient=value)
    assert steps.logged() == 2


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_as_many_steps_in_a_row_may_be_skipped_as_are_allowed(allowed):
    steps = Steps(allowed)
    for _ in range(2):
        steps.take(1.0)
        for _ in range(allowed):
            steps.take(NAN)
    with pytest.raises(NonFiniteError, match=rf"in step {steps.step + 1}, {allowed + 1} in a row: loss"):
        steps.take(NAN)


def test_a_training_counts_anew_whatever_was_left_of_the_one_before():
    steps = Steps()
    steps.take(1.0), steps.take(NAN)
    steps.guard.add_loss(torch.tensor(NAN))  # of a step that was interrupted
    steps.begin()
    assert steps.take(1.0) and steps.logged() == 0
    steps.begin()
    assert not steps.take(NAN)  # the first in a row
    with pytest.raises(NonFiniteError, match="no step was finite"):
        steps.guard.on_train_end()


def test_a_training_of_one_finite_step_has_learnt_something():
    steps = Steps()
    steps.guard.on_train_end()  # of no step at all
    steps.take(NAN), steps.take(1.0)
    steps.guard.on_train_end()


def test_a_summary_without_a_loss_counts_no_steps():
    logs = {"train_runtime": 1.0}
    Steps().guard.on_log(None, SimpleNamespace(log_history=[{}]), None, logs=logs)
    assert logs == {"train_runtime": 1.0}


def test_weights_are_looked_at_also_where_they_are_frozen_and_where_they_are_no_floats():
    model = nn.Linear(2, 1).requires_grad_(False)
    model.packed = nn.Parameter(torch.zeros(2, dtype=torch.uint8), requires_grad=False)
    check_finite_weights(model, "saving")
    model.bias.fill_(INF)
    with pytest.raises(NonFiniteError, match="saving: weights are not finite, so they are not written: bias"):
        check_finite_weights(model, "saving")


def test_what_has_no_numbers_is_finite_and_what_is_not_is_named():
    tensors = {"meta": torch.empty(2, device="meta"), "empty": torch.empty(0), "whole": torch.ones(2)}
    assert not_finite(tensors) is None and not_finite({}) is None
    assert not_finite({**tensors, "b": torch.tensor([1.0, INF]), "a": torch.tensor(NAN)}) == "a, b"


@pytest.mark.parametrize(("count", "more"), [(NAMED, ""), (NAMED + 1, " and 1 more"), (NAMED + 7, " and 7 more")])
def test_the_first_names_are_said_and_the_others_counted(count, more):
    names = [f"layer.{i}" for i in range(count)]
    assert in_words(names) == ", ".join(names[:NAMED]) + more
