"""Training runs and adapters: what is in them, what a conversion would make of it, and the command line to type."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_parts import TensorEntry
from ..family import Family
from ..family_inspection import RunFacts, RunPlan, Shapes
from ..files.file_kinds import STATISTICS_NAME
from ..folders.folder_contents import ADAPTER_CONFIG, FolderContents
from ..tensors.adapter_names import TOKEN_ROWS, UNTRAINED, full_name, parse_adapter_key, plain_name
from ..tensors.adapter_settings import check_settings
from ..tensors.rename import rename
from .inspection import Adapter, NextStep
from .oddities import readable
from .places import Place
from .weights import Weights, listed, read_files

OUTPUT = "OUTPUT"
NO_MERGE = "it cannot be merged: "  # so begins a problem with which no command line is shown


def adapter_of(place: Place, contents: FolderContents, problems: list[str]) -> tuple[Adapter, list[TensorEntry]]:
    """The adapter of a run, or of a folder of PEFT's, and its tensors."""
    file = contents.adapter[0]
    weights = read_files(place, [file])
    problems += weights.problems
    config_file = f"{file.rpartition('/')[0]}/{ADAPTER_CONFIG}".lstrip("/")
    if config_file not in place.sizes:
        problems.append(f"{config_file} is missing: the strength of the adapter (alpha / r) is unknown.")
    config = readable(place.folder, config_file, problems)
    if config:
        problems += settings_problems(config_file, config)
    modules, whole = set(), set()
    for tensor in weights.tensors:
        name = full_name(tensor.name)
        if lora := parse_adapter_key(name):
            modules.add(lora.module)
        elif not UNTRAINED.fullmatch(name) and not TOKEN_ROWS.fullmatch(name):
            whole.add(plain_name(name).rpartition(".")[0])
    size = sum(tensor.size for tensor in weights.tensors)
    base = config.get("base_model_name_or_path")
    return Adapter(config.get("r"), config.get("lora_alpha"), len(modules), size, base, sorted(whole)), weights.tensors


def settings_problems(file: str, settings: Mapping[str, Any]) -> list[str]:
    """Why a merge would refuse an adapter of these settings."""
    try:
        check_settings(Path(file), settings)
    except ConversionError as error:
        return [f"{NO_MERGE}{error}"]
    return []


def side_weights(place: Place, contents: FolderContents, family: Family) -> tuple[Shapes, list[str]]:
    """Shapes of what lies beside an adapter, by the names that the model has; and what is wrong with the files."""
    problems = step_problems(contents.side_files)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in contents.side_files:
        weights = read_files(place, [file])
        problems += weights.problems
        shapes |= shapes_in_model(weights, family, family.side_files.get(file.partition("--")[0], ""), problems)
    return shapes, problems


def step_problems(files: list[str]) -> list[str]:
    """Several files of a kind, or of different steps: a merge refuses both."""
    kinds = [file.partition("--")[0] for file in files]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        return [f"there are several files of {listed(twice)}: keep those of one step."]
    if len({file.partition("--")[2] for file in files}) > 1:
        return [f"the side files are of different steps ({listed(files)}): keep those of one."]
    return []


def shapes_in_model(weights: Weights, family: Family, prefix: str, problems: list[str]) -> Shapes:
    """By the family's table; names that it does not know are noted, parts of a LoRA left out."""
    found, unknown = {}, []
    for tensor in weights.tensors:
        name = prefix + full_name(tensor.name)
        if parse_adapter_key(name) or UNTRAINED.fullmatch(name):
            continue
        try:
            target = rename(plain_name(name), family.table, tensor.file).target if family.table else name
        except ConversionError:
            unknown.append(tensor.name)
            continue
        if target is not None:
            found[target] = tensor.shape
    if unknown:
        problems.append(f"{weights.files[0]} holds tensors that no known layout has: {listed(unknown)}.")
    return found


def run_statistics(place: Place, problems: list[str]) -> dict[str, Any]:
    """Of the file beside a run."""
    return readable(place.folder, STATISTICS_NAME, problems)


def plans_of(family: Family, facts: RunFacts, command: str) -> list[NextStep]:
    """The command lines that would convert it, with what they would find and what they need.

    command: without the options of the family.
    """
    return [step_of(plan, command) for plan in family.inspection.plans(facts)]


def step_of(plan: RunPlan, command: str) -> NextStep:
    options = [*plan.given, *(need.option for need in plan.needed)]
    return NextStep(" ".join([command, *options]), plan.words, plan.settings, plan.needed)


def merge_line(place: str, base: str | None) -> str:
    return f"vlahub merge-lora --base {quoted(base) if base else 'BASE'} --adapter {quoted(place)} --output {OUTPUT}"


def convert_line(place: str) -> str:
    return f"vlahub convert {quoted(place)} {OUTPUT}"


def quoted(name: str) -> str:
    """A name as a shell takes it."""
    return shlex.quote(name)


def base_of(adapter: Adapter | None, config: Mapping[str, Any]) -> str | None:
    """The base model that an adapter names, or the config of a run."""
    return (adapter.base if adapter else None) or config.get("_name_or_path") or None


def family_word_of_base(base: str | None) -> str | None:
    """The model type of a base model that lies on this machine."""
    if not base or not Path(base).is_dir():
        return None
    return readable(Path(base), "config.json", []).get("model_type")
