"""A PEFT LoRA merged into any transformers checkpoint: the same files as the base, with other numbers in them.

Equal to `PeftModel.from_pretrained(model, adapter).merge_and_unload()`, without the model in memory.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig

from ..configuration.vla_errors import ConversionError
from .copied_files import check_config_lies_here, copy_files
from .job import Job, Prepared
from .lora_merge import ADAPTER_PREFIX, LORA_BIAS, check_adapter, parse_adapter_key
from .merged_card import write_merged_card
from .openvla_layout import find_adapter, find_side_files, read_json
from .plan import Fact, Leftover, Plan, PlannedTensor, SourceTensor, Step, cast_info
from .tensor_source import TensorFile, TensorGroup, open_checkpoint
from .travelling_code import code_facts, code_of

FAMILY = "generic"
TOKEN_ROWS = ".token_adapter.trainable_tokens_delta"
PROCESSOR = "processor_config.json"
STATISTICS = "dataset_statistics.json"


@dataclass
class AdapterContent:
    """The tensors of one adapter, by what they do to which module."""

    loras: dict[str, dict[str, SourceTensor]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, SourceTensor] = field(default_factory=dict)
    whole: dict[str, SourceTensor] = field(default_factory=dict)


def prepare_generic(job: Job) -> Prepared:
    """Plan the merge of one or more adapters, in order.

    Raises:
        ConversionError: the base has no weights, or an adapter does not fit it.
    """
    if job.base is None:
        raise ConversionError("a plain adapter is merged into its base model: pass --base.")
    check_config_lies_here(job.base)
    config = read_json([job.base], "config.json", required=True)
    code = code_of(job.base, job.adapters, job.allow_code)
    weights = open_checkpoint(job.base, "base")
    if weights is None:
        raise ConversionError(f"{job.base} holds no model weights (model.safetensors, its shards, pytorch_model.bin).")
    plan = Plan(planned_copies(weights, None if job.dtype == "auto" else getattr(torch, job.dtype)))
    by_name = {tensor.name: tensor for tensor in plan.tensors}
    for number, folder in enumerate(job.adapters, start=1):
        refuse_side_files(folder, job.base)
        file, lora_config = opened_adapter(folder, number)
        plan.leftovers += add_adapter(by_name, read_content(file), lora_config, is_tied(config))
        plan.facts.append(Fact(f"adapter {number}", f"r={lora_config.r}, alpha={lora_config.lora_alpha}", "read"))
    config, facts = with_statistics(config, job.adapters)
    plan.facts += [*facts, *code_facts(code)]
    how = "read (base)" if job.dtype == "auto" else "given (--dtype)"
    plan.facts.append(Fact("dtype", plan.dtype_name, how))

    def write_files(folder: Path, report: dict) -> None:
        copy_files(job.base, job.adapters, folder)
        write_config(folder, config, job.dtype)
        write_statistics(folder, config)
        code.write(folder)
        write_merged_card(folder, report, job.base)

    return Prepared(FAMILY, plan, write_files, code)


def refuse_side_files(folder: Path, base: Path) -> None:
    """A run with more than an adapter is not merged without the rest."""
    side_files = find_side_files(folder)
    if side_files:
        config = read_json([folder, base], "config.json", required=True)
        name = next(iter(side_files.values())).path.name
        raise ConversionError(
            f"{folder} holds {name}, which a plain adapter does not have, but config.json says model_type="
            f"{config.get('model_type')!r}: does it belong to this run?"
        )


def planned_copies(weights: TensorGroup, dtype: torch.dtype | None) -> list[PlannedTensor]:
    sources = [SourceTensor(weights.file_of[key], key) for key in weights]
    return [PlannedTensor(source.key, cast_info(source, dtype), source) for source in sources]


def opened_adapter(folder: Path, number: int) -> tuple[TensorFile, LoraConfig]:
    file, config = find_adapter(folder)
    if file is None:
        raise ConversionError(f"{folder} holds no adapter (adapter_model.safetensors).")
    return TensorFile(file.path, f"adapter{number}/{file.path.name}"), config


def read_content(file: TensorFile) -> AdapterContent:
    content = AdapterContent()
    for key in file.infos:
        name, source = key.removeprefix(ADAPTER_PREFIX), SourceTensor(file, key)
        if lora := parse_adapter_key(name):
            content.loras[lora.module][lora.part] = source
        elif name.endswith(TOKEN_ROWS):
            content.rows[name.removesuffix(TOKEN_ROWS)] = source
        else:  # modules_to_save, and biases that were trained
            content.whole[name.replace(".modules_to_save.", ".").replace(".base_layer.", ".")] = source
    return content


def add_adapter(
    by_name: dict[str, PlannedTensor], content: AdapterContent, config: LoraConfig, tied: bool
) -> list[Leftover]:
    """Add an adapter's steps to the plan; returns the tensors that it replaces whole.

    Raises:
        ConversionError: it names a module that the base does not have, or shapes do not fit.
    """
    leftovers = []
    for name, source in content.whole.items():
        planned = by_name[find_key(name, by_name, tied)]
        if source.shape != planned.info.shape:
            raise ConversionError(
                f"{source.file.path}: {source.key} has shape {source.shape}, the base's {planned.name} "
                f"{planned.info.shape}."
            )
        leftovers += [Leftover(old, "superseded", f"{source.file.label} has it") for old in planned.sources]
        planned.source, planned.steps = source, []
    for module, parts in content.loras.items():
        planned = by_name[find_key(f"{module}.weight", by_name, tied)]
        check_adapter(module, planned.info.shape, {part: source.shape for part, source in parts.items()}, config)
        planned.steps.append(Step("lora", module, parts, config))
        if LORA_BIAS in parts:
            by_name[find_key(f"{module}.bias", by_name, tied)].steps.append(Step("lora_bias", module, parts, config))
    for module, source in content.rows.items():
        planned = by_name[find_key(f"{module}.weight", by_name, tied)]
        planned.steps.append(Step("rows", module, {"rows": source}, config))
    return leftovers


def find_key(name: str, keys: Iterable[str], tied: bool) -> str:
    """The base's name for a parameter of the adapter.

    A checkpoint may have it with or without the prefix of a wrapping class, or, where transformers renamed modules
    since, with the same parts in another order, or with the level that SigLIP and CLIP lost in 5.x.

    Raises:
        ConversionError: no key, or several, answer to the name.
    """
    keys = list(keys)
    parts = name.split(".")
    head = parts[-2:] == ["lm_head", "weight"] and name not in keys and tied
    tests = (
        lambda key: key == name,
        lambda key: head and key.endswith(("embed_tokens.weight", "wte.weight", "word_embeddings.weight")),
        lambda key: key.endswith(f".{name}") or name.endswith(f".{key}"),
        lambda key: Counter(key.split(".")) == Counter(parts),
        lambda key: key.replace(".vision_model.", ".", 1) == name,
    )
    for test in tests:
        found = [key for key in keys if test(key)]
        if len(found) == 1:
            return found[0]
    raise ConversionError(f"the adapter changes {name}, which the base does not have: does it belong to another base?")


def is_tied(config: dict) -> bool:
    return bool(config.get("tie_word_embeddings", (config.get("text_config") or {}).get("tie_word_embeddings", False)))


def with_statistics(config: dict, adapters: list[Path]) -> tuple[dict, list[Fact]]:
    """The base's config with the statistics that the last run leaves; the base's own do not survive a fine-tune.

    Only models that un-normalise actions have them in their config.
    """
    if "norm_stats" not in config:
        return config, []
    for number, folder in reversed(list(enumerate(adapters, start=1))):
        statistics, name = read_json([folder], STATISTICS, required=False), STATISTICS
        if statistics is None:
            processor, name = read_json([folder], PROCESSOR, required=False) or {}, PROCESSOR
            statistics = processor.get("norm_stats")
        if statistics:
            fact = Fact("norm_stats", ", ".join(sorted(statistics)), f"read (adapter {number}, {name})")
            return {**config, "norm_stats": statistics}, [fact]
    return config, []


def write_statistics(folder: Path, config: dict) -> None:
    """Into the files of model and processor, which both read them; other models have none."""
    if "norm_stats" not in config:
        return
    for name in ("config.json", PROCESSOR):
        written = read_json([folder], name, required=False) or {}
        if written.get("norm_stats", config.get("norm_stats")) != config.get("norm_stats"):
            text = json.dumps({**written, "norm_stats": config["norm_stats"]}, indent=2)
            (folder / name).write_text(text + "\n", encoding="utf-8")


def write_config(folder: Path, config: dict, dtype: str) -> None:
    if dtype == "auto":
        return
    names = [name for name in ("dtype", "torch_dtype") if name in config] or ["torch_dtype"]
    text = json.dumps({**config, **dict.fromkeys(names, dtype)}, indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
