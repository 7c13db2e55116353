"""From the tensors of a run to the plan of a checkpoint of ours, for every family."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PretrainedConfig, PreTrainedModel

from ..configuration.vla_errors import ConversionError
from ..modeling.initial_values import described
from ..modeling.new_parts import is_in_part
from .family import Family
from .files.json_file import read_json
from .job import Job
from .tensors.choice import checked_copy, choose
from .tensors.collected import Collected, SourceGroup, collect
from .tensors.initialised import initialised
from .tensors.plan import Fact, Leftover, Plan, PlannedTensor
from .tensors.safetensors_stream import TensorInfo
from .tensors.tensor_source import TensorGroup, open_checkpoint
from .tensors.verify_tensors import some


def plan_checkpoint(
    family: Family,
    job: Job,
    collected: Collected,
    config: PretrainedConfig,
    facts: list[Fact],
    new: Sequence[str] = (),
    seed: int = 0,
) -> Plan:
    """The plan with the settings that led to `config`, which gets its dtype.

    Args:
        new: parts that no source needs to have, as `from_pretrained` has them.
        seed: of what is initialised.

    Raises:
        ConversionError, ConfigError: see `make_plan`.
    """
    config.dtype = choose_dtype(job.dtype, collected, family.embeddings, facts)
    plan = make_plan(family, collected, config, config.dtype, new, seed)
    plan.facts = facts
    return plan


def plan_again(family: Family, job: Job, folder: Path, new: Sequence[str] = (), seed: int = 0) -> Plan:
    """The plan that led to a checkpoint, whose config is known, from its sources in `job`; new, seed: as in
    `plan_checkpoint`.

    Raises:
        ConversionError: the sources cannot be read, or do not fit the config.
    """
    if not family.table:  # key by key
        statistics = read_json([folder], "config.json", required=True).get("norm_stats")
        known = {"statistics": folder / "config.json"} if statistics else {}  # the run's may have been given
        return family.prepare(replace(job, given=job.given | known)).plan
    collected = tensors_of_run(family, job)
    dtype = choose_dtype(job.dtype, collected, family.embeddings, [])
    return make_plan(family, collected, family.config.from_pretrained(folder), dtype, new, seed)


def tensors_of_run(family: Family, job: Job) -> Collected:
    """Every tensor of a run, under its name in the model.

    Raises:
        ConversionError: there are no weights, or a name is unknown.
    """
    if family.collect:
        return family.collect(job)
    return collect([SourceGroup(weights_of(job.adapters[0], "run"), family.table)])


def weights_of(folder: Path, label: str) -> TensorGroup:
    """The weights of a folder, which reports call `label`.

    Raises:
        ConversionError: it has none.
    """
    weights = open_checkpoint(folder, label)
    if weights is None:
        raise ConversionError(f"{folder} holds no model weights (model.safetensors, its shards, or pytorch_model.bin).")
    return weights


def choose_dtype(name: str, collected: Collected, embeddings: str, facts: list[Fact]) -> torch.dtype:
    """`auto` is the dtype of the language model's embeddings, those of the base where there is one."""
    if name != "auto":
        facts.append(Fact("dtype", name, "given (--dtype)"))
        return getattr(torch, name)
    collected.best(embeddings)
    dtype = collected.candidates[embeddings].versions[0][-1].info.dtype
    facts.append(Fact("dtype", str(dtype).removeprefix("torch."), "read (embeddings)"))
    return dtype


def make_plan(
    family: Family,
    collected: Collected,
    config: PretrainedConfig,
    dtype: torch.dtype,
    new: Sequence[str] = (),
    seed: int = 0,
) -> Plan:
    """Decide about every tensor.

    Args:
        new, seed: see `plan_checkpoint`.

    Raises:
        ConversionError: the model needs a tensor that no source has, a source has one that no model needs, shapes do
            not fit, or copies of one tensor differ; the message names tensor and file.
        ConfigError: how a new tensor starts is unknown.
    """
    if family.check:
        family.check(collected, config)
    model, initial = described(family.model, config)
    shared = shared_names(model)
    shapes = model_shapes(model, shared)
    found = {name for name, candidates in collected.candidates.items() if candidates.versions}
    check_complete([name for name in shapes if name not in found], new, family)
    leftovers = list(collected.leftovers)
    for target in sorted(set(collected.candidates) - set(shapes)):
        leftovers += unused(target, collected, config, family, shared)
    tensors = []
    for target, shape in shapes.items():
        if target not in found:
            tensors.append(PlannedTensor(target, TensorInfo(shape, dtype), initialised(model, initial, target, seed)))
            continue
        planned, superseded = choose(target, shape, collected, dtype, family.misfit)
        tensors.append(planned)
        leftovers += superseded
    return Plan(tensors, leftovers)


def shared_names(model: PreTrainedModel) -> dict[str, str]:
    """Further names of shared parameters, such as tied embeddings, by the name that they are stored under."""
    first: dict[int, str] = {}
    names = {name: first.setdefault(id(value), name) for name, value in model.named_parameters(remove_duplicate=False)}
    return {name: stored for name, stored in names.items() if stored != name}


def model_shapes(model: PreTrainedModel, shared: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's tensors, as they are stored."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in shared}


def check_complete(missing: list[str], new: Sequence[str], family: Family) -> None:
    """new: parts that may be missing."""
    missing = [name for name in missing if not any(is_in_part(name, part) for part in new)]
    if missing:
        files = ", ".join(sorted({family.expected_in(name) for name in missing})) if family.expected_in else ""
        raise ConversionError(
            f"no source has {some(missing)}{f'; usually in {files}' if files else ''}. Is a file of the run missing, "
            "or does its config.json belong to another?"
        )


def unused(
    target: str, collected: Collected, config: PretrainedConfig, family: Family, shared: dict[str, str]
) -> list[Leftover]:
    """What becomes of tensors that the model does not store: nothing, or they are copies of others."""
    sources = collected.candidates[target].sources
    if reason := family.unused_reason(target, config):
        return [Leftover(source, "unused", reason) for source in sources]
    if target in shared:
        return [checked_copy(source, collected.best(shared[target])) for source in sources]
    raise ConversionError(
        f"{sources[0].file.path} holds {sources[0].key}, for which the model that config.json describes has no place: "
        "do adapter, base and config.json belong together?"
    )
