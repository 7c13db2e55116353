"""Sizes in a config, held against the tensors there are, before a model of them is built: building a million layers
takes hours and all memory, and would only end in the message that their tensors are missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from .tensor_source import open_checkpoint

# Names for a number of layers in configs of transformers, timm and vlahub.
LAYERS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "depth", "num_blocks", "encoder_layers",
    "decoder_layers", "num_encoder_layers", "num_decoder_layers", "info_sharing_num_hidden_layers",
)  # fmt: skip
FEW = 64  # layers that are built in a moment; a model whose layers share their weights has fewer tensors than layers


def check_layers(config: dict[str, Any], num_tensors: int, where: str) -> None:
    """Refuse a config with many more layers than there are tensors.

    Args:
        config: what a config.json holds, configs of parts included.
        num_tensors: in all files of the model; a layer has several.
        where: the file, for the message.

    Raises:
        ConversionError: the message names the field and both numbers.
    """
    for name, value in numbers_of_layers(config):
        if value > max(num_tensors, FEW):
            raise ConversionError(
                f"{where} says {name}={value}, but there are {num_tensors} tensors in all: do they belong together?"
            )


def check_layers_of(folder: Path, config: dict[str, Any]) -> None:
    """`check_layers` of a checkpoint by its own tensors; reads no more than the headers of its files."""
    weights = open_checkpoint(folder, folder.name)
    if weights is not None:
        check_layers(config, len(weights.file_of), f"{folder / 'config.json'}")


def numbers_of_layers(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in config.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from numbers_of_layers(part, f"{prefix}{name}.")
        if name in LAYERS and type(value) in (int, float):
            yield f"{prefix}{name}", value
