"""Predictions from graphs have the bits of eager ones, also with guidance.

On a CPU graphs are replayed by `tests/traced_graphs.py`, which refuses what a card would.
"""

import warnings
from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from torch import nn
from traced_graphs import TracedGraph

from benchmarks.card.cases import Case, cases, in_bfloat16, on, placed, predict, predicts
from benchmarks.card.learning import relative
from benchmarks.card.results import Figure, Job, Skipped
from benchmarks.observations import observations
from vlahub.modeling.fast_prediction import FastPrediction

# Nothing is padded that an eager prediction does not see: padding changes the order of sums.
OPTIONS = {"length_bucket": 1, "max_graphs": 32}
CALLS = 3


def jobs(device: str, family: str | None) -> Iterator[Job]:
    """Of all models on a card; else of each family's first and of the guided one."""
    for case in cases(family, is_recorded=True) if device == "cuda" else first_and_guided(family):
        yield Job("graphs", case.name, partial(graphs, case, device))


def first_and_guided(family: str | None) -> list[Case]:
    return [case for case in cases(family) if case.is_first or case.make]


@torch.no_grad()
def graphs(case: Case, device: str) -> Iterator[Figure]:
    """In both dtypes, whether the weights lie side by side or apart."""
    forms = list(product((torch.float32, torch.bfloat16), (True, False)))
    for dtype, fused in forms if device == "cuda" else forms[::3]:
        model, prompt = ready(case, device, dtype)
        if fused:
            model.fuse_projections()
        prompts = observations(prompt, CALLS)
        wanted = [predict(model, each) for each in prompts]
        options = {**OPTIONS, "fuse_projections": fused}
        model.fast_prediction = FastPrediction(model, options, None if device == "cuda" else TracedGraph)
        yield from fast_figures(model, prompts, wanted, name_of(dtype) + ", fused" * fused, bound=None)


def fast_figures(
    model: nn.Module, prompts: list[dict], wanted: list[torch.Tensor], name: str, bound: float | None
) -> Iterator[Figure]:
    """Of several calls: the second and third replay, for other inputs, what the first has recorded.

    prompts: of `observations`; wanted: what is predicted for each eagerly; bound: `None` is for the same bits.
    """
    if any(torch.equal(each, wanted[0]) for each in wanted[1:]):
        raise RuntimeError(f"{name}: other inputs are answered alike, so that a replay of the old ones would not show")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = [predict(model, prompt) for prompt in prompts]
    pairs = list(zip(found, wanted, strict=True))
    if bound is None:
        yield Figure(f"{name}: numbers of other bits", sum(float((each != one).sum()) for each, one in pairs), 0)
    else:
        yield Figure(f"{name}: difference", max(relative(each, one) for each, one in pairs), bound)
    stats = model.fast_prediction_stats
    if stats.eager_fallbacks:
        reasons = [str(each.message) for each in told if "fast prediction" in str(each.message)]
        raise RuntimeError(f"{name}: {stats.eager_fallbacks} calls ran eagerly: {stats.eager_reasons} {reasons[:1]}")
    if not stats.captures:
        raise RuntimeError(f"{name}: nothing was recorded")
    yield Figure(f"{name}: calls that recorded again", max(0, stats.captures * CALLS - stats.replays), 0)


def ready(case: Case, device: str, dtype: torch.dtype) -> tuple[nn.Module, dict]:
    """A model, and a prompt with a mask in any case: graphs have one, and attention without is another kernel."""
    tiny = case.tiny()
    if not predicts(tiny):
        raise Skipped("it predicts no actions")
    model, prompt = placed(tiny.model, device), tiny.prompt
    prompt = {"attention_mask": torch.ones_like(prompt["input_ids"])} | prompt
    return in_bfloat16(model) if dtype == torch.bfloat16 else model, on(device, prompt)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
