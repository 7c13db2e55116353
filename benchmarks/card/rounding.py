"""In bfloat16 losses, gradients and actions are as near to float32 as its 8 bits allow."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.card.cases import Case, cases, in_bfloat16, on, placed, predict, predicts
from benchmarks.card.learning import learning_figures, loss_and_gradients, relative
from benchmarks.card.results import Figure, Job
from vlahub.modeling.cogvla import token_pruning

LEARNING = (0.04, 0.3, 1.0)  # loss, gradients, the worst parameter's; a processor is within half of these
ACTIONS = 0.08


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family):
        yield Job("bfloat16", case.name, partial(rounding, case, device))


def rounding(case: Case, device: str) -> Iterator[Figure]:
    tiny = case.tiny()
    plain, rounded = placed(tiny.model, device), in_bfloat16(placed(tiny.model, device))
    if tiny.batch:
        batch = on(device, tiny.batch)
        with choices() as kept:
            found, wanted = loss_and_gradients(rounded, batch), loss_and_gradients(plain, batch)
        yield from learning_figures(found, wanted, LEARNING if are_alike(kept) else (None, None, None))
    if predicts(tiny):
        prompt = on(device, tiny.prompt)
        with choices() as kept:
            difference = relative(predict(rounded, prompt), predict(plain, prompt))
        yield Figure("actions", difference, ACTIONS if are_alike(kept) and not case.writes_tokens else None)


@contextmanager
def choices() -> Iterator[list[torch.Tensor]]:
    """The image tokens that layers keep inside, call after call; none where the model keeps all."""
    kept, choose = [], token_pruning.highest_scored

    def noted(*given: object) -> torch.Tensor:
        kept.append(choose(*given))
        return kept[-1]

    token_pruning.highest_scored = noted
    try:
        yield kept
    finally:
        token_pruning.highest_scored = choose


def are_alike(kept: list[torch.Tensor]) -> bool:
    """Whether both halves are the same tokens: those of one model, and then of the other.

    With others, of scores that lie within the rounding, a model answers otherwise, and the difference bounds nothing.
    """
    first, second = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    return all(torch.equal(*pair) for pair in zip(first, second, strict=True))
