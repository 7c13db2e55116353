"""Compiled predictions have the numbers of eager ones within rounding, also with guidance.

On a CPU there is no compiler behind dynamo, which is what may fail there.
"""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.card.cases import Case, predict
from benchmarks.card.fast_prediction import CALLS, OPTIONS, fast_figures, first_and_guided, name_of, ready
from benchmarks.card.results import Figure, Job, Skipped
from benchmarks.observations import observations
from vlahub.modeling import fast_prediction

STEPS = 2  # of an action's denoising: a third would be compiled as the second
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 0.08}  # compiled kernels keep more digits between operations


def jobs(device: str, family: str | None) -> Iterator[Job]:
    """Of each family's first model and of the guided one; on a CPU, where tracing takes longest, of a single one."""
    chosen = first_and_guided(family)
    for case in chosen if device == "cuda" else chosen[:1]:
        yield Job("compile", case.name, partial(compiled, case, device))


@torch.no_grad()
def compiled(case: Case, device: str) -> Iterator[Figure]:
    """On a card by Inductor and recorded as graphs, in bfloat16 where no choice of a token depends on the rounding."""
    if device == "cuda" and (missing := missing_for_triton()):
        raise Skipped(f"Inductor needs {missing} for a card, and there is none here")
    is_smooth = not (case.writes_tokens or case.prunes)
    dtype = torch.bfloat16 if device == "cuda" and is_smooth else torch.float32
    model, prompt = ready(case, device, dtype)
    if prompt.get("num_inference_steps", getattr(model.config, "num_inference_steps", None)):
        prompt["num_inference_steps"] = STEPS
    prompts = observations(prompt, CALLS)
    wanted = [predict(model, each) for each in prompts]
    with compiler(device):
        model.enable_fast_prediction("compile", **OPTIONS)
        yield from fast_figures(model, prompts, wanted, name_of(dtype), ROUNDING[dtype])
        model.disable_fast_prediction()
    torch._dynamo.reset()


def missing_for_triton() -> str | None:
    """What kernels of Inductor are built with, if it is not here: each is launched by a small module in C."""
    if find_spec("triton") is None:
        return "Triton"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "a C compiler (gcc, clang, or what CC names)"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return None if header.exists() else f"{header} (python3-dev)"


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
