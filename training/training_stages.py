"""Which parameters of a model train, and how fast (3dvla-starvla_framework's two stages, and all of it).

Stage A trains what is new: heads, experts, projectors, FiLM and routers; what was trained before stays as it is. Of
Alpamayo-R1 that is the expert. Stage B also trains the top layers of the language model, more slowly. Stage "vlm"
trains what was trained before and nothing that is new, by a loss of text: the first of Alpamayo-R1's two published
stages, of which A is the second.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ..configuration.vla_errors import ConfigError, InputError
from ..modeling.model_parts import is_in_vision, is_pretrained, layers_of
from .own_classes import check_trainable
from .unreached import let_actions_through, unreached_by_actions

STAGES = ("A", "B", "full", "vlm")


def trainable_parameter_groups(
    model: PreTrainedModel,
    stage: str = "A",
    backbone_unfreeze_layers: int = 0,
    backbone_lr_scale: float = 0.1,
    expert_lr_scale: float = 1.0,
    lr: float | None = None,
    action_loss_only: bool = True,
    vision_lr_scale: float = 0.1,
) -> list[dict[str, Any]]:
    """Freeze what the stage leaves alone, and return the rest as parameter groups of an optimiser.

    Args:
        model: of one of our families; `requires_grad` of its parameters is set.
        stage: `A`, `B`, `full`, which trains everything but what the model's own config freezes, or `vlm`, of this only
            what is not new.
        backbone_unfreeze_layers: how many of the language model's top layers train in stage B.
        backbone_lr_scale, expert_lr_scale: factors on the learning rate; of stage `vlm` there is none on that of the
            language model.
        lr: the learning rate; with it each group has an `lr`, without it only its `lr_scale`, by which `VLATrainer`
            multiplies its arguments' learning rate.
        action_loss_only: also freeze what a loss of actions cannot reach, as distributed training needs it: output
            embeddings, and where an expert reads keys and values alone, the rest of the last layer. After stage A it
            sets the config's `stop_grad_from_vlm` to False: the VLM could not learn otherwise. False for training with
            text, too. Of no effect in stage `vlm`.
        vision_lr_scale: factor on the learning rate of vision towers in stage `vlm`, as published 0.1.

    Returns:
        `[{"name": "expert", "params": [...], "lr_scale": ...}, ...]`, with a second group `backbone` after stage A; in
        stage `vlm` the groups `backbone` and, unless it is frozen, `vision`.

    Raises:
        InputError: the stage is unknown, or the number of layers does not fit it or the model; or `action_loss_only` is
            False in stage A and no text of the model depends on what is new.
        ConfigError: a factor is not a positive number.
    """
    check_trainable(model)
    layers = layers_of(model.language_part)
    scales = backbone_lr_scale, expert_lr_scale, vision_lr_scale
    check_arguments(stage, backbone_unfreeze_layers, len(layers), *scales)
    if stage == "A" and not action_loss_only:
        check_text_trains(model)
    if stage == "vlm":
        return trainable(model, groups_of_vlm(model, vision_lr_scale), lr)
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
    return trainable(model, groups, lr)


def groups_of_vlm(model: PreTrainedModel, vision_lr_scale: float) -> list[dict[str, Any]]:
    """All that was trained before and that the model's config does not freeze, vision towers by themselves."""
    kept = {id(p) for p in trained_before(model, None)}
    named = {n: p for n, p in model.named_parameters() if id(p) in kept and is_pretrained(model, n)}
    vision = {name for name in named if is_in_vision(name)}
    parts = {"backbone": (named.keys() - vision, 1.0), "vision": (vision, vision_lr_scale)}
    groups = [
        {"name": part, "params": [p for n, p in named.items() if n in names], "lr_scale": scale}
        for part, (names, scale) in parts.items()
    ]
    return [group for group in groups if group["params"]]


def trainable(model: PreTrainedModel, groups: list[dict[str, Any]], lr: float | None) -> list[dict[str, Any]]:
    """The groups, whose parameters alone train now."""
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


def check_text_trains(model: PreTrainedModel) -> None:
    """Raises InputError where text would train nothing of what is new."""
    if not getattr(model.config, "text_reads_new_parts", True):  # code of an earlier checkpoint does not say
        raise InputError(
            f"action_loss_only=False: stage A trains what is new alone, and of this {model.config.model_type} no text "
            "depends on it; leave it out, or train more (stage B or full, or vlahub.lora_config)."
        )


def check_arguments(stage: str, num_layers: int, depth: int, *scales: float) -> None:
    """Raises InputError or ConfigError, see `trainable_parameter_groups`; depth: layers of the language model."""
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


def split_by_decay(
    model: nn.Module, groups: list[dict[str, Any]], decaying: Collection[str], weight_decay: float
) -> list[dict[str, Any]]:
    """Each group of an optimiser in two, one that decays and one that does not; groups that are empty are left out.

    Args:
        decaying: names of the parameters that decay, see `Trainer.get_decay_parameter_names`.
        weight_decay: of groups that say nothing else.
    """
    if not weight_decay:
        return groups
    decays = {id(parameter) for name, parameter in model.named_parameters() if name in decaying}
    found = []
    for group in groups:
        amount = group.get("weight_decay", weight_decay)
        for is_decaying, value in ((True, amount), (False, 0.0)):
            chosen = [p for p in group["params"] if (id(p) in decays) == is_decaying]
            if chosen:
                found.append({**group, "params": chosen, "weight_decay": value})
    return found
