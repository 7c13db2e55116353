"""The tensors of a checkpoint sorted into the parts of its model, by names and headers alone, and the memory they need.

What `vlahub inspect` tells and what a card says is counted here.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .weight_quantization import group_size_of

LANGUAGE_MODEL = "language model"
UNUSED, UNKNOWN = "not used by the model", "unknown"
# torch's words for safetensors' types.
TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}  # others 1
FLOATING = ("float64", "float32", "float16", "bfloat16")
UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
FEWEST_OUTPUTS = 8  # as in quantised_layers.py
# Embeddings, scores of tokens, and the one linear layer of torch's attention that is of a class of its own.
NOT_LINEAR = re.compile(
    r"embed_tokens|(?:embeddings?|pos_embed|embed_positions|lm_head|shared|wte|wpe)\.weight|head\.attention\.out_proj"
)
QUANTISED = ".qweight"
HELPERS = (".weight_scale", ".weight_zero_point")


class PartRow(NamedTuple):
    """The tensors whose names in the model begin with `pattern` belong to `part`."""

    pattern: str
    part: str


@dataclass(frozen=True)
class PartRules:
    """The parts of the models of one family.

    Attributes:
        rows: of several that match a name the first counts.
        order: names of the parts in the order of the data flow. With it a tensor that no row matches is of an unknown
            part; without, the part is the first word of its name.
        pretrained, added: as in the model's class, `pretrained_parts` and `added_parts`.
    """

    rows: Sequence[PartRow] = ()
    order: Sequence[str] = ()
    pretrained: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def part_of(self, name: str) -> str:
        """name: of a tensor in the model."""
        other = UNKNOWN if self.order else name.split(".")[0]
        return next((row.part for row in self.rows if re.match(row.pattern, name)), other)


NO_PARTS = PartRules()
# Of models of transformers that are of no family here.
PLAIN_PARTS = PartRules(
    rows=(
        PartRow(r"(?:.*\.)?(?:vision_tower|vision_model|visual|vision_encoder|vision)\.", "vision tower"),
        PartRow(r"(?:.*\.)?(?:multi_modal_projector|mm_projector|connector|aligner|qformer)\.", "projector"),
        PartRow(
            r"(?:.*\.)?(?:text_model|language_model|model\.layers|model\.embed_tokens|model\.norm)\.", LANGUAGE_MODEL
        ),
        PartRow(r"lm_head\.", LANGUAGE_MODEL),
    )
)


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file, which is not read; dtype: torch's name for it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * BYTES.get(self.dtype, 1)

    @property
    def is_floating(self) -> bool:
        return self.dtype in FLOATING


@dataclass(frozen=True)
class Placed:
    """A tensor under its name in the model, and the part that it is of."""

    tensor: TensorEntry
    name: str
    part: str


@dataclass(frozen=True)
class Part:
    """One part of a model, such as its language model.

    Attributes:
        tensors: how many are stored.
        parameters: numbers that they stand for; scales and zero points of quantised weights are none.
        bytes: as they are stored.
        dtypes: `{dtype: parameters}`; of quantised weights the kind, such as int4.
    """

    name: str
    tensors: int
    parameters: int
    bytes: int
    dtypes: dict[str, int]


@dataclass(frozen=True)
class Memory:
    """Bytes of the weights alone, by what they are held in; `None` where a family's rule for it is not known.

    Attributes:
        stored: as in the files.
        bfloat16: all floating-point numbers in 16 bits.
        int8, int4: after `--quantize`; heads, embeddings and norms stay in 16 bits.
    """

    stored: int
    bfloat16: int
    int8: int | None = None
    int4: int | None = None


def placed(tensors: Iterable[TensorEntry], rules: PartRules) -> list[Placed]:
    """Each tensor of a checkpoint, whose names are those of the model, with its part."""
    return [Placed(tensor, tensor.name, rules.part_of(tensor.name)) for tensor in tensors]


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


def memory_of(tensors: Sequence[Placed], rules: PartRules) -> Memory:
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
    if not rules.pretrained:
        return Memory(stored, whole)
    return Memory(stored, whole, *(sum(quantised(each, rules, kind) for each in used) for kind in ("int8", "int4")))


def half(tensor: TensorEntry) -> int:
    """Bytes in bfloat16; what is not floating stays as it is."""
    return 2 * tensor.size if tensor.is_floating else tensor.bytes


def quantised(each: Placed, rules: PartRules, kind: str) -> int:
    """Bytes of a tensor after `--quantize`: numbers, scales in float32 and, of 4 bits, zero points of a byte."""
    tensor = each.tensor
    if not is_quantised(each, rules):
        return half(tensor)
    rows, columns = tensor.shape
    if kind == "int4":
        own = each.part == LANGUAGE_MODEL and not any(word in rules.added for word in each.name.split("."))
        size = group_size_of(kind, columns)
        if own and size is not None and rows >= columns:
            return rows * columns // 2 + rows * (columns // size) * 5
    return rows * columns + 4 * rows


def is_quantised(each: Placed, rules: PartRules) -> bool:
    """Whether it is the weight of a linear layer inside of a pretrained part, by its name and shape."""
    tensor, name = each.tensor, each.name
    return (
        len(tensor.shape) == 2
        and tensor.is_floating
        and tensor.shape[0] >= FEWEST_OUTPUTS
        and name.endswith(".weight")
        and name.split(".")[0] in rules.pretrained
        and not NOT_LINEAR.search(name)
    )


def size_text(size: int) -> str:
    """Bytes for people, in powers of ten: `19100000` -> `19.1 MB`."""
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 1000 * unit else f"{size / unit:,.0f} {name}"
    return f"{size} B"
