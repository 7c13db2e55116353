"""In bfloat16 losses, gradients and actions are as near to float32 as its 8 bits allow."""

from collections.abc import Iterator
from functools import partial

from benchmarks.card.cases import Case, cases, in_bfloat16, on, placed, predict, predicts
from benchmarks.card.learning import learning_figures, loss_and_gradients, relative
from benchmarks.card.results import Figure, Job

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
        yield from learning_figures(loss_and_gradients(rounded, batch), loss_and_gradients(plain, batch), LEARNING)
    if predicts(tiny):
        prompt = on(device, tiny.prompt)
        bound = None if case.writes_tokens else ACTIONS
        yield Figure("actions", relative(predict(rounded, prompt), predict(plain, prompt)), bound)
