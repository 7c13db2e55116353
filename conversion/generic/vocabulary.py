"""What a config says about the vocabulary: its size, and whether both ends of the model share one matrix."""

import copy
from collections.abc import Iterator

from transformers import PretrainedConfig


def vocabulary_paths(config: PretrainedConfig, rows: int) -> Iterator[tuple[str, ...]]:
    """Where a config, or one inside it, says that the vocabulary has `rows` entries."""
    if getattr(config, "vocab_size", None) == rows:
        yield ()
    for name, inner in vars(config).items():
        if isinstance(inner, PretrainedConfig):
            yield from ((name, *path) for path in vocabulary_paths(inner, rows))


def untied(config: dict, loaded: PretrainedConfig, rows: int) -> dict:
    """config.json of a model whose input and output embeddings differ: every level that both lines ask says so."""
    paths = set(vocabulary_paths(loaded, rows))
    levels = {path[:depth] for path in paths for depth in range(len(path) + 1)} | {()}
    return with_value(config, levels, "tie_word_embeddings", False)


def with_vocabulary(config: dict, loaded: PretrainedConfig, old: int, new: int) -> dict:
    """config.json of a model with `new` rows of embeddings."""
    return with_value(config, set(vocabulary_paths(loaded, old)), "vocab_size", new)


def with_value(config: dict, levels: set[tuple[str, ...]], name: str, value: object) -> dict:
    config = copy.deepcopy(config)
    for path in levels:
        level = config
        for part in path:
            level = level.setdefault(part, {})
        level[name] = value
    return config
