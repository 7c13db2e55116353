"""A checkpoint of ours becomes another one: its tensors as they are, or of another dtype or lower precision."""

import shutil
from functools import partial
from pathlib import Path

import torch

from ..configuration.vla_config import VLAConfig
from ..configuration.vla_errors import ConversionError
from .checkpoint_plan import weights_of
from .copied_card import write_copied_card
from .files.file_kinds import (
    CARD,
    CARD_NAME,
    CONFIG,
    PICTURE,
    PROCESSOR,
    STATISTICS,
    TOKENIZER,
    is_example_view,
    travelling,
)
from .job import Job, Prepared
from .tensors.plan import Fact, Plan, PlannedTensor, SourceTensor, cast_info
from .travelling.travelling_code import own_code, own_config

NOT_COPIED = "config.json"  # it is written anew


def prepare_own(job: Job) -> Prepared:
    """Plan a copy of the checkpoint of ours that a job converts.

    Raises:
        ConversionError: there are several, or its weights are missing.
    """
    if len(job.adapters) > 1:
        raise ConversionError(f"one checkpoint is converted at a time; {len(job.adapters)} were given.")
    (folder,) = job.adapters
    config = own_config(folder)
    dtype = None if job.dtype == "auto" else getattr(torch, job.dtype)
    config.dtype = dtype or config.dtype
    weights = weights_of(folder, "run")
    sources = [SourceTensor(weights.file_of[name], name) for name in weights]
    tensors = [PlannedTensor(source.key, cast_info(source, dtype), source) for source in sources]
    how = "read (config.json)" if dtype is None else "given (--dtype)"
    plan = Plan(tensors, facts=[Fact("dtype", str(config.dtype).removeprefix("torch."), how)])
    code = own_code(config, [folder])
    return Prepared(config.model_type, plan, partial(write_own_files, folder, config), code, config)


def write_own_files(source: Path, config: VLAConfig, folder: Path, report: dict) -> None:
    """Everything but the weights; the code is this release's, and a card that was edited stays, with the images that
    its example reads."""
    for path in travelling(source, CONFIG, PROCESSOR, TOKENIZER, CARD, STATISTICS):
        if path.name != NOT_COPIED:
            shutil.copyfile(path, folder / path.name)
    config.save_pretrained(folder)
    own_code(config, [folder]).write(folder)
    write_copied_card(folder, config, report)
    card = (folder / CARD_NAME).read_text(encoding="utf-8")
    for path in travelling(source, PICTURE):
        if is_example_view(path.name) and path.name in card:
            shutil.copyfile(path, folder / path.name)
