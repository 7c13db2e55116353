"""What is missing or strange about a model's folder, a sentence each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...configuration.normalization_statistics import check_statistics
from ...configuration.vla_errors import ConfigError, ConversionError
from ...configuration.weight_parts import QUANTISED, UNKNOWN, UNUSED, Placed, TensorEntry
from ..family_inspection import FamilyInspection, ModelFacts
from ..files.file_kinds import REPORT_NAME
from ..files.json_file import read_json
from ..files.report_form import load_report
from ..travelling.auto_map import references
from ..travelling.unnamed_code import ADAPTER, GENERATION
from ..untrained_tensors import untrained_in
from .places import Place
from .weights import listed

REFERRING = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def oddities_of_weights(tensors: Sequence[Placed], config: Mapping[str, Any]) -> Iterator[str]:
    """Tensors of no part, weights of several dtypes, and a dtype that config.json does not name."""
    if unknown := [each.tensor.name for each in tensors if each.part == UNKNOWN]:
        yield f"no part of the family has these tensors: {listed(unknown)}."
    floating = {}
    for each in tensors:
        quantised = each.tensor.name.endswith((QUANTISED, ".weight_scale"))
        if each.part != UNUSED and each.tensor.is_floating and not quantised:
            floating[each.tensor.dtype] = floating.get(each.tensor.dtype, 0) + 1
    if len(floating) > 1:
        counts = ", ".join(f"{count} {dtype}" for dtype, count in sorted(floating.items(), key=lambda pair: -pair[1]))
        yield f"weights are of mixed dtype: {counts}."
    said = config.get("dtype") or config.get("torch_dtype")
    if floating and isinstance(said, str) and said not in floating:
        yield f"config.json names the dtype {said}, and no tensor has it."


def oddities_of_checkpoint(
    place: Place, family: FamilyInspection, config: Mapping[str, Any], facts: ModelFacts, licence: Mapping[str, Any]
) -> Iterator[str]:
    """Of a checkpoint of ours: files, code, statistics and card."""
    if missing := [name for name in family.processor_files if name not in place.sizes]:
        yield f"the processor cannot be loaded: {listed(missing)} is missing."
    if "auto_map" not in config:
        yield "config.json has no auto_map: it loads where vlahub is installed, and nowhere else."
    yield from oddities_of_code(place)
    yield from oddities_of_statistics(config, facts)
    views, names = facts.num_images_in_input, facts.view_names
    if views and names and len(names) != views:
        yield f"{len(names)} views have names ({', '.join(names)}), and the model sees {views}."
    if "license" not in licence:
        yield "README.md names no licence."


def oddities_of_code(place: Place) -> Iterator[str]:
    """Names of code that lead out of the folder, or to a file that is not there; and code that no file names."""
    for file in REFERRING:
        content = read_json([place.folder], file, required=False) or {}
        for reference in dict.fromkeys(references(content)):
            module = f"{reference.rpartition('.')[0]}.py"
            if "--" in reference:
                yield f"{file} names the code {reference}, which lies in another repository."
            elif module not in place.sizes:
                yield f"{file} names the code {reference}, and {module} is missing."
    if GENERATION.as_posix() in place.sizes:
        yield f"{GENERATION} is code that runs in the place of `generate` where code is trusted."
    if ADAPTER in place.sizes:
        yield f"{ADAPTER} lies beside the model: transformers loads the base that it names instead."


def oddities_of_statistics(config: Mapping[str, Any], facts: ModelFacts) -> Iterator[str]:
    """No statistics, or some that the model cannot normalise by."""
    if facts.predicts != "actions" or facts.normalization_type is None:
        return
    statistics = config.get("norm_stats") or {}
    if not statistics:
        yield "there are no statistics of training data (norm_stats): actions stay normalised."
    try:
        check_statistics(statistics, facts.normalization_type, facts.action_dim, facts.state_dim)
    except ConfigError as error:
        yield f"config.json: {error}"


def oddities_of_record(place: Place, report: Mapping[str, Any], tensors: Sequence[TensorEntry]) -> Iterator[str]:
    """What conversion_report.json says is untrained, or has otherwise; contents are compared by `vlahub verify`."""
    if untrained := untrained_in(report):
        yield f"never trained, and as random as at the start: {listed(sorted(untrained.names))}."
    recorded = report.get("tensors") or {}
    found = {tensor.name: tensor for tensor in tensors}
    if recorded and found:
        if lost := [name for name in recorded if name not in found]:
            yield f"{REPORT_NAME} lists tensors that are not there: {listed(lost)}."
        if more := [name for name in found if name not in recorded]:
            yield f"there are tensors that {REPORT_NAME} does not list: {listed(more)}."
    files = report.get("files") or {}
    gone = [name for name in files if name not in place.sizes]
    changed = [name for name, entry in files.items() if name in place.sizes and entry["bytes"] != place.sizes[name]]
    if gone:
        yield f"{REPORT_NAME} lists files that are missing: {listed(gone)}."
    if changed:
        yield f"files have another size than {REPORT_NAME} recorded: {listed(changed)}."


def readable_report(folder: Path, problems: list[str]) -> dict[str, Any]:
    """The report of a conversion, `{}` where there is none; one that conversions do not write so is a problem."""
    return noting(problems, folder, lambda: load_report(folder))


def readable(folder: Path, name: str, problems: list[str]) -> dict[str, Any]:
    """The content of a JSON file, `{}` where there is none; one that cannot be read is a problem."""
    return noting(problems, folder, lambda: read_json([folder], name, required=False) or {})


def noting(problems: list[str], folder: Path, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is read from a folder; `{}`, and a problem more, where that is refused."""
    try:
        return read()
    except ConversionError as error:
        problems.append(str(error).replace(f"{folder}/", ""))
        return {}
