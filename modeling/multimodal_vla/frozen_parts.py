"""Pretrained parts that do not train: they compute in training what they compute in evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


def keep_in_evaluation(parts: Sequence[nn.Module]) -> None:
    """Whole frozen parts stay as in evaluation while the rest trains: batch norms would learn, and layers drop out.

    To be called of parts in training mode, whatever trains of them. Layers that are checkpointed go on to be, for
    gradients pass through a frozen part: transformers' ask whether they train, and only what is inside does not.
    """
    for part in parts:
        is_frozen = not any(parameter.requires_grad for parameter in part.parameters())
        part.train(not is_frozen)
        for layer in part.modules():
            if isinstance(layer, GradientCheckpointingLayer) and layer.gradient_checkpointing:
                layer.training = True
                keep_checkpointed(layer, is_frozen)


def keep_checkpointed(layer: GradientCheckpointingLayer, is_frozen: bool) -> None:
    """Let the gradient checkpointing of a layer compute as in evaluation, or as it did before."""
    function = layer._gradient_checkpointing_func
    if isinstance(function, CheckpointInEvaluation):
        function = function.checkpoint
    layer._gradient_checkpointing_func = CheckpointInEvaluation(layer, function) if is_frozen else function


@dataclass(frozen=True, eq=False)
class CheckpointInEvaluation:
    """In place of the `checkpoint` that a layer calls: the layer itself is in evaluation mode while it computes.

    Many drop out in their own forward, and not in a module (OPT, Falcon, BioGPT).
    """

    layer: nn.Module
    checkpoint: Callable

    def __call__(self, function: Callable, *args: Any) -> Any:
        return self.checkpoint(partial(self.run, function), *args)

    def run(self, function: Callable, *args: Any) -> Any:
        self.layer.training = False
        try:
            return function(*args)
        finally:
            self.layer.training = True
