"""Which parameters of a model train, and how fast (3dvla-starvla_framework's two stages).

Stage A trains what is new: heads, experts and projectors; language model, vision tower and geometry stay as they are.
Stage B also trains the top layers of the language model, more slowly.
"""

import math
from typing import Any

from torch import nn

from ..configuration.vla_errors import ConfigError, InputError
from ..modeling.llava3d_with_action_expert import stack_of

STAGES = ("A", "B")
PRETRAINED = ("language_model", "vision_tower", "geometric_model", "backbone")
UNREACHED = ("self_attn.q_proj.", "self_attn.o_proj.", "mlp.", "post_attention_layernorm.")


def trainable_parameter_groups(
    model: nn.Module,
    stage: str = "A",
    backbone_unfreeze_layers: int = 0,
    backbone_lr_scale: float = 0.1,
    expert_lr_scale: float = 1.0,
    lr: float | None = None,
    action_loss_only: bool = True,
) -> list[dict[str, Any]]:
    """Freeze what the stage leaves alone, and return the rest as parameter groups of an optimiser.

    Args:
        model: a `MapAnythingLlava3DForConditionalGeneration` or a `MultimodalVLAForActionPrediction`; `requires_grad`
            of its parameters is set.
        stage: `A` or `B`.
        backbone_unfreeze_layers: how many of the language model's top layers train in stage B.
        backbone_lr_scale, expert_lr_scale: factors on the learning rate.
        lr: the learning rate; with it each group has an `lr`, without it only its `lr_scale`.
        action_loss_only: also freeze what a flow-matching loss cannot reach: with deep fusion alone only keys and
            values of the last layer matter. Distributed training needs this. False for training with text, too.

    Returns:
        `[{"name": "expert", "params": [...], "lr_scale": ...}, ...]`, with a second group `backbone` in stage B.

    Raises:
        InputError: the stage is unknown, or the number of layers does not fit it.
        ConfigError: a factor is not a positive number.
    """
    layers = stack_of(language_model_of(model)).layers
    check_arguments(stage, backbone_unfreeze_layers, len(layers), backbone_lr_scale, expert_lr_scale)
    expert = [p for name, p in model.named_parameters() if name.split(".")[0] not in PRETRAINED]
    groups = [{"name": "expert", "params": expert, "lr_scale": expert_lr_scale}]
    if stage == "B":
        chosen = list(layers[len(layers) - backbone_unfreeze_layers :])
        backbone = [p for layer in chosen[:-1] for p in layer.parameters()]
        keys_alone = getattr(model.config, "action_expert_type", None) == "deep_fusion"
        unreached = UNREACHED if action_loss_only and keys_alone else ()
        backbone += [p for name, p in chosen[-1].named_parameters() if not name.startswith(unreached)]
        groups.append({"name": "backbone", "params": backbone, "lr_scale": backbone_lr_scale})
    model.requires_grad_(False)
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
        if lr is not None:
            group["lr"] = lr * group["lr_scale"]
    return groups


def language_model_of(model: nn.Module) -> nn.Module:
    """The language model, or the part of a VLM that is one."""
    owner = getattr(model, "backbone", model)
    vlm = getattr(owner, "vlm", None)
    return owner.language_model if vlm is None else vlm.model.language_model


def check_arguments(stage: str, num_layers: int, depth: int, *scales: float) -> None:
    if stage not in STAGES:
        raise InputError(f"stage={stage!r} is unknown; choose from {', '.join(STAGES)}.")
    if stage == "A" and num_layers:
        raise InputError(
            f"backbone_unfreeze_layers={num_layers}: stage A leaves the language model frozen; use stage B."
        )
    if stage == "B" and not 1 <= num_layers <= depth:
        raise InputError(f"backbone_unfreeze_layers={num_layers} must be between 1 and {depth} in stage B.")
    for scale in scales:
        if not (math.isfinite(scale) and scale > 0):
            raise ConfigError(f"a learning rate's scale must be a positive number, not {scale!r}.")
