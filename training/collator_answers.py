"""Prompts with the answers that a language model learns to give to them."""

from collections.abc import Sequence
from typing import Any

import torch

from ..processing.prompts import padded

IGNORED = -100  # a label that no loss counts


def with_answers(
    input_ids: torch.LongTensor, attention_mask: torch.Tensor, answers: Sequence[Sequence[int]], tokenizer: Any
) -> dict[str, torch.Tensor]:
    """Each prompt followed by its answer, padded on the right.

    Args:
        input_ids, attention_mask: (batch, length), prompts that are padded on any side.
        answers: token ids, for each prompt as many as it has.
        tokenizer: says what stands on padding.

    Returns:
        `input_ids`, `attention_mask` and `labels`, (batch, longest) int64; see `answer_labels`.
    """
    prompts = [ids[real].tolist() for ids, real in zip(input_ids, attention_mask.bool(), strict=True)]
    rows = [prompt + list(answer) for prompt, answer in zip(prompts, answers, strict=True)]
    data = {name: torch.from_numpy(values) for name, values in padded(rows, tokenizer, "right").items()}
    lengths = torch.tensor([len(answer) for answer in answers])
    return data | {"labels": answer_labels(data["input_ids"], data["attention_mask"], lengths)}


def without_padding(
    labels: torch.LongTensor, attention_mask: torch.Tensor, is_pad: torch.Tensor, behind: int = 0
) -> torch.LongTensor:
    """Labels (batch, length) of right-padded rows with -100 on tokens that are not to be learnt.

    is_pad: (batch, tokens) bool, of the last real tokens but `behind` of each row.
    """
    first = attention_mask.sum(dim=1, keepdim=True) - behind - is_pad.shape[1]
    places = first + torch.arange(is_pad.shape[1])
    return labels.scatter(1, places, labels.gather(1, places).masked_fill(is_pad, IGNORED))


def answer_labels(
    input_ids: torch.LongTensor, attention_mask: torch.Tensor, lengths: torch.LongTensor
) -> torch.LongTensor:
    """(batch, length): the ids of the last `lengths` (batch,) real tokens of right-padded rows, -100 elsewhere."""
    ends = attention_mask.sum(dim=1, keepdim=True)
    place = torch.arange(input_ids.shape[1])
    is_answer = (place >= ends - lengths.unsqueeze(1)) & (place < ends)
    return input_ids.masked_fill(~is_answer, IGNORED)
