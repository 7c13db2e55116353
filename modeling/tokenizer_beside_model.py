"""The tokenizer that lies in the same checkpoint as a model."""

from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


def load_tokenizer(name_or_path: Any, kwargs: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """`None` where the checkpoint has none. kwargs: those of the model's `from_pretrained`."""
    given = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
    try:
        return AutoTokenizer.from_pretrained(name_or_path, **given)
    except (OSError, ValueError):
        return None
