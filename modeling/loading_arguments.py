"""What `from_pretrained` is given, looked at before anything is read; and its errors, with the name that they lack."""

import difflib
import inspect
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import BitsAndBytesConfig, GenerationConfig
from transformers.quantizers import AutoQuantizationConfig
from transformers.utils import cached_file, has_file, is_accelerate_available

from ..configuration.checkpoint_json import reading_files
from ..configuration.checkpoint_place import check_place
from ..configuration.checkpoint_weights import WEIGHT_NAMES, check_one_set, entry_of_weights, with_variant
from ..configuration.dtype_names import check_dtype
from ..configuration.known_fields import check_attention, own_arguments
from ..configuration.vla_errors import CheckpointError, ConfigError
from .adapter_loading import MISSING_IS_NONE, hub_arguments
from .weight_files import opened_weights

FILES = ("config.json", "adapter_config.json")
BITS = ("load_in_8bit", "load_in_4bit")
LOADING = ("attn_implementation", "device_map", "dtype", "max_memory", "offload_folder", "quantization_config")
# Arguments of other releases and other calls, and what is meant by them here.
MEANT = {
    "device": "use device_map={value!r}, or .to({value!r}) on the model.",
    "use_flash_attention_2": "use attn_implementation='sdpa'.",
    "unnorm_key": "it is an argument of predict_action and of a processor's call.",
    "strict": "loading is always strict; what is to start anew is named by new_parts=[...].",
}


def check_loading(kind: type, place: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse what cannot be loaded: no config, no checkpoint, no dtype, or no device.

    Args:
        kind: the class of the model; place: the folder or repository; arguments: the keyword arguments.

    Raises:
        ConfigError: the message names the argument and its value, see also `check_attention`.
        CheckpointError: the folder is none of a checkpoint, or see `check_one_set`, for repositories too.
    """
    config = arguments.get("config")
    if config is not None and not hasattr(config, "to_dict") and not isinstance(config, (str, os.PathLike)):
        raise ConfigError(
            f"config is a {type(config).__name__}; a {kind.config_class.__name__} is needed, as "
            f"{kind.config_class.__name__}.from_pretrained gives it: change its fields and pass it on."
        )
    check_place(place, FILES if config is None else (), arguments.get("subfolder"))
    if place is not None and os.path.isdir(place):
        entry_of_weights(Path(os.fspath(place), arguments.get("subfolder") or ""), arguments.get("variant"))
    elif place is not None:
        check_repository(os.fspath(place), arguments)
    for name in ("dtype", "torch_dtype"):
        check_dtype(name, arguments.get(name))
    check_attention(kind.config_class, arguments.get("attn_implementation"))
    check_device(arguments.get("device_map"))


def check_repository(place: str, arguments: Mapping[str, Any]) -> None:
    """`check_one_set` of a repository, or of what the cache has of it; one that cannot be read passes.

    Raises:
        CheckpointError: see there.
    """
    given = {"subfolder": "", **hub_arguments(arguments)}
    folder, where = given.pop("subfolder") or "", {k: v for k, v in given.items() if k != "force_download"}
    whole, index = (os.path.join(folder, with_variant(name, arguments.get("variant"))) for name in WEIGHT_NAMES[:2])
    path = cached_file(place, index, **where, **MISSING_IS_NONE)
    if path is not None and has_file(place, whole, **where):
        check_one_set(place, whole, Path(path))


def quantisation_of(arguments: dict[str, Any]) -> Any:
    """The quantisation config of the arguments, which may be a dict or OpenVLA's `load_in_8bit` and `load_in_4bit`:
    these are taken away. `None` where nothing is to be quantised.

    Raises:
        ConfigError: it is of another kind, or given in two ways.
    """
    bits = {name: arguments.pop(name) for name in BITS if name in arguments}
    quantisation = arguments.get("quantization_config")
    if any(bits.values()):
        if quantisation is not None:
            raise ConfigError(f"{bits} and quantization_config were given: leave the former out.")
        return BitsAndBytesConfig(**bits)
    if isinstance(quantisation, str):
        raise ConfigError(
            f"quantization_config={quantisation!r} is a text; pass a config object such as "
            "transformers.BitsAndBytesConfig(load_in_8bit=True), or make a checkpoint of lower precision: vlahub "
            "convert CHECKPOINT OUTPUT --quantize int8"
        )
    return AutoQuantizationConfig.from_dict(quantisation) if isinstance(quantisation, dict) else quantisation


def is_plain(quantization_config: Any) -> bool:
    """Whether it is of bitsandbytes and says nothing of what stays as it is."""
    return getattr(quantization_config, "llm_int8_skip_modules", ...) is None


def check_device(device_map: Any) -> None:
    """Refuse a CUDA device that torch does not find; other values are accelerate's to judge.

    Raises:
        ConfigError: the message names the device.
    """
    places = device_map.values() if isinstance(device_map, Mapping) else [device_map]
    for place in places:
        number = re.fullmatch(r"cuda(?::(\d+))?", str(place))
        count = torch.cuda.device_count() if number else 0
        if number and int(number[1] or 0) >= count:
            found = f"torch finds {count} CUDA devices" if count else "torch finds no CUDA device"
            raise ConfigError(f"device_map={device_map!r}: {found} here; use another device, or 'cpu'.")


def check_disk(model: nn.Module) -> None:
    """Refuse weights on disk under an accelerate that without a word may take one of them for the others of its module:
    until 1.14, where tied ones are among them (its pull request 4083).

    Raises:
        ConfigError: there are such.
    """
    if "disk" in getattr(model, "hf_device_map", {}).values() and not is_accelerate_available("1.15.0"):
        raise ConfigError(
            "this device_map puts weights on disk, which releases of accelerate before 1.15 mix up: pip install -U "
            "accelerate, or keep them in memory ('cpu')."
        )


def explain_loading(error: Exception, kind: type, place: Any, arguments: Mapping[str, Any]) -> None:
    """Raise an error of ours in the place of one that does not say what is wrong; return where it does.

    Args:
        error: of `from_pretrained` of transformers; the others as in `check_loading`.

    Raises:
        ConfigError: an argument that is unknown.
        CheckpointError: a file of weights that is missing, or a file that cannot be read.
    """
    if isinstance(error, TypeError):
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if found and found[1] in arguments:
            refuse_argument(kind, found[1], arguments[found[1]], error)
    if not isinstance(error, OSError):
        check_generation_config(place, arguments)
    folder = Path(str(place), arguments.get("subfolder") or "")
    if isinstance(error, SafetensorError):
        for path in sorted(folder.glob("*.safetensors")):
            opened_weights(path)
        raise CheckpointError(
            f"the weights of {place} cannot be read ({error}); fetch them again, with force_download=True."
        ) from error
    missing = re.search(r"No such file or directory: ['\"]?([^'\"]*\.safetensors)", str(error))
    if missing:
        opened_weights(Path(missing[1]))


def check_generation_config(place: Any, arguments: Mapping[str, Any]) -> None:
    """Read generation_config.json, if there is one; raises CheckpointError where that is what fails."""
    with reading_files(place, "generation_config.json"), suppress(OSError):
        GenerationConfig.from_pretrained(place, **hub_arguments(arguments))


def refuse_argument(kind: type, name: str, value: Any, error: Exception) -> NoReturn:
    """Raises ConfigError for an argument that neither transformers nor the config knows."""
    known = sorted(own_arguments(kind.config_class).union(inspect.signature(kind.from_pretrained).parameters, LOADING))
    alike = difflib.get_close_matches(name, known, 2)
    if name in MEANT:
        advice = MEANT[name].format(value=value)
    else:
        advice = (
            f"did you mean {' or '.join(alike)}?" if alike else f"help({kind.__name__}.from_pretrained) lists them."
        )
    raise ConfigError(f"from_pretrained has no argument {name}={value!r}: {advice}") from error
