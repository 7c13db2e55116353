"""Processor folders that load the same way on transformers 4.57 and 5.x, without this package installed."""

import os
from pathlib import Path

from transformers import ProcessorMixin

from ..configuration.normalization_statistics import check_finite
from ..configuration.remote_code import write_remote_code
from .portable_tokenizer import make_tokenizer_portable


def save_portable_processor(processor: ProcessorMixin, auto_classes: dict[str, str], folder: str | os.PathLike) -> None:
    """Write a processor of an image processor and a tokenizer, in the files that both lines read, and its code.

    auto_classes: those of the family's config, `{Auto class: "file.Class"}`.

    Raises:
        ConfigError: statistics that were put into the processor hold a number that is not finite: JSON has no such.
    """
    check_finite(getattr(processor, "norm_stats", None), "norm_stats")
    for part in (processor, processor.image_processor):
        part.auto_map = {name: value for name, value in auto_classes.items() if "Processor" in name}
    ProcessorMixin.save_pretrained(processor, folder)
    processor.image_processor.save_pretrained(folder)  # 4.57 reads it from a file of its own
    make_tokenizer_portable(Path(folder), type(processor).__name__)
    write_remote_code(type(processor), auto_classes, folder)
