"""Encoders and decoders of several robots in one model, a set of weights each (GR00T N1, arXiv 2503.14734).

Upstream: NVIDIA/Isaac-GR00T, gr00t/model/action_head/flow_matching_action_head.py, `CategorySpecificLinear`.
"""

import math
from typing import Any

import torch
from torch import nn

from ..configuration.vla_errors import InputError


class EmbodimentLinear(nn.Module):
    """A linear layer for each embodiment.

    (batch, tokens, in_features) and ids (batch,) -> (batch, tokens, out_features); NaN for a row whose id is negative,
    which as an index would count from the last: values are not looked at on every device (`check_embodiments`).
    """

    def __init__(self, num_embodiments: int, in_features: int, out_features: int):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(num_embodiments, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(num_embodiments, out_features))
        bound = 1 / math.sqrt(in_features)  # as in torch's linear layers
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, features: torch.Tensor, embodiment_id: torch.LongTensor) -> torch.Tensor:
        bias = self.bias[embodiment_id].masked_fill(embodiment_id[:, None] < 0, math.nan)
        return torch.baddbmm(bias[:, None], features, self.weight[embodiment_id].mT)


def linear_for(num_embodiments: int, in_features: int, out_features: int) -> nn.Module:
    """A plain layer where there is one embodiment, else one that takes the ids as well."""
    if num_embodiments == 1:
        return nn.Linear(in_features, out_features)
    return EmbodimentLinear(num_embodiments, in_features, out_features)


def init_embodiment_weights(module: nn.Module, std: float) -> None:
    """Of `_init_weights`: as transformers does with linear layers."""
    if isinstance(module, EmbodimentLinear):
        nn.init.normal_(module.weight, std=std)
        nn.init.zeros_(module.bias)


def ids_given(embodiment_id: torch.LongTensor | None) -> tuple[torch.LongTensor, ...]:
    """The further arguments of a layer by `linear_for`."""
    return () if embodiment_id is None else (embodiment_id,)


def check_embodiments(num_embodiments: int, embodiment_id: Any, batch_size: int) -> None:
    """Refuse ids where there is one embodiment, their absence where there are several, another form, and, where looking
    costs no wait for a device, ids without weights.

    Raises:
        InputError: the message says what is needed.
    """
    if num_embodiments == 1:
        if embodiment_id is not None:
            raise InputError("embodiment_id was given, but this model has one embodiment (num_embodiments is 1).")
        return
    if embodiment_id is None:
        raise InputError(
            f"embodiment_id is missing: this model has {num_embodiments} embodiments; pass (batch,) ids from 0 to "
            f"{num_embodiments - 1}."
        )
    whole = isinstance(embodiment_id, torch.Tensor) and embodiment_id.dtype in (torch.int64, torch.int32)
    if not whole or embodiment_id.shape != (batch_size,):
        form = f"{embodiment_id.dtype} of shape {tuple(embodiment_id.shape)}" if hasattr(embodiment_id, "shape") else ""
        raise InputError(
            f"embodiment_id is {form or repr(embodiment_id)}; a tensor of whole numbers of shape ({batch_size},) is "
            "needed."
        )
    if embodiment_id.device.type == "cpu" and not torch.compiler.is_compiling():
        check_known(num_embodiments, embodiment_id)


def check_known(num_embodiments: int, embodiment_id: torch.LongTensor) -> None:
    """Look at ids (batch,) on the CPU. Raises InputError for one without weights."""
    for row, number in enumerate(embodiment_id.numpy()):
        if not 0 <= number < num_embodiments:
            raise InputError(f"embodiment_id[{row}] is {number}; the model has embodiments 0 to {num_embodiments - 1}.")
