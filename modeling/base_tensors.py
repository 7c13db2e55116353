"""The tensors of a base model in a folder, for a start that is made in memory; and numbers for what it does not have.

`vlahub create` makes the same start tensor by tensor, from one file into another.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from transformers import PretrainedConfig, PreTrainedModel

from ..configuration.checkpoint_place import why_no_folder
from ..configuration.checkpoint_weights import WEIGHT_NAMES, files_of_weights
from ..configuration.vla_errors import ConfigError
from .generation_settings import generation_in
from .initial_values import InitialValues
from .seeded_numbers import normal_numbers
from .weight_files import opened_weights

DOWNLOAD_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "token")
NOT_TAKEN = {
    "torch_dtype": "it is called dtype here",
    "quantization_config": "save the start, and load it with this argument",
}
LOADING_ARGUMENTS = ("device_map", "max_memory", "offload_folder", "attn_implementation")


class BaseTensors:
    """The tensors of a folder by the names that the model has for them; none is read before it is asked for.

    Args:
        rename: from a name in the files to that in the model, `None` where it has no use for the tensor.
    """

    def __init__(self, folder: Path, rename: Callable[[str], str | None]):
        self.places: dict[str, tuple[Any, str]] = {}
        for path in weight_files(folder):
            file = opened_weights(path)
            for key in file.keys():  # noqa: SIM118
                if (name := rename(key)) is not None:
                    self.places[name] = file, key

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: self.shape(name) for name in self.places}

    def shape(self, name: str) -> tuple[int, ...]:
        file, key = self.places[name]
        return tuple(file.get_slice(key).get_shape())

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __getitem__(self, name: str) -> torch.Tensor:
        """Raises ConfigError where there is no such tensor."""
        if name not in self.places:
            raise ConfigError(f"the base's weights lack {name}.")
        file, key = self.places[name]
        return file.get_tensor(key)


def weight_files(folder: Path) -> list[Path]:
    """Raises ConfigError where there are none, or see `files_of_weights`."""
    files = files_of_weights(folder)
    if not files:
        raise ConfigError(f"{folder} holds no {WEIGHT_NAMES[0]} and no {WEIGHT_NAMES[1]}.")
    return files


def base_folder(base: str | Path, hub: Mapping[str, Any], files: Sequence[str]) -> Path:
    """A folder as it is; of a repository these files (patterns) are downloaded into the Hub's cache.

    hub: arguments of that.

    Raises:
        ConfigError: there is neither, or it holds no config.json.
    """
    folder = Path(base)
    if not folder.is_dir():
        if reason := why_no_folder(str(base)):
            raise ConfigError(f"{base} is neither a folder nor a repository that can be reached: {reason}.")
        try:
            folder = Path(snapshot_download(str(base), allow_patterns=list(files), **hub))
        except (HFValidationError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{base} is neither a folder nor a repository that can be reached: {reason}") from error
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{base} holds no config.json: is it a model?")
    return folder


def split_arguments(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Arguments of `from_base`: which files are meant, how weights are loaded, and what is switched on.

    Raises:
        ConfigError: one is an argument of `from_pretrained` that a start does not take.
    """
    for name, reason in NOT_TAKEN.items():
        if name in given:
            raise ConfigError(f"from_base has no argument {name}={given[name]!r}: {reason}.")
    hub = {name: value for name, value in given.items() if name in DOWNLOAD_ARGUMENTS}
    loading = {name: value for name, value in given.items() if name in LOADING_ARGUMENTS}
    return hub, loading, {name: value for name, value in given.items() if name not in hub | loading}


def settled_dtype(dtype: torch.dtype | str, base: torch.dtype) -> torch.dtype:
    """The dtype of a start: what was given, by name or as it is; "auto": the base's.

    Raises:
        ConfigError: it is none of floating point.
    """
    found = base if dtype == "auto" else getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ConfigError(f"dtype={dtype!r} is unknown; choose from auto, float32, bfloat16, float16.")
    return found


def drawn(model: PreTrainedModel, initial: InitialValues, name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """A new tensor, float32; its numbers depend on seed and name alone.

    model, initial: see `initial_values.described`.
    """
    start = initial.of(model, name)
    if start.value is not None:
        return torch.full(shape, start.value, dtype=torch.float32)
    size = torch.Size(shape).numel()
    return torch.from_numpy(normal_numbers(name, seed, start.deviation, 0, size)).view(shape)


def loaded(
    kind: type[PreTrainedModel],
    config: PretrainedConfig,
    state: dict[str, torch.Tensor],
    loading: Mapping[str, Any],
    base: Path,
) -> PreTrainedModel:
    """The model of these tensors, in the config's dtype; it writes text as its base does.

    loading: further arguments of `from_pretrained`; base: its folder.

    Raises:
        CheckpointError: the base's generation_config.json cannot be read.
    """
    generation = generation_in(base)  # before weights are loaded
    model = kind.from_pretrained(None, config=config, state_dict=state, dtype=config.dtype, **loading)
    model.name_or_path = model.config.name_or_path = ""  # it lies nowhere yet
    if generation is not None:
        generation.pad_token_id = config.pad_token_id  # that of the whole model
        model.generation_config = generation
    return model
