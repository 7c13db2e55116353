"""What transformers 5.0 to 5.17 leaves out of an adapter that it loads into a model: the tensors of modules that it
replaces whole (`modules_to_save`), and on 5.1 to 5.6 others, of which it says nothing."""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..configuration.transformers_release import RELEASE

LEAVES_OUT = (5, 0) <= RELEASE < (5, 18)
PEFT_PREFIX = "base_model.model."


def fill_by_peft(
    model: nn.Module, place: Any, name: str, state: Mapping[str, torch.Tensor] | None, files: Mapping[str, Any]
) -> None:
    """Put every tensor of an adapter where PEFT puts it, as transformers 4.57 does.

    model: has the adapter's modules already; place: the adapter's folder or repository; state: its tensors, where the
    caller has them; files: the arguments that say which files of the place are meant.

    Raises:
        RuntimeError: tensors of other shapes than the model's; the message names them.
    """
    # By name: transformers asks whoever loads a checkpoint for all that its files import, and PEFT is for adapters.
    peft = importlib.import_module("peft.utils.save_and_load")
    if state is None:
        others = {key: value for key, value in files.items() if value is not None}
        state = peft.load_peft_weights(str(place), device="cpu", **others)
    tensors = {key.removeprefix(PEFT_PREFIX): tensor for key, tensor in state.items()}
    peft.set_peft_model_state_dict(model, tensors, name)
