"""A start from a base model in memory: its tensors under the model's names, and those that it does not have, drawn.

`vlahub create` does the same tensor by tensor, from one file into another.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers import PreTrainedModel

from ...configuration.cogvla.cogvla_start import own_fields, start_config
from ...configuration.cogvla.configuration_cogvla import CogVLAConfig, check_published
from ...configuration.cogvla.openvla_base import base_config, is_own
from ...configuration.cogvla.openvla_names import name_in_model, unused_reason
from ...configuration.cogvla.openvla_sizes import EMBEDDINGS, TensorShapes
from ...configuration.vla_errors import ConfigError
from ..adapter_loading import HUB_ARGUMENTS
from ..initial_values import InitialValues, described
from ..seeded_numbers import normal_numbers

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
FILES = ["config.json", "dataset_statistics.json", "*.safetensors", WEIGHTS[1]]
SIDE_FILES = "*--*_checkpoint.pt"
LOADING_ARGUMENTS = ("device_map", "max_memory", "offload_folder", "attn_implementation")
NAMED_PARTS = {  # see `StrictPreTrainedModel.named_parts`
    "film": ("vision_backbone.*.film",),
    "aggregation": ("vision_backbone.*.aggregation",),
    "fusion": ("moe_aggregator",),
    "lfp": ("language_model.*.router",),
    "state": ("proprio_projector",),
    "action_head": ("action_head", "noisy_action_projector"),
}


class BaseTensors:
    """The tensors of a folder by the names that the model has for them; none is read before it is asked for."""

    def __init__(self, folder: Path, rename: Callable[[str], str | None]):
        self.places: dict[str, tuple[Any, str]] = {}
        for path in weight_files(folder):
            file = safe_open(path, framework="pt")
            for key in file.keys():  # noqa: SIM118
                if (name := rename(key)) is not None:
                    self.places[name] = file, key

    def shapes(self) -> TensorShapes:
        return TensorShapes({name: tuple(f.get_slice(k).get_shape()) for name, (f, k) in self.places.items()})

    def __getitem__(self, name: str) -> torch.Tensor:
        file, key = self.places[name]
        return file.get_tensor(key)


def weight_files(folder: Path) -> list[Path]:
    """Raises ConfigError where there are none, or a training run's side files beside them."""
    if found := sorted(path.name for path in folder.glob(SIDE_FILES)):
        raise ConfigError(
            f"{folder} holds files of a training run beside its weights ({', '.join(found)}): run vlahub create with "
            "it, or vlahub convert first."
        )
    whole, index = (folder / name for name in WEIGHTS)
    if index.exists():
        return sorted({folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    if not whole.exists():
        raise ConfigError(f"{folder} holds no {WEIGHTS[0]} and no {WEIGHTS[1]}.")
    return [whole]


def base_folder(base: str, hub: Mapping[str, Any]) -> Path:
    """A folder as it is; a repository is downloaded into the Hub's cache; hub: arguments of that."""
    return Path(base) if Path(base).is_dir() else Path(snapshot_download(base, allow_patterns=FILES, **hub))


def read_base(folder: Path, given: Mapping[str, Any]) -> tuple[CogVLAConfig, BaseTensors]:
    """The config of a base as it is, and its tensors.

    given: see `start_config`.

    Raises:
        ConfigError, ConversionError: it is none that a start can be made of.
    """
    published = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if is_own(published):
        return CogVLAConfig.from_pretrained(folder), BaseTensors(folder, lambda key: key)
    check_published(published)
    tensors = BaseTensors(folder, name_in_model)
    statistics = folder / "dataset_statistics.json"
    if statistics.exists():
        published["norm_stats"] = json.loads(statistics.read_text(encoding="utf-8"))
    return base_config(published, tensors.shapes(), own_fields(given)), tensors


def state_of_start(
    kind: type[PreTrainedModel], base: CogVLAConfig, config: CogVLAConfig, tensors: BaseTensors, seed: int
) -> dict[str, torch.Tensor]:
    """All tensors of the start: those of the base, and what is new, in float32.

    Raises:
        ConfigError: the base lacks a tensor or has one that the start has no place for, or of another shape.
    """
    model, initial = described(kind, config)
    new = new_names(kind, base, model)
    state, shapes = {}, {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in tensors.places:
        if name in shapes:
            state[name] = tensors[name]
        elif unused_reason(name, config) is None:
            raise ConfigError(f"the base holds {name}, for which the start has no place.")
    for name in new:
        state[name] = drawn(model, initial, name, shapes[name], seed)
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


def drawn(model: PreTrainedModel, initial: InitialValues, name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """A new tensor, float32; its numbers depend on seed and name alone."""
    start = initial.of(model, name)
    if start.value is not None:
        return torch.full(shape, start.value)
    size = torch.Size(shape).numel()
    return torch.from_numpy(normal_numbers(name, seed, start.deviation, 0, size)).view(shape)


def start_from_base(
    kind: type[PreTrainedModel], base: str, seed: int, dtype: torch.dtype | str, switches: Mapping[str, Any]
) -> PreTrainedModel:
    """See `CogVLAForActionPrediction.from_base`."""
    hub = {name: value for name, value in switches.items() if name in HUB_ARGUMENTS}
    loading = {name: value for name, value in switches.items() if name in LOADING_ARGUMENTS}
    given = {name: value for name, value in switches.items() if name not in hub | loading}
    known, tensors = read_base(base_folder(base, hub), given)
    config = start_config(known, given).config
    config.dtype = tensors[EMBEDDINGS].dtype if dtype == "auto" else dtype
    state = state_of_start(kind, known, config, tensors, seed)
    model = kind.from_pretrained(None, config=config, state_dict=state, dtype=config.dtype, **loading)
    model.name_or_path = model.config.name_or_path = ""  # it lies nowhere yet
    return model
