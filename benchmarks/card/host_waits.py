"""How often a prediction waits for its device: a robot's never, a drive's for its grid, its text and its last look."""

import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from host_waits import HostWaits

from benchmarks.card.cases import Case, cases, on, placed, predict, predicts
from benchmarks.card.results import Figure, Job, Skipped

TOKENS_BETWEEN_LOOKS = 8
GRID, LOOK, TEXT = 1, 1, 1


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family):
        yield Job("waits", case.name, partial(waits, case, device))


@torch.no_grad()
def waits(case: Case, device: str) -> Iterator[Figure]:
    """On a card as CUDA itself counts them, on a CPU what would wait, were the tensors elsewhere."""
    tiny = case.tiny()
    if not predicts(tiny):
        raise Skipped("it predicts no actions")
    call = partial(predict, placed(tiny.model, device), on(device, tiny.prompt), check_finite=False)
    bound = None if case.asks else most(tiny.prompt)
    if device == "cuda":
        yield Figure("as CUDA counts", cuda_waits(call), bound)
    else:
        yield from counted(call, bound)


def most(prompt: dict[str, Any]) -> int:
    """Of a prediction whose numbers are not looked at."""
    if "max_new_tokens" not in prompt:
        return 0
    return GRID + math.ceil(prompt["max_new_tokens"] / TOKENS_BETWEEN_LOOKS) + LOOK + TEXT


def counted(call: Callable[[], Any], bound: int | None) -> Iterator[Figure]:
    """Of the second of two calls."""
    with HostWaits(elsewhere=True):
        call()
    with HostWaits(elsewhere=True) as seen:
        call()
    yield Figure("asked", seen.asked, bound)
    yield Figure("handed over", seen.handed, None if bound is None else 0)


def cuda_waits(call: Callable[[], Any]) -> int:
    """Of the second of two calls."""
    call()
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum("called a synchronizing" in str(each.message) for each in told)
