"""The vocabulary: what a config says of its size and of ends that share a matrix; embeddings that grew in training."""

import copy
from collections.abc import Iterator

from transformers import PretrainedConfig

from ...configuration.vla_errors import ConversionError
from ..tensors.plan import SourceTensor
from .merged_base import MergedBase


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


def grown_names(merged: MergedBase, whole: dict[str, SourceTensor]) -> list[str]:
    """The embeddings that were resized in training: input and output alike, each as the adapter calls it.

    Raises:
        ConversionError: only one of them was, or they differ in size, or an earlier adapter's have more rows.
    """
    if merged.model is None:
        return []
    names = {merged.model.translation.of(name).name: name for name in whole}
    ends = [name for name in merged.model.ends if name in merged.model.parameters]
    known = [end for end in ends if merged.stored(merged.group(end))]
    base_rows = {end: merged.planned(end)[0].info.shape[0] for end in known}
    rows = {end: rows_at(merged, end, names, whole) or base_rows[end] for end in base_rows}
    if rows == base_rows:
        return []
    if len(set(rows.values())) > 1:
        sizes = " and ".join(f"{count} rows of {end}" for end, count in rows.items())
        raise ConversionError(
            f"the adapter resized one end of the vocabulary and not the other: there would be {sizes}; save it again "
            "with save_embedding_layers=True, or with both in modules_to_save."
        )
    (new,), before = set(rows.values()), max(base_rows.values())
    if new < before > merged.model.vocabulary:
        raise ConversionError(
            f"the adapter has embeddings of {new} rows, but an adapter before it has {before}, whose tokens would "
            "be lost: train the later one on what the earlier was merged into."
        )
    return [names[end] for end in ends if end in names]


def rows_at(merged: MergedBase, end: str, names: dict[str, str], whole: dict[str, SourceTensor]) -> int | None:
    """How many rows the adapter's own tensor for an embedding has, under any name that shares it."""
    found = [whole[names[name]].shape[0] for name in (end, *merged.group(end)) if name in names]
    return found[0] if found else None
