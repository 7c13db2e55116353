"""The tokenizer that lies in the same checkpoint as a model."""

from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from ..adapter_loading import MISSING_IS_NONE, hub_arguments


def load_tokenizer(name_or_path: Any, kwargs: dict[str, Any]) -> PreTrainedTokenizerFast | None:
    """`None` where the checkpoint has none. kwargs: those of the model's `from_pretrained`."""
    given = hub_arguments(kwargs)
    if name_or_path is None or cached_file(name_or_path, "tokenizer_config.json", **given, **MISSING_IS_NONE) is None:
        return None
    return PreTrainedTokenizerFast.from_pretrained(name_or_path, **given)  # the class that our processors write
