"""A PEFT LoRA merged into any transformers checkpoint: the same files as the base, with other numbers in them.

Equal to `PeftModel.from_pretrained(model, adapter).merge_and_unload()`, without the model in memory.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig

from ...configuration.view_names import checked_view_names
from ...configuration.vla_config import VLAConfig
from ...configuration.vla_errors import ConversionError
from ...modeling.run_settings import OF_RUN
from ..checkpoint_plan import weights_of
from ..dataset_statistics import check_config_statistics, read_statistics
from ..family import Family
from ..files.file_kinds import STATISTICS_NAME, VIEWS_NAME
from ..files.json_file import json_text, read_json
from ..files.tokenizer_files import check_tokenizer, links_out
from ..job import Job, Prepared
from ..model_card import write_card
from ..tensors.adapter_file import find_adapter, read_content
from ..tensors.adapter_patterns import check_matching
from ..tensors.base_model import BaseModel
from ..tensors.plan import Fact, Plan, PlannedTensor, SourceTensor, cast_info
from ..tensors.side_files import find_side_files
from ..tensors.tensor_source import TensorFile, TensorGroup
from ..travelling.travelling_code import TravellingCode, own_config
from .adapter_steps import add_adapter
from .base_class import build_base
from .base_code import code_facts, code_for_merge
from .card import write_generic_card
from .copied_files import PROCESSOR_CONFIG, check_config_lies_here, check_copied, copy_files
from .merged_base import MergedBase


def plan_merge(job: Job, given: Path | None, families: Mapping[str, Family]) -> Prepared:
    """Plan the merge of one or more adapters, in order.

    Args:
        given: statistics of actions, as a file.
        families: of models that are ours, by name.

    Raises:
        ConversionError: the base has no weights, or an adapter does not fit it.
    """
    if job.base is None:
        raise ConversionError("a plain adapter is merged into its base model: pass --base.")
    for folder in (job.base, *job.adapters):  # the files of one of them travel as they are
        check_tokenizer(folder, links_out(folder))
    check_config_lies_here(job.base)
    config = read_json([job.base], "config.json", required=True)
    code = code_for_merge(job.base, job.adapters, job.allow_code)
    merged = opened_base(job, config)
    plan = Plan([])
    for number, folder in enumerate(job.adapters, start=1):
        refuse_side_files(folder, job.base, families)
        merge_adapter(plan, merged, folder, number)
    check_copied(job.base, job.adapters)
    plan.tensors = list(merged.tensors.values())
    base_class = type(merged.model.model).__name__ if merged.model else "not known here"
    plan.facts.append(Fact("base class", base_class, "read (config.json)"))
    plan.facts += vocabulary_facts(config, merged.config)
    config, facts = with_statistics(merged.config, job.adapters, given)
    config, views = with_views(config, merged.model, job.adapters)
    plan.facts += [*facts, *views, *code_facts(code)]
    plan.facts.append(Fact("dtype", plan.dtype_name, "read (base)" if job.dtype == "auto" else "given (--dtype)"))
    return Prepared("generic", plan, partial(write_merged_files, job, config, code, families, bool(facts)), code)


def opened_base(job: Job, config: dict) -> MergedBase:
    """The base as it is, with all tensors planned as copies."""
    weights = weights_of(job.base, "base")
    copies = planned_copies(weights, None if job.dtype == "auto" else getattr(torch, job.dtype))
    model = build_base(job.base, config, list(weights))
    check_weights(weights, model)
    return MergedBase.of({tensor.name: tensor for tensor in copies}, config, model)


def merge_adapter(plan: Plan, merged: MergedBase, folder: Path, number: int) -> None:
    file, lora_config = opened_adapter(folder, number)
    content = read_content(file)
    check_matching(lora_config, content.loras)  # before anything else matches its patterns
    plan.leftovers += add_adapter(merged, file.path, content, lora_config)
    plan.facts.append(Fact(f"adapter {number}", f"r={lora_config.r}, alpha={lora_config.lora_alpha}", "read"))


def write_merged_files(
    job: Job,
    config: dict,
    code: TravellingCode,
    families: Mapping[str, Family],
    new_statistics: bool,
    folder: Path,
    report: dict,
) -> None:
    """Everything but the weights: what base and adapters bring, the statistics in it, our code, and a card.

    new_statistics: those of the config are not the base's.
    """
    copy_files(job.base, job.adapters, folder)
    write_config(folder, config, job.dtype)
    write_settings(folder, config)
    if new_statistics and (folder / STATISTICS_NAME).exists():  # it may be the base's, or of an earlier run
        text = json_text(config["norm_stats"], STATISTICS_NAME, indent=2)
        (folder / STATISTICS_NAME).write_text(text, encoding="utf-8")
    code.write(folder)
    write_merged_card(folder, report, job.base, families)


def refuse_side_files(folder: Path, base: Path, families: Mapping[str, Family]) -> None:
    """A run with more than an adapter is not merged without the rest."""
    side_files = find_side_files(folder, [kind for family in families.values() for kind in family.side_files])
    if side_files:
        config = read_json([folder, base], "config.json", required=True)
        name = next(iter(side_files.values())).path.name
        raise ConversionError(
            f"{folder} holds {name}, which a plain adapter does not have, but config.json says model_type="
            f"{config.get('model_type')!r}: does it belong to this run? Without --family the kind of a run is "
            "found by itself."
        )


def planned_copies(weights: TensorGroup, dtype: torch.dtype | None) -> list[PlannedTensor]:
    sources = [SourceTensor(weights.file_of[key], key) for key in weights]
    return [PlannedTensor(source.key, cast_info(source, dtype), source) for source in sources]


def opened_adapter(folder: Path, number: int) -> tuple[TensorFile, LoraConfig]:
    file, config = find_adapter(folder)
    if file is None:
        raise ConversionError(f"{folder} holds no adapter (adapter_model.safetensors).")
    return TensorFile(file.path, f"adapter{number}/{file.path.name}"), config


def check_weights(weights: TensorGroup, model: BaseModel | None) -> None:
    """Refuse integers and booleans that the model would take for weights; integer buffers are copied as they are."""
    for key in weights:
        if model and model.name_of.get(key) in model.parameters:
            SourceTensor(weights.file_of[key], key).check_floating()


def vocabulary_facts(before: dict, after: dict) -> list[Fact]:
    """What an adapter changed in the config, for the report."""
    if before == after:
        return []
    changed = {name: after[name] for name in after if after[name] != before.get(name)}
    return [Fact("config.json", json_text(changed, "config.json").strip(), "inferred (the adapter's embeddings)")]


def with_statistics(config: dict, adapters: list[Path], given: Path | None = None) -> tuple[dict, list[Fact]]:
    """The base's config with the statistics that are given, else those that the last run leaves; the base's own do not
    survive a fine-tune.

    Only models that un-normalise actions have them in their config.

    Raises:
        ConversionError, ConfigError: statistics were given for another model, or it cannot normalise by them; or none
            were given, no run leaves any, and those of the base would be taken for the run's.
    """
    if "norm_stats" not in config:
        if given is not None:
            raise ConversionError("--statistics was given, but the base's config.json has no norm_stats to replace.")
        return config, []
    config, facts = replaced_statistics(config, adapters, given)
    check_config_statistics(config)
    return config, facts


def replaced_statistics(config: dict, adapters: list[Path], given: Path | None) -> tuple[dict, list[Fact]]:
    if given is not None:
        statistics, how = read_statistics(given, [])
        return {**config, "norm_stats": statistics}, [Fact("norm_stats", ", ".join(sorted(statistics)), how)]
    for number, folder in reversed(list(enumerate(adapters, start=1))):
        statistics, name = read_json([folder], STATISTICS_NAME, required=False), STATISTICS_NAME
        if statistics is None:
            processor, name = read_json([folder], PROCESSOR_CONFIG, required=False) or {}, PROCESSOR_CONFIG
            statistics = processor.get("norm_stats")
        if statistics:
            fact = Fact("norm_stats", ", ".join(sorted(statistics)), f"read (adapter {number}, {name})")
            return {**config, "norm_stats": statistics}, [fact]
    if known := ", ".join(sorted(config["norm_stats"] or {})):
        raise ConversionError(
            f"no statistics to un-normalise actions with: {adapters[-1]} has neither {STATISTICS_NAME} nor a "
            f"{PROCESSOR_CONFIG} that holds them, and those of the base ({known}) are of its own data; pass "
            "--statistics FILE, the base's config.json where the run was trained by these."
        )
    return config, []


def with_views(config: dict, model: BaseModel | None, adapters: list[Path]) -> tuple[dict, list[Fact]]:
    """The base's config with the names of the views that the last run that records any was trained with.

    model: the base's; only models of ours have views with names.

    Raises:
        ConfigError: the names are none, or not as many as the model's views.
    """
    own = model.model.config if model else None
    if not isinstance(own, VLAConfig):
        return config, []
    for number, folder in reversed(list(enumerate(adapters, start=1))):
        found = [(file, read_json([folder], file, required=False) or {}) for file in (VIEWS_NAME, PROCESSOR_CONFIG)]
        checked = [(file, checked_view_names(told.get("view_names"), own.num_images_in_input)) for file, told in found]
        for file, names in checked:
            if names:
                fact = Fact("view_names", ", ".join(names), f"read (adapter {number}, {file})")
                return {**config, "view_names": names}, [fact]
    return config, []


def write_settings(folder: Path, config: dict) -> None:
    """Statistics and names of views into the files of model and processor, which both read them; other models have
    none."""
    for name in ("config.json", PROCESSOR_CONFIG):
        written = read_json([folder], name, required=False) or {}
        known = {field: config[field] for field in OF_RUN if field in written and config.get(field)}
        changed = {field: value for field, value in known.items() if written[field] != value}
        if changed:
            text = json_text({**written, **changed}, name, indent=2)
            (folder / name).write_text(text, encoding="utf-8")


def write_config(folder: Path, config: dict, dtype: str) -> None:
    """The base's, where nothing in it changed byte for byte."""
    if dtype != "auto":
        names = [name for name in ("dtype", "torch_dtype") if name in config] or ["torch_dtype"]
        config = {**config, **dict.fromkeys(names, dtype)}
    if config != read_json([folder], "config.json", required=True):
        (folder / "config.json").write_text(json_text(config, "config.json", indent=2), encoding="utf-8")


def write_merged_card(folder: Path, report: dict, base: Path, families: Mapping[str, Family]) -> None:
    """README.md by what `folder` holds, whose config.json is there already: that of its family, where it is ours."""
    config = own_config(folder)
    if config is None:
        write_generic_card(folder, report, base)
    else:
        write_card(folder, families[config.model_type].card, config, report, {"base": base})
