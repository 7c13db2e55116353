"""Processors and image processors of transformers by name, which differ between its lines."""

import importlib
import importlib.util
from collections.abc import Iterator

import transformers
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from ...configuration.transformers_release import IS_4
from ...configuration.vla_errors import ConfigError
from .pixtral_prompts import PixtralProcessor

BACKENDS = ("Fast", "Pil")  # of 4.57 and 5.x
# Processors that write images as another does, which needs fewer packages (num2words, torchvision).
SAME_FOR_IMAGES = {"SmolVLMProcessor": "Idefics3Processor"}
WITHOUT_TORCHVISION = {"PixtralProcessor": PixtralProcessor}  # where the class of transformers cannot be imported


def processor_class(name: str) -> type:
    """A processor of transformers.

    It is looked for in its own file, for some are hidden where torchvision is missing, which only their videos need.

    Raises:
        ConfigError: there is none of this name, or its file needs what is not installed.
    """
    reason, name = f"transformers {transformers.__version__} has none of this name", SAME_FOR_IMAGES.get(name, name)
    for kind, known in PROCESSOR_MAPPING_NAMES.items():
        if known != name:
            continue
        module = model_type_to_module_name(kind)
        try:
            found = importlib.import_module(f"transformers.models.{module}.processing_{module}")
        except ImportError as error:
            if name in WITHOUT_TORCHVISION:
                return WITHOUT_TORCHVISION[name]
            if f"processing_{module}" not in str(error):  # kinds that share another's processor have no such file
                reason = f"{root_of(error)} (pip install {error.name})" if error.name else root_of(error)
            continue
        if hasattr(found, name):
            return getattr(found, name)
    raise ConfigError(f"the VLM's processor {name!r} cannot be used here: {reason}.")


def image_processor_class(name: str, use_torchvision: bool) -> type:
    """An image processor of transformers by its name without a backend.

    use_torchvision: the one of two that works on tensors, where both can be used here.

    Raises:
        ConfigError: there is none of this name, or it needs what is not installed.
    """
    plain, tensors = (name, f"{name}Fast") if IS_4 else (f"{name}Pil", name)
    reason = f"transformers {transformers.__version__} has none of this name"
    for each in (tensors, plain) if use_torchvision else (plain, tensors):
        try:
            found = getattr(transformers, each)
        except (AttributeError, ImportError):
            continue
        missing = list(missing_backends(found))
        if not missing:
            return found
        reason = f"it needs {', '.join(missing)} (pip install {' '.join(missing)})"
    raise ConfigError(f"the VLM's image processor {name!r} cannot be used here: {reason}.")


def missing_backends(kind: type) -> Iterator[str]:
    """What a class of transformers needs that is not installed: in its place there is one that knows only that."""
    for backend in getattr(kind, "_backends", ()):
        if importlib.util.find_spec(backend) is None:
            yield backend


def without_backend(name: str) -> str:
    """`Idefics3ImageProcessor` of that name with the backend of either line."""
    return next((name.removesuffix(backend) for backend in BACKENDS if name.endswith(backend)), name)


def root_of(error: BaseException) -> str:
    """The first sentence of what an error began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()).split(". ")[0].rstrip(".")
