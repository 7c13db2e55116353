"""What Alpamayo-R1 wrote, taken apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.reasoning_text import split_text


def split_ids(tokenizer: Any, token_ids: Any, skip_special_tokens: bool) -> dict[str, Any]:
    """See `AlpamayoR1Processor.split_reasoning`."""
    ids = np.asarray(token_ids.cpu() if isinstance(token_ids, torch.Tensor) else token_ids)
    if ids.ndim not in (1, 2):
        raise InputError(f"token_ids has shape {ids.shape}; accepted is (length,) or (rows, length).")
    texts = [tokenizer.decode(row, skip_special_tokens=False) for row in np.atleast_2d(ids).tolist()]
    parts = split_text(texts)
    if skip_special_tokens:
        special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        parts = {part: [without(text, special) for text in texts] for part, texts in parts.items()}
    return parts if ids.ndim == 2 else {part: texts[0] for part, texts in parts.items()}


def without(text: str, tokens: Sequence[str]) -> str:
    for token in tokens:
        text = text.replace(token, "")
    return text.strip()
