"""`inspect_checkpoint`: a folder or a repository is looked at, and told apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_parts import PLAIN_PARTS, TensorEntry, memory_of, parts_of, placed
from ..families import OURS
from ..family import Family
from ..family_inspection import RunFacts
from ..files.run_files import LOOSE_FILES, matches, read_run_config
from ..files.settings_errors import reading_settings
from ..folders.folder_contents import FolderContents, Kind, is_converted, look_at
from ..folders.folder_roles import OWN_CHECKPOINT, RUN
from ..folders.folder_roles import hint as hint_of_folder
from ..folders.other_policies import other_policy
from .inspection import Inspection, NextStep
from .model_kinds import family_by_name, model_family, uses_of
from .oddities import (
    oddities_of_checkpoint,
    oddities_of_record,
    oddities_of_weights,
    readable,
    readable_report,
)
from .parts import renamed
from .places import Place, open_place
from .provenance import card_facts, provenance_of
from .roles import roles_of
from .runs import (
    NO_MERGE,
    adapter_of,
    base_of,
    convert_line,
    family_word_of_base,
    merge_line,
    plans_of,
    quoted,
    run_statistics,
    shapes_in_model,
    side_weights,
)
from .weights import Weights, listed, read_files, read_weights

RUNS = (Kind.RUN, Kind.ADAPTER, Kind.ADAPTER_CONFIG, Kind.SIDE_FILES)


@dataclass
class Look:
    """A place as far as it was looked at: what the functions below add to an `Inspection`."""

    place: Place
    contents: FolderContents
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    problems: list[str] = field(default_factory=list)


def inspect_checkpoint(place: str, *, revision: str | None = None, token: str | bool | None = None) -> Inspection:
    """What a checkpoint, a training run, an adapter or a published model holds, without its weights.

    Of a folder its JSON files and the headers of its weights are read; of a repository on the Hub the same, headers by
    ranged reads. Nothing is imported from torch or transformers, unless an adapter has a setting that not every release
    of PEFT knows, and no code of the place is run.

    Args:
        place: a folder, or a repository's id.
        revision: branch, tag or commit of a repository.
        token: of the Hub; by default that of the login, `False` for none.

    Raises:
        ConversionError: there is neither such a folder nor such a repository, it holds nothing that is known here, or
            its config.json cannot be read, or has values that no model has. What is missing or odd in what could be
            read is in `oddities` instead.
    """
    with open_place(place, revision, token) as opened:
        if not opened.sizes:
            raise ConversionError(f"{place} is empty: is the download or the copy incomplete?")
        config = read_config(opened)
        look = Look(opened, look_at(opened.folder), config, card_facts(opened.folder))
        with reading_settings(opened.folder):
            inspection = inspected(look)
        inspection.oddities = [*look.problems, *inspection.oddities]
    inspection.place, inspection.revision = place, opened.revision
    inspection.model_type = config.get("model_type")
    inspection.architecture = next(iter(config.get("architectures") or []), None)
    inspection.licence = dict(look.card)
    return inspection


def read_config(place: Place) -> dict[str, Any]:
    """config.json, or the config.yaml of a run.

    Raises:
        ConversionError: it cannot be read.
    """
    try:
        return read_run_config(place.folder)
    except ConversionError as error:
        raise ConversionError(str(error).replace(f"{place.folder}/", f"{place.name}/")) from error


def inspected(look: Look) -> Inspection:
    """By what a folder looks like, as every command sees it."""
    kind, config = look.contents.kind, look.config
    if kind in RUNS:
        return inspected_run(look)
    words = other_policy(look.place.folder, config)
    if kind is Kind.LEROBOT or words:
        return inspected_stranger(look, words)
    if kind is not Kind.MERGED_RUN and is_converted(dict(config)):
        return inspected_own(look, OURS[config["model_type"]])
    if kind is Kind.FRAMEWORK_RUN:
        return inspected_framework_run(look)
    if family := model_family(config):
        return inspected_published(look, family)
    if kind in (Kind.MODEL, Kind.MERGED_RUN) or config.get("model_type") or loose(look.place):
        return inspected_base(look)
    raise ConversionError(
        f"{look.place.name} looks like {look.contents.words}: there are neither weights nor a config.json of a model "
        f"in it. {hint(look)}"
    )


def hint(look: Look) -> str:
    """What to do with what is no model."""
    below = look.contents.adapters_below
    if below:
        return f"Name the folder that an adapter lies in: {look.place.name}/{below[0]}"
    if look.contents.kind is Kind.DATASET:
        return f"Its statistics: vlahub stats {look.place.name} --output dataset_statistics.json"
    if not look.place.is_remote:
        return hint_of_folder(look.contents, RUN)
    return "Is the download or the copy incomplete?"


def loose(place: Place) -> list[str]:
    """Files of weights by other names than transformers'."""
    return [path.name for path in matches(place.folder, LOOSE_FILES)]


# Checkpoints of ours


def inspected_own(look: Look, family: Family) -> Inspection:
    """A checkpoint that loads as it is."""
    place, config, asked = look.place, look.config, family.inspection
    processor = readable(place.folder, "processor_config.json", look.problems)
    report = readable_report(place.folder, look.problems)
    facts = asked.facts(config, processor)
    inspection = Inspection(
        place=place.name,
        kind="checkpoint",
        words=f"a checkpoint of the family {family.name}, which loads as it is",
        family=family.name,
        model=facts,
        statistics=asked.statistics(config.get("norm_stats") or {}, config),
        quantization=(config.get("weight_quantization") or {}).get("kind"),
        provenance=provenance_of(report, config),
        files=roles_of(place),
    )
    tensors = add_weights(look, inspection, family, read_weights(place), published=False)
    if not tensors:
        inspection.words = f"a checkpoint of the family {family.name}, whose weights cannot be read"
    inspection.oddities += oddities_of_checkpoint(place, asked, config, facts, look.card)
    inspection.oddities += oddities_of_record(place, report, tensors)
    inspection.next_steps = steps_of_own(place.name, facts.predicts, facts.num_images_in_input)
    return inspection


def add_weights(
    look: Look, inspection: Inspection, family: Family | None, weights: Weights, published: bool
) -> list[TensorEntry]:
    """Parts, sums and memory; published: whether the names are those of published files, which `family.table` knows."""
    rules = family.inspection.parts if family else PLAIN_PARTS
    found = renamed(weights.tensors, rules, family.table if family and published else ())
    inspection.parts = parts_of(found, rules.order)
    inspection.parameters = sum(part.parameters for part in inspection.parts)
    inspection.bytes = sum(part.bytes for part in inspection.parts)
    inspection.memory = memory_of(found, rules) if found else None
    inspection.oddities += weights.problems
    inspection.oddities += oddities_of_weights(found, look.config)
    if not weights.files and not weights.problems:
        inspection.oddities.append("there are no weights (model.safetensors, or shards with their index).")
    if any(not file.endswith(".safetensors") for file in weights.files):
        inspection.oddities.append(f"weights are pickled: {listed(weights.files)}.")
    return weights.tensors


def steps_of_own(place: str, predicts: str, views: int | None) -> list[NextStep]:
    """What a checkpoint of ours is for."""
    where = quoted(place)
    verify = NextStep(f"vlahub verify {where}", "reads all of it and compares it with its record")
    images = " ".join(f"VIEW_{i}.png" for i in range(views or 1))
    robot = f'vlahub predict {where} --images {images} --instruction "INSTRUCTION"'
    lines = {"actions": robot, "trajectories": f"vlahub predict {where} --images FRAMES --history HISTORY.npz"}
    return [*([NextStep(lines[predicts])] if predicts in lines else []), verify]


# Published models, bases, strangers


def inspected_published(look: Look, family: Family) -> Inspection:
    """A published model, or a run with whole weights in it, that one of our families converts."""
    place, config = look.place, look.config
    is_run = look.contents.kind is Kind.MERGED_RUN
    weights = read_weights(place)
    own = run_statistics(place, look.problems) or config.get("norm_stats") or {}
    side, problems = side_weights(place, look.contents, family) if is_run else ({}, [])
    look.problems += problems
    shapes = {**shapes_in_model(weights, family, "", []), **side}
    inspection = Inspection(
        place=place.name,
        kind="run" if is_run else "published",
        words="a training run with the whole model in it, which `vlahub convert` makes loadable"
        if is_run
        else f"a published model of the family {family.name}, which is not converted yet",
        family=family.name,
        model=family.inspection.facts(config, readable(place.folder, "processor_config.json", look.problems)),
        statistics=family.inspection.statistics(own, config),
        files=roles_of(place),
    )
    add_weights(look, inspection, family, weights, published=True)
    facts = RunFacts(name_of(place), config, own, kinds_of(look.contents), True, shapes)
    inspection.next_steps = plans_of(family, facts, convert_line(place.name))
    if not is_run:
        inspection.next_steps += uses_of(config, place.name)
    return inspection


def inspected_base(look: Look) -> Inspection:
    """A model of transformers, or weights without a config."""
    place, model_type = look.place, look.config.get("model_type")
    weights = read_weights(place)
    if not weights.files and not weights.problems:
        weights = read_files(place, [file for file in loose(place) if file.endswith(".safetensors")])
    inspection = Inspection(
        place=place.name,
        kind="base" if model_type else "other",
        words=f"a model of transformers ({model_type}), not a VLA"
        if model_type
        else "weights without a config.json that names a model",
        files=roles_of(place),
    )
    if not look.config:
        inspection.oddities.append("config.json is missing.")
    add_weights(look, inspection, None, weights, published=False)
    if family := family_of_tensors(weights):
        inspection.words += f"; its tensors are those of the family {family.name}"
    inspection.next_steps = uses_of(look.config, place.name)
    return inspection


def family_of_tensors(weights: Weights) -> Family | None:
    """The family that knows the names of all tensors, where there is one."""
    for family in OURS.values():
        rules = family.inspection.parts
        known = placed(weights.tensors, rules)
        if known and all(each.part in rules.order for each in known):
            return family
    return None


def inspected_stranger(look: Look, words: str | None) -> Inspection:
    """A policy of another project."""
    if (look.place.folder / OWN_CHECKPOINT / "config.json").is_file():
        words = f"a policy of LeRobot, which holds a checkpoint of vlahub: {look.place.name}/{OWN_CHECKPOINT}"
    words = words or f"a policy of LeRobot ({look.config.get('type')}), which vlahub neither loads nor converts"
    inspection = Inspection(look.place.name, "unsupported", words, files=roles_of(look.place))
    add_weights(look, inspection, None, read_weights(look.place), published=False)
    return inspection


# Training runs


def inspected_run(look: Look) -> Inspection:
    """An adapter, with or without the side files of its training."""
    place, contents, config = look.place, look.contents, look.config
    inspection = Inspection(place.name, "adapter", "", files=roles_of(place))
    tensors: list[TensorEntry] = []
    if contents.adapter:
        inspection.adapter, tensors = adapter_of(place, contents, look.problems)
    base = base_of(inspection.adapter, {})
    family = family_by_name(config.get("model_type") or family_word_of_base(base))
    statistics = run_statistics(place, look.problems)
    inspection.family = family.name if family else None
    is_run = bool(contents.side_files or statistics or config)
    inspection.kind = "run" if is_run else "adapter"
    inspection.words = words_of_run(contents, is_run)
    inspection.parameters, inspection.bytes = sum(t.size for t in tensors), sum(t.bytes for t in tensors)
    inspection.statistics = family.inspection.statistics(statistics, config) if family else []
    add_missing(look, inspection, base)
    if not any(problem.startswith(NO_MERGE) for problem in look.problems):
        inspection.next_steps = steps_of_run(look, family, statistics, base)
    return inspection


def words_of_run(contents: FolderContents, is_run: bool) -> str:
    if contents.kind is Kind.SIDE_FILES:
        return "side files of a training run, whose adapter is missing"
    if contents.kind is Kind.ADAPTER_CONFIG:
        return "the settings of an adapter, without its weights"
    return "a training run, which `merge-lora` makes a checkpoint" if is_run else "a LoRA adapter of PEFT"


def add_missing(look: Look, inspection: Inspection, base: str | None) -> None:
    """What a merge would miss."""
    contents = look.contents
    if contents.run_of:
        inspection.oddities.append(f"it is the adapter of a run: name that folder instead, {contents.run_of}.")
    if contents.kind is Kind.SIDE_FILES:
        inspection.oddities.append("lora_adapter/, or merged weights, are missing beside the side files.")
    if contents.kind is Kind.ADAPTER_CONFIG:
        inspection.oddities.append("adapter_model.safetensors is missing.")
    if inspection.adapter and not base:
        inspection.oddities.append("the adapter names no base model: --base has to be the one it was trained from.")
    elif base and Path(base).is_absolute() and not Path(base).exists():
        inspection.oddities.append(f"the base model that the adapter names is not here: {base}.")


def steps_of_run(look: Look, family: Family | None, statistics: Mapping[str, Any], base: str | None) -> list[NextStep]:
    """The merge, and what it would find; an adapter of a checkpoint of ours is merged without any option."""
    if not look.contents.adapter:
        return []
    place, command = look.place, merge_line(str(look.contents.run_of or look.place.name), base)
    published = family if family and family.bases and not is_converted(dict(look.config)) else None
    if published is None or family_word_of_base(base) in OURS:
        return [NextStep(command)]
    shapes, problems = side_weights(place, look.contents, published)
    look.problems += problems
    facts = RunFacts(name_of(place), look.config, statistics, kinds_of(look.contents), False, shapes)
    return plans_of(published, facts, command)


def inspected_framework_run(look: Look) -> Inspection:
    """A run whose weights have names of their own."""
    place, config = look.place, look.config
    family = next(each for each in OURS.values() if each.is_run(place.folder, dict(config)))
    statistics = run_statistics(place, look.problems)
    inspection = Inspection(
        place=place.name,
        kind="run",
        words=family.run_words,
        family=family.name,
        statistics=family.inspection.statistics(statistics, config),
        files=roles_of(place),
    )
    steps = [file for file in sorted(place.sizes) if file.endswith((".pt", ".safetensors", ".bin"))]
    weights = read_files(place, steps[-1:])
    add_weights(look, inspection, family, weights, published=True)
    shapes = shapes_in_model(weights, family, "", []) if weights.files else {}
    facts = RunFacts(name_of(place), config, statistics, (), True, shapes)
    inspection.next_steps = plans_of(family, facts, convert_line(place.name))
    if len(steps) > 1:
        inspection.oddities.append(f"there are several steps, of which --step names one; the parts are of {steps[-1]}.")
    return inspection


def kinds_of(contents: FolderContents) -> tuple[str, ...]:
    return tuple(dict.fromkeys(file.partition("--")[0] for file in contents.side_files))


def name_of(place: Place) -> str:
    """Of a folder or a repository, without where it lies."""
    return place.name if place.is_remote else place.folder.resolve().name
