"""A start from a base model in memory: its tensors under the model's names, and those that it does not have, drawn.

`vlahub create` does the same tensor by tensor, from one file into another.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ...configuration.checkpoint_json import read_mapping
from ...configuration.checkpoint_weights import WEIGHT_NAMES
from ...configuration.cogvla.cogvla_start import own_fields, start_config
from ...configuration.cogvla.configuration_cogvla import CogVLAConfig, check_published
from ...configuration.cogvla.openvla_base import base_config, is_own
from ...configuration.cogvla.openvla_names import name_in_model, unused_reason
from ...configuration.cogvla.openvla_sizes import EMBEDDINGS, TensorShapes
from ...configuration.vla_errors import ConfigError
from ..base_tensors import BaseTensors, base_folder, drawn, loaded, settled_dtype, split_arguments
from ..generation_settings import GENERATION
from ..initial_values import described

FILES = ["config.json", GENERATION, "dataset_statistics.json", "*.safetensors", WEIGHT_NAMES[1]]
SIDE_FILES = "*--*_checkpoint.pt"


def check_no_side_files(folder: Path) -> None:
    """Raises ConfigError where parts of the model lie beside its weights."""
    if found := sorted(path.name for path in folder.glob(SIDE_FILES)):
        raise ConfigError(
            f"{folder} holds files of a training run beside its weights ({', '.join(found)}): run vlahub create with "
            "it, or vlahub convert first."
        )


def read_base(folder: Path, given: Mapping[str, Any]) -> tuple[CogVLAConfig, BaseTensors]:
    """The config of a base as it is, and its tensors.

    given: see `start_config`.

    Raises:
        ConfigError, ConversionError: it is none that a start can be made of.
    """
    published = read_mapping(folder / "config.json")
    if published.get("quantization_config"):
        raise ConfigError(f"{folder} is quantised: use the full-precision model that it was made from.")
    if is_own(published):
        return CogVLAConfig.from_pretrained(folder), BaseTensors(folder, lambda key: key)
    check_published(published)
    check_no_side_files(folder)
    tensors = BaseTensors(folder, name_in_model)
    statistics = folder / "dataset_statistics.json"
    if statistics.exists():
        published["norm_stats"] = read_mapping(statistics)
    return base_config(published, TensorShapes(tensors.shapes()), own_fields(given)), tensors


def state_of_start(
    kind: type[PreTrainedModel], base: CogVLAConfig, config: CogVLAConfig, tensors: BaseTensors, seed: int
) -> dict[str, torch.Tensor]:
    """All tensors of the start: those of the base, and what is new, in the dtype of the config.

    Raises:
        ConfigError: the base has a tensor that the start has no place for, or that its config does not tell, or in
            another shape.
    """
    model, initial = described(kind, config)
    new = new_names(kind, base, model)
    state, shapes = {}, {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in tensors.places:
        if name in new:
            raise ConfigError(f"the base holds {name}, which its config.json does not tell.")
        if name in shapes:
            state[name] = tensors[name]
        elif unused_reason(name, config) is None:
            raise ConfigError(f"the base holds {name}, for which the start has no place.")
    for name in new:
        state[name] = drawn(model, initial, name, shapes[name], seed).to(config.dtype)
    return state


def new_names(kind: type[PreTrainedModel], base: CogVLAConfig, model: PreTrainedModel) -> list[str]:
    """Names of the tensors that a start has and its base has not.

    model: the start, which may lie on the meta device.

    Raises:
        ConfigError: the base has a tensor in another shape.
    """
    with torch.device("meta"):
        before = {name: tuple(value.shape) for name, value in kind(base).state_dict().items()}
    after = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            raise ConfigError(
                f"{name} is {before[name]} in the base, and would be {after[name]}: a start keeps its base."
            )
    return [name for name in after if name not in before]


def start_from_base(
    kind: type[PreTrainedModel], base: str, seed: int, dtype: torch.dtype | str, switches: Mapping[str, Any]
) -> PreTrainedModel:
    """See `CogVLAForActionPrediction.from_base`."""
    hub, loading, given = split_arguments(switches)
    folder = base_folder(base, hub, FILES)
    known, tensors = read_base(folder, given)
    config = start_config(known, given).config
    config.dtype = settled_dtype(dtype, tensors[EMBEDDINGS].dtype)
    state = state_of_start(kind, known, config, tensors, seed)
    return loaded(kind, config, state, loading, folder)
