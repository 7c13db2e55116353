"""Tensors under published names sorted into the parts of a model."""

from collections.abc import Iterable, Sequence

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_parts import UNUSED, PartRules, Placed, TensorEntry
from ..tensors.rename import Row, rename


def renamed(tensors: Iterable[TensorEntry], rules: PartRules, table: Sequence[Row] = ()) -> list[Placed]:
    """Each tensor with its part.

    table: from published names to those of the model; empty where the files have the model's own.
    """
    found = []
    for tensor in tensors:
        name = in_model(tensor, table)
        found.append(Placed(tensor, name or tensor.name, UNUSED if name is None else rules.part_of(name)))
    return found


def in_model(tensor: TensorEntry, table: Sequence[Row]) -> str | None:
    """The name of a tensor in the model; its own where no row knows it, `None` where the model has no use for it."""
    if not table:
        return tensor.name
    try:
        return rename(tensor.name, table, tensor.file).target
    except ConversionError:
        return tensor.name
