"""The class of a base model, from its config.json, and a model of it without memory."""

from pathlib import Path

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from ...configuration.vla_errors import ConversionError
from ..tensors.base_model import BaseModel
from ..tensors.size_limits import check_layers


def build_base(folder: Path, config: dict, keys: list[str]) -> BaseModel | None:
    """The base's model, or `None` for one whose code is neither in this release of transformers nor here.

    Raises:
        ConversionError: config.json has fields of a wrong type, or asks for more layers than there are tensors.
    """
    check_layers(config, len(keys), f"{folder}/config.json")
    try:
        loaded = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except StrictDataclassError as error:
        raise ConversionError(f"{folder / 'config.json'} cannot be read: {' '.join(str(error).split())}") from error
    except (ValueError, KeyError, OSError, ImportError):
        return None
    model_class = class_of(config, loaded)
    model = model_class and empty(model_class, loaded)
    return model and BaseModel(model, keys)


def empty(model_class: type[PreTrainedModel], config: PretrainedConfig) -> PreTrainedModel | None:
    """A model without memory; `None` where this release, or what is installed beside it, cannot build one."""
    try:
        with torch.device("meta"):
            return model_class(config)
    except (ImportError, ValueError, TypeError, AttributeError, KeyError, RuntimeError):
        return None


def class_of(config: dict, loaded: PretrainedConfig) -> type[PreTrainedModel] | None:
    """The class that `architectures` names, else the one that transformers' Auto classes pick."""
    named = next(iter(config.get("architectures") or []), None)
    found = getattr(transformers, str(named), None)
    if isinstance(found, type) and issubclass(found, PreTrainedModel):
        return found
    if named and type(loaded).__module__.startswith("transformers."):
        return None  # somebody's own class for a config of transformers
    image_text = transformers.AutoModelForImageTextToText
    for auto in (image_text, AutoModelForCausalLM, AutoModel):
        if type(loaded) in auto._model_mapping:
            found = auto._model_mapping[type(loaded)]
            return found[0] if isinstance(found, tuple) else found
    return None
