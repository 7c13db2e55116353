"""Which parts of our models come out of other models, and which are new: the latter train whole, in floating point."""

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from ..configuration.vla_errors import ConfigError


def is_pretrained(model: PreTrainedModel, name: str) -> bool:
    """Whether a module or parameter of this name was trained before."""
    first, *inner = name.split(".")
    return first in model.pretrained_parts and not any(part in model.added_parts for part in inner)


def is_in_vision(name: str) -> bool:
    """Whether a module or parameter of this name lies in a vision tower."""
    return any("vision" in part or part == "visual" for part in name.split("."))


def stack_of(language_model: nn.Module) -> nn.Module:
    """The decoder layers' owner inside a causal language model, however often it is wrapped.

    Raises:
        ConfigError: neither the model nor what it wraps has `layers`.
    """
    found = language_model
    while not hasattr(found, "layers"):
        if not hasattr(found, "model"):
            raise ConfigError(f"a {type(language_model).__name__} has no `layers`, nor a `model` that has them.")
        found = found.model
    return found


def layers_of(language_model: nn.Module) -> Sequence[nn.Module]:
    """The layers of any text model, first to last; encoders and older decoders have them under other names.

    Raises:
        ConfigError: it has none that are as many as its config says.
    """
    try:
        return stack_of(language_model).layers
    except ConfigError:
        depth = getattr(getattr(language_model, "config", None), "num_hidden_layers", None)
        lists = (part for part in language_model.modules() if isinstance(part, nn.ModuleList) and len(part) == depth)
        if (found := next(lists, None)) is None:
            raise
        return found


def kept_in_floating_point(model: PreTrainedModel) -> list[str]:
    """Names of the linear layers that quantisation leaves alone: all but those of the language model's stack.

    New parts train whole and vision towers are small, so both keep their dtype, and so do output embeddings.
    """
    quantised = {id(module) for module in model.language_part.modules()} - {id(model.get_output_embeddings())}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not (id(module) in quantised and is_pretrained(model, name))
    ]
