"""Embeddings that were resized in training: an adapter that holds both ends whole makes the base's of its size."""

from ...configuration.vla_errors import ConversionError
from ..tensors.plan import SourceTensor
from .merged_base import MergedBase


def grown_names(merged: MergedBase, whole: dict[str, SourceTensor]) -> list[str]:
    """The embeddings that were resized in training: input and output alike, each as the adapter calls it.

    Raises:
        ConversionError: only one of them was, or they differ in size.
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
    return [names[end] for end in ends if end in names]


def rows_at(merged: MergedBase, end: str, names: dict[str, str], whole: dict[str, SourceTensor]) -> int | None:
    """How many rows the adapter's own tensor for an embedding has, under any name that shares it."""
    found = [whole[names[name]].shape[0] for name in (end, *merged.group(end)) if name in names]
    return found[0] if found else None
