"""The tensors of a PEFT adapter by what they do, whoever saved them: PEFT, a wrapped model's own state, a trainer."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig

from ...configuration.vla_errors import ConversionError
from ..files.adapter_places import ADAPTER_FOLDER, adapter_files
from .adapter_names import SAVED_MODULE, TOKEN_ROWS, UNTRAINED, full_name, parse_adapter_key, plain_name
from .lora_merge import read_lora_config
from .plan import SourceTensor
from .tensor_source import TensorFile

# Beside an adapter, these hold trained numbers that an adapter of PEFT does not have.
FOREIGN_FILES = (
    "new_embeddings.safetensors",
    "new_embeddings.bin",
    "non_lora_trainables.bin",
    "non_lora_state_dict.bin",
    "mm_projector.bin",
)


@dataclass
class AdapterContent:
    """The tensors of one adapter, by what they do to which module.

    Attributes:
        loras: the parts of each module's LoRA, by their place in PEFT's layer.
        rows: the replaced rows of embeddings (PEFT's trainable tokens), by module.
        whole: parameters that replace those of the base, by name.
        untrained: copies of base parameters, which are not used.
    """

    loras: dict[str, dict[str, SourceTensor]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, SourceTensor] = field(default_factory=dict)
    whole: dict[str, SourceTensor] = field(default_factory=dict)
    untrained: list[SourceTensor] = field(default_factory=list)


def find_adapter(run: Path) -> tuple[TensorFile | None, LoraConfig | None]:
    """The adapter of a run, in its `lora_adapter` folder or at its root, or `(None, None)`.

    Raises:
        ConversionError: its config is missing or not one of a LoRA that can be merged, or trained numbers lie beside it
            in a file that an adapter does not have.
    """
    place = next(iter(adapter_files(run)), None)
    if place is None:
        return None, None
    path = run / place
    refuse_foreign_files(path.parent)
    return TensorFile(path, f"run/{place}"), read_lora_config(path.parent)


def refuse_foreign_files(folder: Path) -> None:
    """folder: of an adapter; where it is a run's `lora_adapter`, the files lie in the run."""
    if folder.name == ADAPTER_FOLDER:
        refuse_foreign_files(folder.parent)
    for name in FOREIGN_FILES:
        if (folder / name).exists():
            raise ConversionError(
                f"{folder / name} holds trained numbers beside the adapter, which are not merged here; add them to the "
                "base model first, or save the adapter again with save_embedding_layers=True or modules_to_save."
            )


def read_content(file: TensorFile) -> AdapterContent:
    """Sort an adapter's tensors.

    Raises:
        ConversionError: it holds none, only copies of the base's, several that differ under one name, or numbers that
            are not floating point.
    """
    content = AdapterContent()
    for key in file.infos:
        add_tensor(content, full_name(key), SourceTensor(file, key))
    if not (content.loras or content.rows or content.whole):
        raise ConversionError(f"{file.path} holds no tensors that were trained; it would leave the base as it is.")
    return content


def add_tensor(content: AdapterContent, name: str, source: SourceTensor) -> None:
    """Put a tensor where its full name says that it belongs. Raises ConversionError where another one is there."""
    lora = parse_adapter_key(name)
    if UNTRAINED.fullmatch(name):
        content.untrained.append(source)
        return
    if lora:
        place, key = content.loras[lora.module], lora.part
    elif rows := TOKEN_ROWS.fullmatch(name):
        place, key = content.rows, rows["module"]
    else:  # modules_to_save, embeddings saved along, and biases that were trained
        place, key = content.whole, plain_name(name)
    if key in place and saved_twice(place[key], source):
        return
    if key in place:
        raise ConversionError(
            f"{source.file.path} holds {place[key].key} and {source.key}, which are the same parameter: are there "
            "several adapters in it?"
        )
    source.check_floating()
    place[key] = source


def saved_twice(first: SourceTensor, second: SourceTensor) -> bool:
    """Whether both are one parameter with the same numbers: PEFT writes those of `modules_to_save` under the module's
    name, and once more under their own where it also saves resized embeddings."""
    kinds = {bool(SAVED_MODULE.fullmatch(full_name(source.key))) for source in (first, second)}
    same = len(kinds) == 2 and first.info == second.info
    return same and torch.equal(first.load(), second.load())
