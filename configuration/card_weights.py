"""What a card says about the weights that lie beside it: parts, sizes, and what they were seen to predict.

Both stand between comments, since they hold for these weights alone: whoever saves others renews them, see
`with_other_weights` and `card_example.py`.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from .card_example import without_seen
from .card_markdown import code, table

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = ("<!-- sizes of these weights -->", "<!-- end of sizes -->")
# Bytes of one number by safetensors' word for its type and by torch's.
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
TORCH_NAMES = {
    "float64": "F64",
    "int64": "I64",
    "float32": "F32",
    "int32": "I32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
}
SHOWN_NAMES = {name: torch_name for torch_name, name in TORCH_NAMES.items()}


@dataclass(frozen=True)
class Part:
    """One part of a model, the first word of its tensors' names: its parameters and the bytes that they take."""

    name: str
    parameters: int
    bytes: int


def parts_of(tensors: Iterable[tuple[str, str, Iterable[int], Iterable[int]]]) -> list[Part]:
    """The parts, the largest first.

    tensors: name, type (torch's word or safetensors'), shape as it is stored, and shape of the weight that it stands
        for, which differs for a weight of lower precision.
    """
    parameters: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for name, dtype, stored, weight in tensors:
        part = name.split(".")[0]
        parameters[part] += math.prod(weight)
        sizes[part] += math.prod(stored) * BYTES.get(TORCH_NAMES.get(dtype, dtype), 1)
    return [Part(name, parameters[name], sizes[name]) for name in sorted(parameters, key=lambda n: (-sizes[n], n))]


def stored_tensors(folder: Path) -> list[tuple[str, str, list[int], list[int]]]:
    """Name, type, shape and shape of every tensor of a folder, from the headers of its files; none without weights."""
    index = folder / INDEX
    names = [WEIGHTS] if (folder / WEIGHTS).is_file() else []
    if not names and index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    found = []
    for name in names:
        with safe_open(folder / name, "np") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                tensor = file.get_slice(key)
                found.append((key, tensor.get_dtype(), tensor.get_shape(), tensor.get_shape()))
    return found


def reported_tensors(tensors: Mapping[str, Mapping]) -> list[tuple[str, str, list[int], list[int]]]:
    """The same of `tensors` in a conversion report."""
    return [(name, t["dtype"], t["shape"], t.get("of_shape", t["shape"])) for name, t in tensors.items()]


def sizes_block(parts: list[Part], dtype: str, precise: bool = True) -> str:
    """The table of parts between its comments; empty without any.

    precise: whether the numbers of parameters are those of the model: of weights in lower precision, headers tell
        only bytes.
    """
    if not parts:
        return ""
    total = Part("all", sum(p.parameters for p in parts), sum(p.bytes for p in parts))
    shares = ", ".join(f"{code(p.name)} {100 * p.parameters / max(1, total.parameters):.3g} %" for p in parts)
    said = f"Parameters: {total.parameters:,} in {dtype} ({shares})." if precise else f"Weights: {size(total.bytes)}."
    counts = [[f"{p.parameters:,}"] if precise else [] for p in (*parts, total)]
    rows = [[code(p.name), *c, size(p.bytes)] for p, c in zip(parts, counts, strict=False)]
    rows.append(["all", *counts[-1], size(total.bytes)])
    header = ["part", *(["parameters"] if precise else []), "bytes"]
    return between(SIZES, f"{said}\n\n{table(header, rows)}")


def sizes_in(folder: Path, quantized: bool) -> str:
    """The table of the weights that lie in a folder."""
    tensors = stored_tensors(folder)
    types = Counter()
    for _, dtype, shape, _ in tensors:
        types[dtype] += math.prod(shape)
    names = [SHOWN_NAMES.get(name, name) for name, _ in types.most_common()]
    return sizes_block(parts_of(tensors), " and ".join(names), precise=not quantized)


def size(count: int) -> str:
    """Bytes for people, in powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def between(marks: tuple[str, str], text: str) -> str:
    return f"{marks[0]}\n\n{text}\n\n{marks[1]}"


def with_other_weights(card: str, sizes: str) -> str:
    """A card after other weights were saved beside it: their sizes, and nothing that was seen with the former ones."""
    card = without_seen(card)
    return pattern_of(SIZES).sub(lambda _: f"\n\n{sizes}\n\n" if sizes else "\n\n", card)


def pattern_of(marks: tuple[str, str]) -> re.Pattern[str]:
    """From the first mark to the last one: what a model wrote may hold such a mark, too."""
    return re.compile(rf"\n*{re.escape(marks[0])}.*{re.escape(marks[1])}\n*", re.DOTALL)
