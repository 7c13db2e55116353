"""`graphs` gives the bits of eager predictions and `compile` their numbers within rounding, also with guidance.

On a CPU graphs are replayed by `tests/traced_graphs.py`, which refuses what a card would, and what is compiled has no
compiler behind it but in the first model of a family: dynamo is what may fail there.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product

import torch
from torch import nn
from traced_graphs import TracedGraph

from benchmarks.card.cases import Case, cases, in_bfloat16, on, placed, predict, predicts
from benchmarks.card.learning import relative
from benchmarks.card.results import Figure, Job, Skipped
from vlahub.modeling import fast_prediction
from vlahub.modeling.fast_prediction import FastPrediction

# Nothing is padded that an eager prediction does not see: padding changes the order of sums.
OPTIONS = {"length_bucket": 1, "max_graphs": 32}
CALLS = 3
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 0.05}  # of compiled kernels, which keep more digits between operations


def jobs(device: str, family: str | None) -> Iterator[Job]:
    """Of all models as graphs on a card; else, and compiled, of each family's first and of the guided one."""
    recorded = list(cases(family, is_recorded=True))
    some = [case for case in recorded if case.is_first or case.make]
    for case in recorded if device == "cuda" else some:
        yield Job("graphs", case.name, partial(graphs, case, device))
    for case in some:
        yield Job("compile", case.name, partial(compiled, case, device))


@torch.no_grad()
def graphs(case: Case, device: str) -> Iterator[Figure]:
    """In both dtypes, whether the weights lie side by side or apart."""
    forms = list(product((torch.float32, torch.bfloat16), (True, False)))
    for dtype, fused in forms if device == "cuda" else forms[::3]:
        model, prompt = ready(case, device, dtype)
        if fused:
            model.fuse_projections()
        wanted = predict(model, prompt)
        options = {**OPTIONS, "fuse_projections": fused}
        model.fast_prediction = FastPrediction(model, options, None if device == "cuda" else TracedGraph)
        yield from fast_figures(model, prompt, wanted, name_of(dtype) + ", fused" * fused, bound=None)


@torch.no_grad()
def compiled(case: Case, device: str) -> Iterator[Figure]:
    """On a card by Inductor and recorded as graphs."""
    for dtype in (torch.bfloat16,) if device == "cuda" else (torch.float32,):
        model, prompt = ready(case, device, dtype)
        wanted = predict(model, prompt)
        with compiler(device):
            model.enable_fast_prediction("compile", **OPTIONS)
            yield from fast_figures(model, prompt, wanted, name_of(dtype), ROUNDING[dtype])
            model.disable_fast_prediction()
    torch._dynamo.reset()


def fast_figures(
    model: nn.Module, prompt: dict, wanted: torch.Tensor, name: str, bound: float | None
) -> Iterator[Figure]:
    """Of several calls: the second and third replay what the first has recorded. bound: `None` is for the same bits."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = [predict(model, prompt) for _ in range(CALLS)]
    if bound is None:
        yield Figure(f"{name}: numbers of other bits", sum(float((each != wanted).sum()) for each in found), 0)
    else:
        yield Figure(f"{name}: difference", max(relative(each, wanted) for each in found), bound)
    stats = model.fast_prediction_stats
    if stats.eager_fallbacks:
        reasons = [str(each.message) for each in told if "fast prediction" in str(each.message)]
        raise RuntimeError(f"{name}: {stats.eager_fallbacks} calls ran eagerly: {stats.eager_reasons} {reasons[:1]}")
    if not stats.captures:
        raise RuntimeError(f"{name}: nothing was recorded")
    yield Figure(f"{name}: calls that recorded again", max(0, stats.captures * CALLS - stats.replays), 0)


def ready(case: Case, device: str, dtype: torch.dtype) -> tuple[nn.Module, dict]:
    tiny = case.tiny()
    if not predicts(tiny):
        raise Skipped("it predicts no actions")
    model = placed(tiny.model, device)
    return in_bfloat16(model) if dtype == torch.bfloat16 else model, on(device, tiny.prompt)


@contextmanager
def compiler(device: str) -> Iterator[None]:
    """Inductor on a card; on a CPU what dynamo has traced runs as it is."""
    compile_with = torch.compile
    if device == "cpu":
        fast_prediction.torch.compile = partial(compile_with, backend="eager")
    try:
        yield
    finally:
        fast_prediction.torch.compile = compile_with


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
