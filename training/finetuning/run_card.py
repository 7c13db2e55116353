"""README.md of a run: the card of its adapter or model, with what this training was."""

import re
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...configuration.card_markdown import code
from ...configuration.checkpoint_card import CARD_NAME, body_of, is_unedited, stamped
from ..adapter_card import MERGE as ADAPTER_MERGE
from ..adapter_card import USE, shown_name
from ..loss_totals import base_of
from ..whole_file import write_whole
from .overview import settings_of, share
from .prepared import Finetuning
from .trained_parts import trained_parts

HEADING = "## How it was trained"
TEXT = """{heading}

| | |
| --- | --- |
{rows}

| part | trains | parameters |
| --- | --- | --- |
{parts}

| figure | at the end |
| --- | --- |
{figures}

{next}"""
OTHER_MERGE = re.compile(rf"{ADAPTER_MERGE}\n.*?(?={USE}\n)", re.DOTALL)  # without the names of this run
MERGE = """## Merge this run

Where it was trained, from the folder in which it was started:

    {command}

writes one checkpoint that loads without PEFT, with this run's statistics in it."""
WHOLE = "This folder is a whole checkpoint: nothing has to be merged."
WORDS = {
    "lora": "LoRA, and what a VLA adds as a whole",
    "A": "what a VLA adds (A)",
    "B": "what a VLA adds, and the language model's top layers (B)",
    "full": "everything (full)",
    "vlm": "the VLM by text alone (vlm)",
}


def figures_of(measured: Mapping[str, Any], history: Sequence[Mapping], resumed: bool) -> dict[str, Any]:
    """What a training and its evaluation came to; of a run that was gone on with, over all of its parts.

    Args:
        measured: by transformers. Times are those of the last part alone, and so is the loss, which is 0 where no step
            was left to do, and in 4.57 divided by the steps of all parts.
        history: what was logged, of all parts.
    """
    losses = {entry["step"]: entry["loss"] for entry in history if "loss" in entry}
    figures = {name: value for name, value in measured.items() if not (resumed and name.startswith("train_"))}
    if resumed and losses:  # each is the mean of the steps since the one before
        figures["train_loss"] = float(np.average(list(losses.values()), weights=np.diff([0, *losses])))
    return figures | ({"last loss that was logged": list(losses.values())[-1]} if losses else {})


def write_run_card(found: Finetuning, steps: int, figures: Mapping[str, Any]) -> None:
    """Add to the README.md that was saved with the model what this run was; one that somebody edited stays.

    Args:
        steps: that were done.
        figures: of the training and of its evaluation, by name.
    """
    path = Path(found.arguments.output_dir, CARD_NAME)
    known = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not is_unedited(known):
        return
    front = known.partition("---\n")[2].partition("\n---\n")[0]
    body = OTHER_MERGE.sub("", body_of(known).partition(HEADING)[0])
    text = f"---\n{front}\n---\n{body.rstrip()}\n\n{run_section(found, steps, figures)}"
    write_whole(path, stamped(text, base_of(found.model).config))


def run_section(found: Finetuning, steps: int, figures: Mapping[str, Any]) -> str:
    """What was trained on what, with which settings, to which figures, and what comes next."""
    options, data = found.options, found.data
    rows = {
        "base model": code(shown_name(options.model)),
        "dataset": f"{code(shown_name(options.dataset))}, {data.rows:,} rows",
        "camera views": ", ".join(map(code, data.views)),
        "trained": WORDS[options.train],
        **settings_of(data, options, found.arguments),
        "steps": f"{steps:,}",
        "made with": f"vlahub {version('vlahub')}, transformers {version('transformers')}, torch {version('torch')}",
    }
    parts = [
        (part.name, part.how, f"{part.trained:,} ({share(part.trained, part.parameters)})")
        for part in trained_parts(found.model)
    ]
    shown = {name: f"{value:.6g}" for name, value in figures.items() if isinstance(value, (int, float))}
    following = MERGE.format(command=merge_command(found)) if options.train == "lora" else WHOLE
    return TEXT.format(
        heading=HEADING,
        rows="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        parts="\n".join(f"| {' | '.join(row)} |" for row in parts),
        figures="\n".join(f"| {name} | {value} |" for name, value in shown.items()),
        next=following,
    )


def merge_command(found: Finetuning) -> str:
    """The command line that makes one checkpoint of base and adapter, as they were named."""
    run = str(found.arguments.output_dir).rstrip("/")
    words = ["merge-lora", "--base", found.options.model, "--adapter", run, "--output", f"{run}-merged"]
    return shlex.join(words)
