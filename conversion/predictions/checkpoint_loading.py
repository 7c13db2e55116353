"""A checkpoint of one of our families is loaded, once it is known that this is safe.

The model's code is that of this package; code that lies in the checkpoint is not run.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from ...configuration.vla_errors import ConfigError, ConversionError
from ..files.json_file import check_regular, load_json, read_json
from ..files.settings_errors import reading_settings
from ..files.tokenizer_files import check_tokenizer_files
from ..tensors.size_limits import check_layers_of
from ..tensors.tensor_source import open_checkpoint

SETTINGS = ("generation_config.json", "preprocessor_config.json", "processor_config.json", "chat_template.json")


def load_checkpoint(folder: Path, device: str) -> tuple[Any, Any]:
    """Processor and model, in the dtype of the weights on an accelerator and in float32 on a CPU."""
    check_folder(folder)
    try:
        with reading_settings(folder):
            processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
            dtype = torch.float32 if device == "cpu" else "auto"
            model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False, dtype=dtype)
    except ConfigError as error:  # which does not know where the setting was read
        raise ConfigError(f"{folder}: {error}") from error
    return processor, model.to(device).eval()


def check_folder(folder: Path) -> None:
    """What transformers would read without end, or take down the process with.

    Raises:
        ConversionError: a file is no regular file or no JSON, weights are missing or cut off, or sizes do not fit them.
    """
    for path in folder.iterdir():
        if not path.is_dir():
            check_regular(path)
        if path.name in SETTINGS:
            load_json(path)
    check_tokenizer_files(folder)
    if open_checkpoint(folder, folder.name) is None:
        raise ConversionError(f"{folder} holds no weights.")
    check_layers_of(folder, read_json([folder], "config.json", required=True))
