"""In float32, without TF32: losses, gradients and actions are those that a processor computes in float64."""

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.card.cases import Case, cases, on, placed, predict, predicts
from benchmarks.card.learning import learning_figures, loss_and_gradients, relative
from benchmarks.card.results import Figure, Job

LEARNING = (5e-5, 1e-4, 1e-3)  # loss, gradients, the worst parameter's; TF32 would be off by 1e-3 in all
ACTIONS = 1e-4


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family):
        yield Job("parity", case.name, partial(parity, case, device))


def parity(case: Case, device: str) -> Iterator[Figure]:
    """The oracle is the same model in double precision on the CPU: it is right in more digits than are compared."""
    tiny = case.tiny()
    oracle, model = placed(tiny.model, "cpu").double(), placed(tiny.model, device)
    if tiny.batch:
        wanted = loss_and_gradients(oracle, on("cpu", tiny.batch, torch.float64))
        yield from learning_figures(loss_and_gradients(model, on(device, tiny.batch)), wanted, LEARNING)
    if predicts(tiny):
        wanted = predict(oracle, on("cpu", tiny.prompt, torch.float64))
        yield Figure("actions", relative(predict(model, on(device, tiny.prompt)), wanted), ACTIONS)
