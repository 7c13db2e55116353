"""Tensors sorted into the parts of a model, and the memory that they need."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_quantization import group_size_of
from ..family_inspection import LANGUAGE_MODEL, FamilyInspection, PartRow
from ..tensors.rename import Row, rename
from .headers import TensorEntry
from .inspection import Memory, Part

UNUSED, UNKNOWN = "not used by the model", "unknown"
# Of models of transformers that are of no family here.
PLAIN_PARTS = (
    PartRow(r"(?:.*\.)?(?:vision_tower|vision_model|visual|vision_encoder|vision)\.", "vision tower"),
    PartRow(r"(?:.*\.)?(?:multi_modal_projector|mm_projector|connector|aligner|qformer)\.", "projector"),
    PartRow(r"(?:.*\.)?(?:text_model|language_model|model\.layers|model\.embed_tokens|model\.norm)\.", LANGUAGE_MODEL),
    PartRow(r"lm_head\.", LANGUAGE_MODEL),
)
FEWEST_OUTPUTS = 8  # as in quantised_layers.py
# Embeddings, scores of tokens, and the one linear layer of torch's attention that is of a class of its own.
NOT_LINEAR = re.compile(
    r"embed_tokens|(?:embeddings?|pos_embed|embed_positions|lm_head|shared|wte|wpe)\.weight|head\.attention\.out_proj"
)
QUANTISED = ".qweight"
HELPERS = (".weight_scale", ".weight_zero_point")


@dataclass(frozen=True)
class Placed:
    """A tensor under its name in the model, and the part that it is of."""

    tensor: TensorEntry
    name: str
    part: str


def placed(tensors: Iterable[TensorEntry], family: FamilyInspection | None, table: Sequence[Row] = ()) -> list[Placed]:
    """Each tensor with its part.

    Args:
        family: `None` for a model of no family here.
        table: from published names to those of the model; empty where the files have the model's own.
    """
    rows = PLAIN_PARTS if family is None else family.parts
    found = []
    for tensor in tensors:
        name = in_model(tensor, table)
        first = tensor.name.split(".")[0] if family is None else UNKNOWN
        part = UNUSED if name is None else next((row.part for row in rows if re.match(row.pattern, name)), first)
        found.append(Placed(tensor, name or tensor.name, part))
    return found


def in_model(tensor: TensorEntry, table: Sequence[Row]) -> str | None:
    """The name of a tensor in the model; its own where no row knows it, `None` where the model has no use for it."""
    if not table:
        return tensor.name
    try:
        return rename(tensor.name, table, tensor.file).target
    except ConversionError:
        return tensor.name


def parts_of(tensors: Sequence[Placed], order: Sequence[str]) -> list[Part]:
    """Sums by part, in the order of the data flow; what is not used or known comes last."""
    names = {tensor.part for tensor in tensors}
    later = [*sorted(names - set(order) - {UNUSED, UNKNOWN}), UNUSED, UNKNOWN]
    int4 = packed(tensors)
    return [
        part_of(name, [tensor for tensor in tensors if tensor.part == name], int4)
        for name in [*order, *later]
        if name in names
    ]


def part_of(name: str, tensors: Sequence[Placed], int4: set[str]) -> Part:
    dtypes: dict[str, int] = {}
    for each in tensors:
        if size := parameters_of(each.tensor, int4):
            kind = dtype_of(each.tensor, int4)
            dtypes[kind] = dtypes.get(kind, 0) + size
    return Part(
        name=name,
        tensors=len(tensors),
        parameters=sum(dtypes.values()),
        bytes=sum(each.tensor.bytes for each in tensors),
        dtypes=dict(sorted(dtypes.items(), key=lambda pair: (-pair[1], pair[0]))),
    )


def packed(tensors: Iterable[Placed]) -> set[str]:
    """Names of quantised weights of which two are in a byte: they have zero points."""
    names = (each.tensor.name for each in tensors)
    return {name.removesuffix(HELPERS[1]) + QUANTISED for name in names if name.endswith(HELPERS[1])}


def parameters_of(tensor: TensorEntry, int4: set[str]) -> int:
    """Numbers that a stored tensor stands for."""
    if tensor.name.endswith(HELPERS):
        return 0
    return tensor.size * (2 if tensor.name in int4 else 1)


def dtype_of(tensor: TensorEntry, int4: set[str]) -> str:
    if not tensor.name.endswith(QUANTISED):
        return tensor.dtype
    return "int4" if tensor.name in int4 else "int8" if tensor.dtype == "int8" else "fp8"


def memory_of(tensors: Sequence[Placed], family: FamilyInspection | None) -> Memory:
    """Of the weights that a model uses; int8 and int4 as `--quantize` would store them (see quantised_layers.py)."""
    used = [each for each in tensors if each.part != UNUSED]
    stored, whole = sum(each.tensor.bytes for each in used), sum(half(each.tensor) for each in used)
    if any(each.tensor.name.endswith(QUANTISED) for each in used):
        int4 = packed(used)
        halved = [each.tensor for each in used if not each.tensor.name.endswith(HELPERS)]
        numbers = sum(
            2 * parameters_of(tensor, int4) if tensor.name.endswith(QUANTISED) else half(tensor) for tensor in halved
        )
        return Memory(stored, numbers)
    if family is None or not family.pretrained:
        return Memory(stored, whole)
    return Memory(stored, whole, *(sum(quantised(each, family, kind) for each in used) for kind in ("int8", "int4")))


def half(tensor: TensorEntry) -> int:
    """Bytes in bfloat16; what is not floating stays as it is."""
    return 2 * tensor.size if tensor.is_floating else tensor.bytes


def quantised(each: Placed, family: FamilyInspection, kind: str) -> int:
    """Bytes of a tensor after `--quantize`: numbers, scales in float32 and, of 4 bits, zero points of a byte."""
    tensor = each.tensor
    if not is_quantised(each, family):
        return half(tensor)
    rows, columns = tensor.shape
    if kind == "int4":
        own = each.part == LANGUAGE_MODEL and not any(word in family.added for word in each.name.split("."))
        size = group_size_of(kind, columns)
        if own and size is not None and rows >= columns:
            return rows * columns // 2 + rows * (columns // size) * 5
    return rows * columns + 4 * rows


def is_quantised(each: Placed, family: FamilyInspection) -> bool:
    """Whether it is the weight of a linear layer inside of a pretrained part, by its name and shape."""
    tensor, name = each.tensor, each.name
    return (
        len(tensor.shape) == 2
        and tensor.is_floating
        and tensor.shape[0] >= FEWEST_OUTPUTS
        and name.endswith(".weight")
        and name.split(".")[0] in family.pretrained
        and not NOT_LINEAR.search(name)
    )
