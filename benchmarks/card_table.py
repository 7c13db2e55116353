"""The table of the benchmark, from what was measured; printed, and put into RESULTS.md."""

import datetime
import platform
import re
import subprocess
from pathlib import Path

import torch
import transformers

from benchmarks.card_measures import Measured
from benchmarks.card_rows import Row
from vlahub.configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from vlahub.modeling.alpamayo_r1.text_keys import TextSizes, kept_bytes, repeated_bytes

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = (
    *("prediction", "mode", "median ms", "minimum ms", "kernels", "GPU busy", "peak memory GiB", "weights GiB"),
    *("actions/s", "floor ms", "median / floor", "first call s", "largest difference to eager", "to reach ms"),
)
LEGEND = """
Figures of one token or step are differences of whole calls, divided (`benchmarks/card_rows.py`). GPU busy: the time of
all kernels over the median. actions/s: actions that one robot gets of a prediction, over its median. floor: the weights
that the row must read, over the bandwidth. To reach: on an H200. Where there is no CUDA, `graphs` runs eagerly.
"""


def line_of(
    row: Row, mode: str, found: Measured, less: Measured | None, eager: torch.Tensor, weights: int, floor: float
) -> list[str]:
    """One line of the table, as texts; eager: actions; weights: bytes; floor: seconds."""
    share = row.divided_by
    median, minimum = found.median, found.minimum
    kernels, busy = found.kernels, found.busy
    if less is not None:
        median, minimum = (median - less.median) / share, (minimum - less.minimum) / share
        if kernels is not None:
            kernels, busy = (kernels - less.kernels) / share, (busy - less.busy) / share
    return [
        row.name,
        mode,
        f"{median * 1e3:.2f}",
        f"{minimum * 1e3:.2f}",
        shown(kernels, ",.0f"),
        shown(None if busy is None else busy / median, ".0%"),
        shown(None if found.memory is None else found.memory / 2**30, ".2f"),
        f"{weights / 2**30:.2f}",
        shown(None if row.chunk is None else row.chunk / median, ".1f"),
        f"{floor * 1e3:.2f}",
        f"{median / floor:.1f}",
        f"{found.first:.1f}",
        f"{(found.actions - eager).abs().max().item():.2e}",
        shown(row.target, "g"),
    ]


def shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def table(lines: list[list[str]]) -> str:
    """In Markdown."""
    rule = ["---"] * len(HEAD)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, rule, *lines))


def machine(device: str, dtype: torch.dtype, bandwidth: float) -> str:
    """Date, commit, hardware and releases, in one sentence."""
    name, driver = platform.processor() or platform.machine(), ""
    if device != "cpu":
        name, driver = torch.cuda.get_device_name(), f"driver {output_of(*DRIVER)}, CUDA {torch.version.cuda}, "
    commit = output_of("git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD")
    return (
        f"{datetime.date.today()}, commit {commit}, {name}, {driver}torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {str(dtype).removeprefix('torch.')}, {bandwidth / 1e12:.2f} TB/s in a copy"
    )


DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def output_of(*command: str) -> str:
    """What a program says, `unknown` where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def state_memory() -> str:
    """Keys and values of one scene of 3,152 tokens with 40 tokens of text in bfloat16, for more and more samples."""
    config = AlpamayoR1Config()
    lines = ["| samples | keys and values GiB | with a copy of the prompt for each |", "| --- | --- | --- |"]
    for samples in (1, 6, 16, 64):
        sizes = TextSizes(1, samples, 3152, 40, config.num_action_chunks)
        kept, repeated = (size(config.vlm_config, sizes) / 2**30 for size in (kept_bytes, repeated_bytes))
        lines.append(f"| {samples} | {kept:.2f} | {repeated:.2f} |")
    return "\n".join(lines)


def write(section: str) -> None:
    """Put a section, `## gpu` say, into RESULTS.md in place of the one with this heading."""
    text = RESULTS.read_text(encoding="utf-8")
    heading = re.escape(section.split("\n")[0])
    new, count = re.subn(rf"{heading}\n.*?(?=\n## |\Z)", lambda _: section.rstrip() + "\n", text, flags=re.DOTALL)
    RESULTS.write_text(new if count else f"{text.rstrip()}\n\n{section}", encoding="utf-8")
