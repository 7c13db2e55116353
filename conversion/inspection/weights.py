"""Which files hold the weights of a place, and the tensors in them; what does not fit together is noted."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ...configuration.checkpoint_weights import WEIGHT_NAMES, entry_of_weights
from ...configuration.vla_errors import CheckpointError, ConversionError
from ...configuration.weight_parts import TensorEntry
from ..files.json_file import load_json
from .headers import Header
from .places import AT_ONCE, Place

SHOWN = 5


@dataclass
class Weights:
    """Tensors of a model's files.

    Attributes:
        files: that were read, or should have been there.
        problems: what is wrong, a sentence each.
    """

    tensors: list[TensorEntry] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_weights(place: Place) -> Weights:
    """The weights of a whole model, in transformers' form: sharded, or one file."""
    name = next((name for name in WEIGHT_NAMES if name in place.sizes), None)
    if name is None:
        return Weights()
    weights = sharded(place, name) if name.endswith(".json") else read_files(place, [name])
    try:
        entry_of_weights(place.folder)
    except CheckpointError as error:
        weights.problems.append(str(error).replace(str(place.folder), place.name))
    return weights


def sharded(place: Place, index: str) -> Weights:
    """By an index; shards that it names and that are missing, and tensors in the wrong place, are problems."""
    try:
        content = load_json(place.folder / index)
        weight_map, total = dict(content["weight_map"]), (content.get("metadata") or {}).get("total_size")
        odd = {key: shard for key, shard in weight_map.items() if not isinstance(shard, str)}
        named = sorted({shard for shard in weight_map.values() if isinstance(shard, str)})
    except (ConversionError, AttributeError, KeyError, TypeError, ValueError) as error:
        return Weights(problems=[f"{index} is not an index of shards: {error}"])
    missing = [shard for shard in named if shard not in place.sizes]
    weights = read_files(place, [shard for shard in named if shard in place.sizes])
    if odd:
        instead = f"{next(iter(odd.values()))!r:.50}"
        weights.problems.append(f"{index} names no file for {listed(sorted(odd))}, but {instead}.")
        weight_map = {key: shard for key, shard in weight_map.items() if key not in odd}
    if missing:
        lost = [key for key, shard in weight_map.items() if shard in missing]
        verb = "is" if len(missing) == 1 else "are"
        weights.problems.append(
            f"{index} names {listed(missing)}, which {verb} missing: {len(lost)} tensors are not there."
        )
    found = {tensor.name: tensor.file for tensor in weights.tensors}
    read = {shard for shard in named if any(tensor.file == shard for tensor in weights.tensors)}
    wrong = [key for key, shard in weight_map.items() if shard in read and found.get(key) != shard]
    if wrong:
        weights.problems.append(f"{index} names tensors that their shards do not hold: {listed(wrong)}.")
    weights.problems += size_problems(index, total, weights.tensors) if not weights.problems else []
    if extra := [key for key in found if key not in weight_map and key not in odd]:
        weights.problems.append(f"{index} leaves out tensors that its shards hold: {listed(extra)}.")
    return weights


def size_problems(index: str, total: Any, tensors: list[TensorEntry]) -> list[str]:
    """Where an index counts other bytes than its shards hold. Nothing that loads a model reads that number; of pickles,
    where two names may share their bytes, it is not compared.
    """
    stored = sum(tensor.bytes for tensor in tensors)
    if total in (None, stored) or "safetensors" not in index:
        return []
    return [
        f"{index} says total_size={total!r}, its shards hold {stored} bytes of tensors: were they converted or "
        "replaced after it was written? Models load all the same."
    ]


def read_files(place: Place, files: Iterable[str]) -> Weights:
    """All tensors of some files; of several with one name the first counts, and a file that cannot be read has none."""
    weights, names = Weights(files=list(files)), set()
    with ThreadPoolExecutor(AT_ONCE if place.is_remote else 1) as pool:
        headers = list(pool.map(lambda file: header_or_problem(place, file), weights.files))
    for header in headers:
        if header.problem:
            weights.problems.append(header.problem)
        twice = [tensor.name for tensor in header.tensors if tensor.name in names]
        if twice:
            weights.problems.append(
                f"{header.tensors[0].file} holds tensors that another file has, too: {listed(twice)}."
            )
        weights.tensors += [tensor for tensor in header.tensors if tensor.name not in names]
        names |= {tensor.name for tensor in header.tensors}
    return weights


def header_or_problem(place: Place, file: str) -> Header:
    try:
        return place.header_or_names(file)
    except ConversionError as error:
        return Header([], str(error))


def listed(names: list[str]) -> str:
    """A few names and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
