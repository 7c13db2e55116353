"""What PEFT has to be told so that its adapter folder holds all that a fine-tune trained."""

from typing import TYPE_CHECKING, Any

from torch import nn

from ..configuration.vla_errors import InputError

if TYPE_CHECKING:
    from peft import LoraConfig

# The parts of our models that were trained before: their linear layers are adapted.
PRETRAINED = ("backbone", "geometric_model", "language_model", "vision_backbone", "vision_tower", "vlm")
# What a VLA adds inside of them (FiLM, aggregation tokens, LFP routers) trains whole, like everything else.
ADDED_INSIDE = ("film", "aggregation", "router")
# Of a vision model, what our models do not run: pooling and the text tower.
NOT_RUN = ("head", "text_model")


def lora_config(model: nn.Module, r: int = 32, lora_alpha: int = 16, **options: Any) -> "LoraConfig":
    """LoRA on the linear layers of language model and vision tower; all that is new trains whole.

    Modules are named by their full path: PEFT matches the end of a name, so that `head` would also mean `lm_head`. Of
    the new parts only modules with weights of their own are named; what refers to one of them keeps doing so.

    Args:
        model: of one of our families.
        options: further arguments of PEFT's `LoraConfig`; `target_modules` and `modules_to_save` replace ours.

    Raises:
        InputError: the model has no part that was trained before.
    """
    from peft import LoraConfig  # slow to import, and only needed here

    targets, whole = [], []
    frozen = frozen_prefix(model)
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is None or name.startswith(frozen):
            continue
        parts = name.split(".")
        if parts[0] not in PRETRAINED or any(part in ADDED_INSIDE for part in parts):
            whole.append(name)
        elif is_adapted(module, parts):
            targets.append(name)
    if not targets:
        raise InputError(f"a {type(model).__name__} has none of the parts {', '.join(PRETRAINED)} to adapt.")
    return LoraConfig(
        r=r, lora_alpha=lora_alpha, **{"target_modules": targets, "modules_to_save": whole or None, **options}
    )


def is_adapted(module: nn.Module, parts: list[str]) -> bool:
    """Whether a module of a pretrained part gets a LoRA: any linear layer that runs, but for the output embeddings."""
    if not isinstance(module, nn.Linear) or type(module).__name__ == "NonDynamicallyQuantizableLinear":
        return False  # the latter: torch's MultiheadAttention reads its weight and not the module
    in_vision = any(part.startswith("vision") or part == "visual" for part in parts)
    return parts[-1] != "lm_head" and not (in_vision and any(part in NOT_RUN for part in parts))


def frozen_prefix(model: nn.Module) -> tuple[str, ...]:
    """Names of parts that the model's own config keeps out of training."""
    if not getattr(model.config, "freeze_vision_tower", False):
        return ()
    return tuple(f"{name}." for name, module in model.named_modules() if module is model.backbone.frozen_part)
