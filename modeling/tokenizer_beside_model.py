"""The tokenizer that lies in the same checkpoint as a model."""

from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


def load_tokenizer(name_or_path: Any, kwargs: dict[str, Any]) -> PreTrainedTokenizerFast | None:
    """`None` where the checkpoint has none. kwargs: those of the model's `from_pretrained`."""
    given = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
    missing_is_none = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    if name_or_path is None or cached_file(name_or_path, "tokenizer_config.json", **given, **missing_is_none) is None:
        return None
    return PreTrainedTokenizerFast.from_pretrained(name_or_path, **given)  # the class that our processors write
