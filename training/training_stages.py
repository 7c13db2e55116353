"""Which parameters of a model train, and how fast (3dvla-starvla_framework's two stages, and all of it).

Stage A trains what is new: heads, experts, projectors, FiLM and routers; what was trained before stays as it is. Of
Alpamayo-R1 that is the expert. Stage B also trains the top layers of the language model, more slowly.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ..configuration.vla_errors import ConfigError, InputError
from ..modeling.new_parts import is_pretrained, stack_of
from .action_reach import let_actions_through, unreached_by_actions

STAGES = ("A", "B", "full")


def trainable_parameter_groups(
    model: PreTrainedModel,
    stage: str = "A",
    backbone_unfreeze_layers: int = 0,
    backbone_lr_scale: float = 0.1,
    expert_lr_scale: float = 1.0,
    lr: float | None = None,
    action_loss_only: bool = True,
) -> list[dict[str, Any]]:
    """Freeze what the stage leaves alone, and return the rest as parameter groups of an optimiser.

    Args:
        model: of one of our families; `requires_grad` of its parameters is set.
        stage: `A`, `B` or `full`, which trains everything but what the model's own config freezes.
        backbone_unfreeze_layers: how many of the language model's top layers train in stage B.
        backbone_lr_scale, expert_lr_scale: factors on the learning rate.
        lr: the learning rate; with it each group has an `lr`, without it only its `lr_scale`.
        action_loss_only: also freeze what a loss of actions cannot reach, as distributed training needs it: output
            embeddings, and where an expert reads keys and values alone, the rest of the last layer. After stage A it
            sets the config's `stop_grad_from_vlm` to False: the VLM could not learn otherwise. False for training with
            text, too.

    Returns:
        `[{"name": "expert", "params": [...], "lr_scale": ...}, ...]`, with a second group `backbone` after stage A.

    Raises:
        InputError: the stage is unknown, or the number of layers does not fit it or the model.
        ConfigError: a factor is not a positive number.
    """
    layers = stack_of(model.language_part).layers
    check_arguments(stage, backbone_unfreeze_layers, len(layers), backbone_lr_scale, expert_lr_scale)
    if action_loss_only and stage != "A":
        let_actions_through(model)
    unreached = unreached_by_actions(model) if action_loss_only else set()
    named = {name: p for name, p in model.named_parameters() if name not in unreached}
    new = {name for name in named if not is_pretrained(model, name)}
    groups = [{"name": "expert", "params": [named[name] for name in named if name in new], "lr_scale": expert_lr_scale}]
    if stage != "A":
        trained = {id(p) for p in trained_before(model, layers[-backbone_unfreeze_layers:] if stage == "B" else None)}
        backbone = [p for name, p in named.items() if name not in new and id(p) in trained]
        if not backbone:
            raise InputError(
                f"backbone_unfreeze_layers={backbone_unfreeze_layers}: this model's actions depend on nothing of these "
                "layers; choose more."
            )
        groups.append({"name": "backbone", "params": backbone, "lr_scale": backbone_lr_scale})
    model.requires_grad_(False)
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
        if lr is not None:
            group["lr"] = lr * group["lr_scale"]
    return groups


def trained_before(model: PreTrainedModel, layers: Sequence[nn.Module] | None) -> list[nn.Parameter]:
    """The parameters of these layers, or with `None` all that the model's config does not freeze."""
    if layers is not None:
        return [parameter for layer in layers for parameter in layer.parameters()]
    frozen = {id(parameter) for part in model.frozen_parts for parameter in part.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in frozen]


def freeze_unreached(model: nn.Module, batch: Mapping[str, Any]) -> list[str]:
    """Freeze the trainable parameters that the loss of a batch does not depend on, and return their names.

    Distributed data-parallel training waits for the gradient of every trainable parameter, and some pretrained models
    have parts that are not run: poolers, text towers, last layers. Costs one forward pass; the random numbers that
    it takes are given back.

    Args:
        model: one of ours, also inside PEFT.
        batch: arguments of its `forward`, moved to its device here; one sample is enough.

    Raises:
        InputError: the batch has no loss, or gradient checkpointing hides what it depends on.
    """
    device = next(model.parameters()).device
    inputs = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
    drawing = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(drawing, device_type=device.type), torch.enable_grad():
        loss = model(**inputs).loss
    if loss is None:
        raise InputError(f"a batch of {', '.join(batch)} has no loss; actions or labels are needed.")
    reached = {id(p) for p in leaves_of(loss)}
    names = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in reached]
    for name in names:
        model.get_parameter(name).requires_grad_(False)
    return names


def leaves_of(loss: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that would get a gradient from a loss.

    Raises:
        InputError: a part is checkpointed in the old way, which runs it without a graph.
    """
    seen, waiting, leaves = set(), [loss.grad_fn], []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            raise InputError("use_reentrant=True of gradient checkpointing hides what a loss depends on; use False.")
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return leaves


def check_arguments(stage: str, num_layers: int, depth: int, *scales: float) -> None:
    if stage not in STAGES:
        raise InputError(f"stage={stage!r} is unknown; choose from {', '.join(STAGES)}.")
    if stage != "B" and num_layers:
        does = "leaves the language model frozen" if stage == "A" else "trains all of the language model"
        raise InputError(f"backbone_unfreeze_layers={num_layers}: stage {stage} {does}; use stage B.")
    if stage == "B" and not 1 <= num_layers <= depth:
        raise InputError(f"backbone_unfreeze_layers={num_layers} must be between 1 and {depth} in stage B.")
    for scale in scales:
        if not (math.isfinite(scale) and scale > 0):
            raise ConfigError(f"a learning rate's scale must be a positive number, not {scale!r}.")
