"""Keyword arguments of configs and builders: a name that nobody knows is an error and not a setting without effect.

transformers keeps whatever a config is given. A file may hold fields of another release of it, so what is read from one
passes; what a caller writes is checked.
"""

import difflib
import inspect
from collections.abc import Collection, Mapping
from typing import Any

from transformers import GenerationConfig, PretrainedConfig

from .vla_errors import ConfigError

# What every config of transformers takes on 4.57, on 5.x, or in their loading functions.
OF_TRANSFORMERS = frozenset(
    [
        "add_cross_attention",
        "architectures",
        "attn_implementation",
        "auto_map",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "experts_implementation",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "id2label",
        "is_decoder",
        "is_encoder_decoder",
        "label2id",
        "length_penalty",
        "max_length",
        "min_length",
        "model_type",
        "name_or_path",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_labels",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "pad_token_id",
        "prefix",
        "problem_type",
        "processor_class",
        "pruned_heads",
        "quantization_config",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tie_word_embeddings",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
    ]
)


class KnownFieldsConfig(PretrainedConfig):
    """A config whose constructor refuses unknown names, while those in a file are kept as transformers keeps them.

    A constructor calls `check_arguments(type(self).__name__, kwargs, known_fields(type(self)))`.
    """

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in transformers."""
        fields = {name: read_nested(cls, name, value) for name, value in config_dict.items()}
        known = known_fields(cls)
        found = super().from_dict({name: value for name, value in fields.items() if is_known(name, known)}, **kwargs)
        config = found[0] if isinstance(found, tuple) else found
        for name, value in fields.items():
            if not is_known(name, known):
                setattr(config, name, value)
        return found


def read_nested(kind: type[KnownFieldsConfig], name: str, value: Any) -> Any:
    """A nested config of ours from a file's dict, anything else as it is."""
    part = kind.sub_configs.get(name) if isinstance(kind.sub_configs, Mapping) else None
    is_ours = isinstance(part, type) and issubclass(part, KnownFieldsConfig)
    return part.from_dict(value) if is_ours and isinstance(value, Mapping) else value


def known_fields(kind: type[PretrainedConfig]) -> set[str]:
    """The names that a config class takes, its own and those of transformers."""
    own = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    return own.union(kind.attribute_map, vars(PretrainedConfig()), vars(GenerationConfig()), OF_TRANSFORMERS)


def is_known(name: str, known: Collection[str]) -> bool:
    """Names with an underscore in front are transformers' own book-keeping."""
    return name in known or name.startswith("_")


def check_arguments(owner: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse keyword arguments that `owner` does not know.

    Raises:
        ConfigError: there is one; the message names it, its value, and what is spelled alike.
    """
    for name, value in given.items():
        if not is_known(name, known):
            alike = difflib.get_close_matches(name, sorted(known), n=3)
            hint = f"did you mean {' or '.join(alike)}?" if alike else f"help(vlahub.{owner}) lists those there are."
            raise ConfigError(f"{owner} has no argument {name}={value!r}; {hint}")
