"""From the files of a run to a plan: which source wins for each tensor, and what happens to every other."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_errors import ConversionError
from ...modeling.cogvla.modeling_cogvla import CogVLAForActionPrediction
from ..tensors.adapter_file import UNTRAINED, full_name, plain_name
from ..tensors.lora_merge import BASE_LAYER_KEY, AdapterKey, check_adapter, parse_adapter_key
from ..tensors.plan import Leftover, Plan, PlannedTensor, SourceTensor, Step, cast_info
from ..tensors.rename import rename
from .openvla_coverage import check_run_adapter
from .openvla_layout import SIDE_FILES, TABLE, Layout, expected_in, unused_reason

SHOWN = 5


@dataclass
class Candidates:
    """All sources of one tensor of the model, weakest first."""

    plain: list[SourceTensor] = field(default_factory=list)
    adapters: list[Step] = field(default_factory=list)
    wrapped: set[SourceTensor] = field(default_factory=set)  # of `plain`: the weights inside a LoRA layer


@dataclass
class Collected:
    """Every source tensor, under the name that it has in the model, or among those the model has no use for."""

    candidates: dict[str, Candidates]
    leftovers: list[Leftover]

    def shape(self, target: str) -> tuple[int, ...]:
        """Shape of the source that wins."""
        return self.candidates[target].plain[-1].shape


def collect(layout: Layout) -> Collected:
    """Read the names in all files, rename them, and sort them by target."""
    candidates: dict[str, Candidates] = defaultdict(Candidates)
    leftovers = []
    for source, name in named_sources(layout):
        if UNTRAINED.fullmatch(name):
            leftovers.append(Leftover(source, "unused", "the base's own"))
            continue
        lora = parse_adapter_key(name)
        wrapped = BASE_LAYER_KEY.fullmatch(name)
        target, reason = rename(f"{lora.module}.weight" if lora else plain_name(name), TABLE, str(source.file.path))
        if target is None:
            leftovers.append(Leftover(source, "unused", reason))
        elif lora:
            add_lora_part(candidates[target].adapters, lora, source, layout)
        else:
            candidates[target].plain.append(source)
            if wrapped and wrapped["parameter"] == "weight":  # a bias stays as it is
                candidates[target].wrapped.add(source)
    return Collected(dict(candidates), leftovers)


def named_sources(layout: Layout) -> Iterator[tuple[SourceTensor, str]]:
    """Every tensor of every file with its published name in full, weakest source first."""
    for key in layout.weights:
        yield SourceTensor(layout.weights.file_of[key], key), key
    if layout.adapter:
        for key in layout.adapter.infos:
            yield SourceTensor(layout.adapter, key), full_name(key)
    for kind, file in layout.side_files.items():
        for key in file.infos:
            yield SourceTensor(file, key), SIDE_FILES[kind] + full_name(key)


def add_lora_part(adapters: list[Step], key: AdapterKey, source: SourceTensor, layout: Layout) -> None:
    source.check_floating()
    for known in adapters:
        if source.file is known.file:
            known.parts[key.part] = source
            return
    if layout.lora_config is None:
        raise ConversionError(
            f"{source.file.path}: {source.key} is part of a LoRA, but the run has no lora_adapter/adapter_config.json, "
            "without which its strength (alpha / r) is unknown."
        )
    adapters.append(Step("lora", key.module, {key.part: source}, layout.lora_config))


def make_plan(layout: Layout, collected: Collected, config: CogVLAConfig, dtype: torch.dtype) -> Plan:
    """Decide about every tensor.

    Raises:
        ConversionError: the model needs a tensor that no source has, a source has one that no model needs, or shapes
            do not fit; the message names tensor and file.
    """
    expected = model_shapes(config)
    leftovers = list(collected.leftovers)
    check_complete(expected, collected)
    for target in sorted(set(collected.candidates) - set(expected)):
        leftovers += unused(target, collected.candidates[target], config)
    tensors = []
    for target, shape in expected.items():
        planned, superseded = choose(target, shape, collected.candidates[target], layout, dtype)
        tensors.append(planned)
        leftovers += superseded
    plan = Plan(tensors, leftovers)
    check_run_adapter(layout, plan)
    return plan


def model_shapes(config: CogVLAConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's parameters, from the model itself, built without memory."""
    with torch.device("meta"):
        model = CogVLAForActionPrediction(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["language_model.lm_head.weight"]
    return shapes


def check_complete(expected: dict[str, tuple[int, ...]], collected: Collected) -> None:
    missing = [name for name in expected if not collected.candidates.get(name, Candidates()).plain]
    if missing:
        files = ", ".join(sorted({expected_in(name) for name in missing}))
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ConversionError(
            f"no source has {', '.join(missing[:SHOWN])}{more}; usually in {files}. Is a file of the run missing, or "
            "does its config.json belong to another?"
        )


def unused(target: str, candidates: Candidates, config: CogVLAConfig) -> list[Leftover]:
    sources = candidates.plain + [source for lora in candidates.adapters for source in lora.parts.values()]
    reason = unused_reason(target, config)
    if reason is None:
        raise ConversionError(
            f"{sources[0].file.path} holds {sources[0].key}, for which the model that config.json describes has no "
            "place: do adapter, base and config.json belong together?"
        )
    return [Leftover(source, "unused", reason) for source in sources]


def choose(
    target: str, shape: tuple[int, ...], candidates: Candidates, layout: Layout, dtype: torch.dtype
) -> tuple[PlannedTensor, list[Leftover]]:
    """The strongest source, the adapter that still has to go into it, and all that they supersede."""
    *weaker, winner = candidates.plain
    if winner.shape != shape:
        raise ConversionError(
            f"{winner.file.path}: {winner.key} has shape {winner.shape}, the model needs {shape} for {target}."
        )
    winner.check_floating()
    leftovers = [Leftover(source, "superseded", f"{winner.file.label} has it") for source in weaker]
    lora = adapter_of(winner, candidates, layout)
    for other in candidates.adapters:
        if other is not lora:
            reason = f"{winner.file.label} has the trained weight"
            leftovers += [Leftover(source, "superseded", reason) for source in other.parts.values()]
    if lora:
        check_adapter(lora.module, shape, {part: source.shape for part, source in lora.parts.items()}, lora.config)
    elif winner in candidates.wrapped:
        raise ConversionError(f"{winner.file.path} holds {winner.key} but not the LoRA that belongs to it.")
    return PlannedTensor(target, cast_info(winner, dtype), winner, [lora] if lora else []), leftovers


def adapter_of(winner: SourceTensor, candidates: Candidates, layout: Layout) -> Step | None:
    """What still has to be merged into a weight: the LoRA beside it in its own file, else the run's adapter, unless
    the weight was trained or merged already."""
    by_file = {lora.file: lora for lora in candidates.adapters}
    if winner.file in by_file:
        return by_file[winner.file]
    unmerged = winner.file in layout.weights.files and not layout.merged
    return by_file.get(layout.adapter) if unmerged or winner in candidates.wrapped else None
