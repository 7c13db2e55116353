"""Prompts for transformers' `generate`, which writes behind the last place of each row: their padding has to be before
them, while a processor puts it behind them unless it is told otherwise."""

from collections.abc import Mapping
from typing import Any

import torch

from ..configuration.vla_errors import InputError


def padding_before(real: torch.Tensor, *tensors: torch.Tensor) -> list[torch.Tensor]:
    """A mask (batch, length) and tensors (batch, length, ...) with padding before all tokens; real: 0 on padding."""
    order = real.ne(0).long().argsort(dim=1, stable=True)
    rows = torch.arange(len(order), device=order.device)[:, None]
    return [each[rows, order] for each in (real, *tensors)]


def refuse_embeds(kwargs: Mapping[str, Any]) -> None:
    """Raises InputError for prompts as embeddings among the arguments of a `generate` that reads tokens."""
    if kwargs.get("inputs_embeds") is not None:
        raise InputError("inputs_embeds: generate reads input_ids, and puts images in their places; leave it out.")


def with_prompts(output: Any, input_ids: torch.LongTensor) -> Any:
    """What `generate` returned, prompts and what was written, with the prompts (batch, length) padded as the caller had
    them; output: sequences (batch * copies, length + written), or a dict-like object that holds them."""
    sequences = output if isinstance(output, torch.Tensor) else output.sequences
    copies = len(sequences) // len(input_ids)
    sequences[:, : input_ids.shape[1]] = input_ids.repeat_interleave(copies, dim=0)
    return output
