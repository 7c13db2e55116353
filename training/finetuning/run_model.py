"""The model of a fine-tune: loaded, with what shall train, and looked at in its first forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel, TrainingArguments

from ...configuration.checkpoint_place import check_family_of_folder, check_place
from ..collators import COLLATORS
from ..lora_config import lora_config
from ..quantization import quantization_config
from ..training_stages import trainable_parameter_groups
from ..unreached import freeze_outside, loss_of_batch, set_stop_gradient
from .options import FinetuneOptions


@dataclass
class FirstPass:
    """What one example says of a model: its loss, and the bytes that its backward pass needs beside weights."""

    loss: float
    activation_bytes: int


def check_is_ours(place: str) -> None:
    """Refuse what is no checkpoint of a family known here, before transformers says so in its own words.

    Raises:
        CheckpointError: the message says what there is instead, and what makes a checkpoint of it.
    """
    check_place(place, ("config.json",))
    check_family_of_folder(place, None, None, tuple(COLLATORS), "a training")


def load_model(options: FinetuneOptions) -> PreTrainedModel:
    """The checkpoint in the dtype of the options, or its language model in 4 bits."""
    more: dict[str, Any] = {"dtype": getattr(torch, options.dtype)}
    if options.quantize:
        more["quantization_config"] = quantization_config(AutoConfig.from_pretrained(options.model))
    return AutoModelForImageTextToText.from_pretrained(options.model, **more)


def with_what_trains(
    model: PreTrainedModel, options: FinetuneOptions, arguments: TrainingArguments
) -> tuple[nn.Module, list[dict[str, Any]] | None]:
    """The model, inside PEFT for LoRA, with what shall train; and the optimiser's groups, `None` for LoRA."""
    from peft import get_peft_model, prepare_model_for_kbit_training  # slow to import

    only: dict[str, Any] = {"action_loss_only": not options.learns_text}
    if options.stop_grad_from_vlm is not None:
        set_stop_gradient(model, options.stop_grad_from_vlm, options.train != "A", options.learns_text)
    if options.train == "lora":
        if options.quantize:
            model = prepare_model_for_kbit_training(model, bool(arguments.gradient_checkpointing))
        return get_peft_model(model, lora_config(model, options.rank, options.alpha, **only)), None
    layers = options.top_layers if options.train == "B" else 0
    only |= {"vision_lr_scale": options.vision_lr_scale, "lr": arguments.learning_rate}
    groups = trainable_parameter_groups(model, options.train, layers, options.backbone_lr_scale, **only)
    return model, groups


def first_pass(model: nn.Module, batch: Mapping[str, Any]) -> FirstPass:
    """Run one example, and freeze what its loss does not depend on, as distributed training needs it.

    What autograd keeps for the backward pass is counted once for each storage, without the model's own weights: that is
    measured, in the dtype of the weights and without checkpointing.

    Raises:
        InputError: see `freeze_unreached`.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of_batch(model, batch)
    freeze_outside(model, loss)
    return FirstPass(float(loss.detach()), sum(kept.values()))
