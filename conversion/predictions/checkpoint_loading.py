"""A checkpoint of one of our families is loaded, once it is known that this is safe.

The model's code is that of this package; code that lies in the checkpoint is not run.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from ...configuration.vla_errors import ConfigError, ConversionError
from ...training.waiting import waiting
from ..files.json_file import check_regular, load_json, read_json
from ..files.settings_errors import reading_settings
from ..files.tokenizer_files import check_tokenizer_files
from ..tensors.size_limits import check_layers_of
from ..tensors.tensor_source import open_checkpoint
from ..travelling.unnamed_code import check_no_adapter
from ..untrained_tensors import untrained_of

SETTINGS = ("generation_config.json", "preprocessor_config.json", "processor_config.json", "chat_template.json")
PROCESSORS = ("processor_config.json", "preprocessor_config.json")
NOT_TRAINED = "vlahub: {} is a start for training: parts of it hold random numbers, and its predictions mean nothing."


def load_processor(folder: Path) -> Any:
    """The processor alone, after a look at the whole folder; `load_model` may follow.

    Raises:
        ConversionError: see `check_folder`.
    """
    check_folder(folder)
    if not any((folder / name).exists() for name in PROCESSORS):
        raise ConversionError(
            f"{folder} holds no processor ({', '.join(PROCESSORS)}): is a copy incomplete, or was the model saved "
            "without it? `processor.save_pretrained` writes it."
        )
    with naming(folder):
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)


def load_config(folder: Path) -> Any:
    """The config alone."""
    with naming(folder):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_model(
    folder: Path, device: str, dtype: str | None = None, fast: str | None = None, quiet: bool = False
) -> Any:
    """The model of a folder that was looked at.

    dtype: such as "bfloat16", or "auto" for that of the weights; `None`: float32 on a CPU, else that of the weights.
    fast: a mode of `enable_fast_prediction`; without it the config says whether that is on.
    quiet: do not say where that has no effect, or that the checkpoint was never trained.
    """
    if not quiet and (untrained := untrained_of(folder)) and untrained.is_start:
        print(NOT_TRAINED.format(folder), file=sys.stderr)
    dtype = dtype or ("float32" if torch.device(device).type == "cpu" else "auto")
    chosen = dtype if dtype == "auto" else getattr(torch, dtype)
    with naming(folder), waiting("loading the model"):
        model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False, dtype=chosen)
        model = model.to(device).eval()
    if fast is not None:
        model.enable_fast_prediction(fast)
        if fast == "graphs" and torch.device(device).type != "cuda" and not quiet:
            print(f"vlahub: --fast graphs has no effect on {device}: graphs are of CUDA.", file=sys.stderr)
    return model


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Errors of settings say where these were read."""
    try:
        with reading_settings(folder):
            yield
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error


def check_folder(folder: Path) -> None:
    """What transformers would read or build without end, or take down the process with.

    Raises:
        ConversionError: see `check_settings`; or weights are missing or cut off, or sizes do not fit them.
    """
    check_settings(folder)
    if open_checkpoint(folder, folder.name) is None:
        raise ConversionError(f"{folder} holds no weights (model.safetensors): is a download or copy incomplete?")
    check_layers_of(folder, read_json([folder], "config.json", required=True))


def check_settings(folder: Path) -> None:
    """The same of all files but weights.

    Raises:
        ConversionError: a file is no regular file or no JSON, a token id is none, or an adapter's config leads to
            another model.
    """
    check_no_adapter(folder)
    for path in folder.iterdir():
        if not path.is_dir():
            check_regular(path)
        if path.name in SETTINGS:
            load_json(path)
    check_tokenizer_files(folder)
