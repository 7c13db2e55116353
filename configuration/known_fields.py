"""Keyword arguments of configs and builders: a name that nobody knows is an error and not a setting without effect.

transformers keeps whatever a config is given. A file may hold fields of another release of it, so what is read from one
passes; what a caller writes is checked.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from transformers import GenerationConfig, PretrainedConfig

from .checkpoint_json import reading_fields
from .language_model_config import check_sizes
from .vla_errors import ConfigError
from .words_of_loaders import OF_LOADING, OF_MODELS

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

# Of transformers' classifiers: a model of actions has no use for them.
OF_CLASSIFIERS = ("num_labels", "id2label", "label2id", "problem_type")


class KnownFieldsConfig(PretrainedConfig):
    """A config whose constructor refuses unknown names, while those in a file are kept as transformers keeps them.

    A constructor is decorated with `keeps_arguments`. A field goes by more than one word where `attribute_map` says so,
    `{another word: the key on disk}`: all of them are readable, writable and arguments of the constructor.
    """

    shared_fields = frozenset()  # of all families, beside the arguments of a constructor
    further_fields = frozenset()  # of published files, to be kept as they are; no annotation: 5.x takes it for a field

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__eq__ = PretrainedConfig.__eq__  # 5.x makes each class a dataclass, whose own sees annotated fields alone

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in transformers.

        Raises:
            ConfigError: see `settable`.
        """
        fields = {name: read_nested(cls, name, value) for name, value in config_dict.items()}
        known = known_fields(cls)
        read = {name: value for name, value in fields.items() if is_known(name, known)}
        found = super().from_dict(read, **settable(cls, kwargs))
        config = found[0] if isinstance(found, tuple) else found
        for name, value in fields.items():
            if not is_known(name, known):
                setattr(config, name, value)
        return found


def read_nested(kind: type[KnownFieldsConfig], name: str, value: Any) -> Any:
    """A nested config of ours from a file's dict, anything else as it is."""
    part = part_of(kind, name)
    return part.from_dict(value) if part and isinstance(value, Mapping) else value


def settable(kind: type[KnownFieldsConfig], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `from_dict` as transformers can set them, one after the other: each field once, and what follows
    from others behind them, as in the constructor; in a nested config of ours by the keys of the dict that it updates.

    Raises:
        ConfigError: two words for one field come with different values.
    """
    given = in_own_words(kind, changes)
    for name, value in given.items():
        if (part := part_of(kind, name)) and isinstance(value, Mapping):
            own = in_own_words(part, value)
            given[name] = {part.attribute_map.get(word, word): field for word, field in own.items()}
    return dict(sorted(given.items(), key=lambda item: isinstance(getattr(kind, item[0], None), property)))


def part_of(kind: type[KnownFieldsConfig], name: str) -> type[KnownFieldsConfig] | None:
    """The class of a nested config, if it is ours."""
    part = kind.sub_configs.get(name) if isinstance(kind.sub_configs, Mapping) else None
    return part if isinstance(part, type) and issubclass(part, KnownFieldsConfig) else None


def known_fields(kind: type[KnownFieldsConfig]) -> set[str]:
    """The names that a config class takes, its own and those of transformers."""
    return own_arguments(kind).union(
        kind.shared_fields, vars(PretrainedConfig()), vars(GenerationConfig()), OF_TRANSFORMERS
    )


def own_arguments(kind: type[KnownFieldsConfig]) -> set[str]:
    """The names that a config class takes beside those of transformers, by all of their words."""
    own = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    keys = {kind.attribute_map.get(name, name) for name in own}
    return own.union(keys, (word for word, key in kind.attribute_map.items() if key in keys))


def keeps_arguments(construct: Callable[..., None]) -> Callable[..., None]:
    """Decorates the `__init__` of a `KnownFieldsConfig`: its arguments are attributes before it runs.

    It has to set only those of which the config has something else than what was given, and properties, which are left
    to it. Arguments may be given by any of their words.

    Raises:
        ConfigError: on a call with a name that is unknown, with two words for one field and different values, with a
            value that nothing can be made of, or with a size beyond all memory.
    """
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def constructed(self: KnownFieldsConfig, *values: Any, **given: Any) -> None:
        kind = type(self)
        check_arguments(kind.__name__, given, known_fields(kind) | kind.further_fields)
        bound = signature.bind(self, *values, **in_own_words(kind, given))
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if name not in ("self", "kwargs") and not isinstance(getattr(kind, name, None), property):
                setattr(self, name, value)
        with reading_fields(kind.__name__):
            check_sizes(given)
            construct(*bound.args, **bound.kwargs)

    return constructed


def in_own_words(kind: type[KnownFieldsConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments by the words that the constructor's signature has for them.

    Raises:
        ConfigError: two words for one field come with different values.
    """
    parameters = inspect.signature(kind.__init__).parameters
    own = {kind.attribute_map.get(word, word): word for word in parameters}  # {key on disk: argument}
    found: dict[str, Any] = {}
    words: dict[str, str] = {}
    for word, value in given.items():
        key = kind.attribute_map.get(word, word)
        name = own.get(key, key)
        if name in found and not (found[name] is value or found[name] == value):
            raise ConfigError(
                f"{kind.__name__} has {words[name]}={found[name]!r} and {word}={value!r}, two words for one field; "
                "give one of them."
            )
        found[name], words[name] = value, word
    return found


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


def check_changes(kind: type[KnownFieldsConfig], changes: Mapping[str, Any]) -> None:
    """Refuse arguments of `from_pretrained` that would change what is no field of a family, or what nothing reads.

    Raises:
        ConfigError: the message names the argument and its value.
    """
    known = known_fields(kind)
    for name, value in changes.items():
        if name in OF_CLASSIFIERS:
            raise ConfigError(
                f"{name}={value!r} is of classifiers, and nothing here reads it; the outputs are num_action_chunks "
                "actions of action_dim numbers each."
            )
        if hasattr(kind, name) and not is_known(name, known):
            raise ConfigError(
                f"{name}={value!r} cannot be given to a {kind.__name__}: it is no field of this family's config; leave "
                "it out."
            )


def check_read(kind: type[KnownFieldsConfig], rest: Mapping[str, Any]) -> None:
    """Refuse what is left of the arguments of `from_pretrained`, but for what loaders pass along.

    Raises:
        ConfigError: nothing reads one; the message names it, its value, and what is spelled alike.
    """
    passed_along = OF_LOADING | OF_MODELS
    known = known_fields(kind) | passed_along
    check_arguments(f"{kind.__name__}.from_pretrained", rest, known - (rest.keys() - passed_along))


def check_attention(kind: type[KnownFieldsConfig], attn_implementation: Any) -> None:
    """Refuse an `attn_implementation` for a part that a family's config has not.

    Raises:
        ConfigError: the message names the part, and those that there are.
    """
    if not isinstance(attn_implementation, Mapping):
        return
    parts = {name for name in own_arguments(kind) if name.endswith("_config")}
    unknown = sorted(name for name in attn_implementation if name and name not in parts)
    if unknown:
        raise ConfigError(
            f"attn_implementation={attn_implementation!r} names {', '.join(map(repr, unknown))}; the parts of a "
            f"{kind.__name__} are {', '.join(map(repr, sorted(parts)))}, and '' is the model."
        )
