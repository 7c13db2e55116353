"""Which parts of our models come out of other models, and which are new: the latter train whole, in floating point."""

from torch import nn

# The parts of our models that come out of other models.
PRETRAINED = ("backbone", "geometric_model", "language_model", "vision_backbone", "vision_tower", "vlm")
# What CogVLA adds inside of them: FiLM, aggregation tokens, LFP routers.
ADDED_INSIDE = {"vision_backbone": ("film", "aggregation"), "language_model": ("router",)}


def is_pretrained(name: str) -> bool:
    """Whether a module or parameter of this name was trained before."""
    first, *inner = name.split(".")
    return first in PRETRAINED and not any(part in ADDED_INSIDE.get(first, ()) for part in inner)


def language_model_of(model: nn.Module) -> nn.Module:
    """The language model, or the part of a VLM that is one."""
    owner = getattr(model, "backbone", model)
    vlm = getattr(owner, "vlm", None)
    return owner.language_model if vlm is None else vlm.model.language_model


def kept_in_floating_point(model: nn.Module) -> list[str]:
    """Names of the linear layers that quantisation leaves alone: all but those of the language model's stack.

    New parts train whole and vision towers are small, so both keep their dtype, and so do output embeddings.
    """
    quantised = {id(module) for module in language_model_of(model).modules()} - {id(model.get_output_embeddings())}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not (id(module) in quantised and is_pretrained(name))
    ]
