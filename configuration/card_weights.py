"""What a card says about the weights that lie beside it: parts, sizes, and what they were seen to predict.

Both stand between comments, since they hold for these weights alone: whoever saves others renews them, see
`with_other_weights` and `card_example.py`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from .card_example import without_seen
from .card_markdown import code, details, sections, table, words
from .checkpoint_weights import files_of_weights
from .former_card import without_former_sizes
from .vla_errors import CheckpointError
from .weight_parts import TORCH_NAMES, Part, PartRules, TensorEntry, memory_of, parts_of, placed, size_text

SIZES = ("<!-- sizes of these weights -->", "<!-- end of sizes -->")
LOWER_PRECISION = """The weights of linear layers are stored in lower precision ({kind}) and multiplied in the dtype of
what they are given; all else, policy heads and embeddings among it, is stored as it was.{size}"""
HEADER = ("part", "parameters", "share", "bytes", "stored as")


def stored_tensors(folder: Path) -> list[TensorEntry]:
    """The tensors of a folder, from the headers of its files; none without weights.

    Raises:
        CheckpointError: a file is damaged, or see `files_of_weights`.
    """
    found = []
    for path in files_of_weights(folder):
        try:
            found += tensors_of_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path} cannot be read as safetensors: {error}; fetch the file again.") from error
    return found


def tensors_of_file(path: Path) -> list[TensorEntry]:
    with safe_open(path, "np") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        kinds = {key: each.get_dtype() for key, each in slices.items()}
        return [
            TensorEntry(key, TORCH_NAMES.get(kinds[key], kinds[key].lower()), tuple(each.get_shape()), path.name)
            for key, each in slices.items()
        ]


def reported_tensors(tensors: Mapping[str, Mapping]) -> list[TensorEntry]:
    """The same of `tensors` in a conversion report."""
    return [TensorEntry(name, tensor["dtype"], tuple(tensor["shape"])) for name, tensor in tensors.items()]


def sizes_block(tensors: Sequence[TensorEntry], rules: PartRules) -> str:
    """Parts and memory of the tensors of a model, as `vlahub inspect` has them, between comments; empty without any."""
    found = placed(tensors, rules)
    if not found:
        return ""
    parts, memory = parts_of(found, rules.order), memory_of(found, rules)
    total = sum(part.parameters for part in parts)
    rows = [part_cells(part, total) for part in parts]
    rows.append(["all", f"{total:,}", "", size_text(memory.stored), ""])
    others = {"in bfloat16": memory.bfloat16, "in int8": memory.int8, "in int4": memory.int4}
    needs = [f"{size_text(size)} {how}" for how, size in others.items() if size not in (None, memory.stored)]
    needs = [f"{size_text(memory.stored)} as they are stored", *needs]
    more = " (`vlahub convert --quantize`)" if memory.int8 else ""
    said = f"The weights alone need {', '.join(needs)}{more}; images, text and caches come on top."
    return between(SIZES, f"{table(HEADER, rows)}\n\n{said}")


def quantization_text(given: Mapping[str, Any]) -> str:
    """What is said of weights of lower precision; given: `weight_quantization` of a config."""
    sizes = given.get("bytes")
    size = f" {size_text(sizes['stored'])} of weights in place of {size_text(sizes['whole'])}." if sizes else ""
    lines = [f"- {kind}: {', '.join(map(code, names))}" for kind, names in given["layers"].items()]
    text = LOWER_PRECISION.format(kind=given["kind"], size=size)
    return sections(text, details("Which layers", "\n".join(lines)))


def part_cells(part: Part, total: int) -> list[str]:
    share = f"{100 * part.parameters / max(1, total):.3g} %"
    return [words(part.name), f"{part.parameters:,}", share, size_text(part.bytes), ", ".join(part.dtypes)]


def between(marks: tuple[str, str], text: str) -> str:
    return f"{marks[0]}\n\n{text}\n\n{marks[1]}"


def with_other_weights(card: str, sizes: str) -> str:
    """A card after other weights were saved beside it: their sizes, and nothing that was seen with the former ones."""
    card = without_former_sizes(without_seen(card))
    return pattern_of(SIZES).sub(lambda _: f"\n\n{sizes}\n\n" if sizes else "\n\n", card)


def pattern_of(marks: tuple[str, str]) -> re.Pattern[str]:
    """From the first mark to the last one: what a model wrote may hold such a mark, too."""
    return re.compile(rf"\n*{re.escape(marks[0])}.*{re.escape(marks[1])}\n*", re.DOTALL)
