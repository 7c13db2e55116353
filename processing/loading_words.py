"""Keyword arguments of `from_pretrained` of a processor: one that nobody would read is refused.

transformers hands all of them on to image processor and tokenizer, and each drops silently what it does not know.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from ..configuration.known_fields import check_arguments

# Where files come from, and what loaders of transformers (Auto classes, pipelines) pass along, on 4.57 and 5.x.
OF_LOADING = frozenset(
    [
        "cache_dir",
        "code_revision",
        "commit_hash",
        "config",
        "device",
        "device_map",
        "dtype",
        "force_download",
        "local_files_only",
        "mirror",
        "proxies",
        "repo_type",
        "resume_download",
        "revision",
        "subfolder",
        "token",
        "torch_dtype",
        "trust_remote_code",
        "use_auth_token",
        "user_agent",
    ]
)
# Of tokenizers, beside their special tokens, which end in `_token`.
OF_TOKENIZERS = frozenset(
    [
        "add_prefix_space",
        "additional_special_tokens",
        "backend",
        "chat_template",
        "clean_up_tokenization_spaces",
        "do_lower_case",
        "extra_special_tokens",
        "fix_mistral_regex",
        "from_slow",
        "gguf_file",
        "legacy",
        "model_input_names",
        "model_max_length",
        "padding_side",
        "split_special_tokens",
        "tokenizer_file",
        "tokenizer_type",
        "truncation_side",
        "use_fast",
        "verbose",
        "vocab_file",
    ]
)


def check_loading_words(kind: type, image_processor: Any, given: Mapping[str, Any]) -> None:
    """Refuse what neither the processor nor its parts nor transformers' loaders have a use for.

    Args:
        kind: class of the processor; image_processor: that was read.
        given: keyword arguments of `from_pretrained`.

    Raises:
        ConfigError: the message names the argument, its value, and what is spelled alike.
    """
    own = constructor_words(kind) | constructor_words(type(image_processor)) | set(vars(image_processor))
    given = {name: value for name, value in given.items() if not name.endswith("_token")}
    check_arguments(f"{kind.__name__}.from_pretrained", given, own | OF_LOADING | OF_TOKENIZERS)


def constructor_words(kind: type) -> set[str]:
    """The named arguments of a class's constructors."""
    found = (inspect.signature(one.__init__).parameters for one in kind.__mro__ if "__init__" in vars(one))
    return {name for names in found for name in names} - {"self", "args", "kwargs"}
