"""Whole predictions at the published sizes with random weights, beside the reading of their weights; tiny on a CPU."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import torch
from torch import nn

from benchmarks.card_measures import Budget, Measured, bandwidth, measure
from benchmarks.card_rows import FAMILIES, ROWS, Row
from benchmarks.card_table import LEGEND, line_of, machine, state_memory, table, write
from benchmarks.observations import observations
from benchmarks.published_sizes import MODELS
from benchmarks.random_weights import build, bytes_of

MODES = ("eager", "graphs", "compile")
BUCKET = 8  # of lengths; what is measured is as long as a bucket, so that padding is no difference to eager
RUNS, RUNS_OF_LONG, RUNS_ON_CPU = 8, 3, 2


@dataclass(frozen=True)
class Setting:
    """Where and how everything is measured; speed: bytes a second of a copy; profiled: look at each kernel once."""

    device: str
    modes: tuple[str, ...]
    speed: float
    budget: Budget
    profiled: bool

    @property
    def small(self) -> bool:
        return self.device == "cpu"

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.small else torch.bfloat16


def main(
    family: str | None, mode: str, device: str, minutes: float, show_kernels: bool = False, write_results: bool = False
) -> int:
    """Print the table, and with `write_results` put it into RESULTS.md; 1 where graphs gave other actions than eager.

    family: a model_type, or all; mode: `eager`, `graphs` (beside eager), `compile` (beside eager), or `all`;
    minutes: no measurement begins after so many.
    """
    modes = MODES if mode == "all" else tuple(dict.fromkeys(("eager", mode)))
    setting = Setting(device, modes, bandwidth(device), Budget(minutes), show_kernels or device != "cpu")
    rows = [row for row in ROWS if family in (None, row.family)]
    about = machine(device, setting.dtype, setting.speed)
    print(about, flush=True)
    lines, kernels = [], []
    for line, costliest in all_lines(rows, setting):
        print(" | ".join(line), flush=True)
        lines.append(line)
        kernels.append(f"\n{line[0]}, {line[1]}\n{costliest}")
        if write_results:  # each time: nothing ends a compilation that has begun but whoever waits for it
            write(f"## gpu\n\n{about}.\n\n{told(lines, len(rows) * len(modes), minutes, family)}")
    print(f"\n{told(lines, len(rows) * len(modes), minutes, family)}", *(kernels if show_kernels else ()), sep="\n")
    return int(differ(lines))


def told(lines: list[list[str]], wanted: int, minutes: float, family: str | None) -> str:
    """The table with all that goes with it; wanted: how many lines it has when it is whole."""
    text = f"{table(lines)}\n{LEGEND}"
    if missing := wanted - len(lines):
        text += f"\n{missing} lines are missing: the {minutes:g} minutes were over.\n"
    if family in (None, FAMILIES["alpamayo"]):
        text += f"\nKeys and values of Alpamayo-R1 at the published sizes, by count:\n\n{state_memory()}\n"
    return text


def differ(lines: list[list[str]]) -> bool:
    """Say which graphs gave other actions than the eager kernels that they recorded."""
    wrong = [line[0] for line in lines if line[1] == "graphs" and float(line[-2]) != 0]
    if wrong:
        print(f"graphs gave other actions than eager: {', '.join(wrong)}")
    return bool(wrong)


def all_lines(rows: list[Row], setting: Setting) -> Iterator[tuple[list[str], str]]:
    """Compiled predictions last: a published model is compiled for minutes, a driver's for more than ten."""
    eager: dict[str, torch.Tensor] = {}
    quick = tuple(mode for mode in setting.modes if mode != "compile")
    for modes in filter(None, (quick, setting.modes[len(quick) :])):
        for name, group in groupby(rows, lambda row: row.model):
            yield from measured_lines(name, list(group), replace(setting, modes=modes), eager)


@torch.no_grad()
def measured_lines(
    name: str, rows: list[Row], setting: Setting, eager: dict[str, torch.Tensor]
) -> Iterator[tuple[list[str], str]]:
    """All lines of one model, which is in memory meanwhile, each with its costliest kernels.

    eager: by name the actions of rows, where they are looked for and put; a row without any was not measured eagerly.
    """
    if setting.budget.is_spent:
        return
    model = build(lambda: MODELS[name](setting.small), setting.device, setting.dtype)
    model.fuse_projections()
    weights = bytes_of(model)
    for mode in setting.modes:
        switch(model, mode)
        for row, found, less in measured(model, rows, setting):
            if mode == "eager":
                eager[row.name] = found.actions
            elif row.name not in eager:
                continue
            floor = row.bytes_read(model) / setting.speed
            check_recorded(model, f"{row.name}, {mode}", setting)
            yield line_of(row, mode, found, less, eager[row.name], weights, floor), costliest(found)
    model.disable_fast_prediction()
    del model
    gc.collect()  # what has recorded a model knows it, and the model knows what has: the next one's peak is its own
    if not setting.small:
        torch.cuda.empty_cache()


def switch(model: nn.Module, mode: str) -> None:
    if mode == "eager":
        model.disable_fast_prediction()
    else:
        model.enable_fast_prediction(mode=mode, max_graphs=32, length_bucket=BUCKET)


def check_recorded(model: nn.Module, name: str, setting: Setting) -> None:
    """Raises RuntimeError where a card ran eagerly what is told as the time of graphs."""
    stats = model.fast_prediction_stats
    if not setting.small and stats is not None and (stats.eager_fallbacks or not stats.captures):
        raise RuntimeError(f"{name}: {stats.eager_fallbacks} calls ran eagerly: {stats.eager_reasons}")


def measured(model: nn.Module, rows: list[Row], setting: Setting) -> Iterator[tuple[Row, Measured, Measured | None]]:
    """Each row with what its calls cost, while there is time; a call that several rows share is measured once."""
    found: dict = {}
    for row in rows:
        for call in filter(None, (row.call, row.less)):
            if call not in found:
                if setting.budget.is_spent:
                    return
                inputs = call.inputs(model, setting.small)
                runs = RUNS_ON_CPU if setting.small else RUNS_OF_LONG if call.is_long else RUNS
                bound = partial(call, model, inputs)
                costs = measure(bound, setting.device, runs, setting.profiled)
                _, other = observations(inputs, 2)  # which a replay that goes on with the recorded ones would not see
                actions = costs.actions, call(model, other).float().cpu()
                found[call] = replace(costs, actions=torch.cat(actions))
        yield row, found[row.call], found.get(row.less)


def costliest(found: Measured) -> str:
    return "\n".join(f"{seconds * 1e3:>10.3f} ms  {name[:100]}" for name, seconds in found.costliest)
