"""Which source tensors there are for each tensor of a model, under the names that the model has for them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from peft import LoraConfig

from ...configuration.vla_errors import ConversionError
from .adapter_names import BASE_LAYER_KEY, UNTRAINED, AdapterKey, full_name, parse_adapter_key, plain_name
from .lora_merge import LORA_BIAS
from .plan import Leftover, SourceTensor, Step
from .rename import Row, rename
from .tensor_source import TensorFile, TensorGroup


@dataclass(frozen=True)
class SourceGroup:
    """Files of one origin. They hold one version of a tensor, though perhaps under several names.

    Attributes:
        table: from the names in the files to those of the model.
        prefix: what the keys lack in front of the names that the table has.
        unmerged: whether the run's adapter has still to go into these weights.
    """

    files: TensorGroup
    table: Sequence[Row]
    prefix: str = ""
    unmerged: bool = False


@dataclass
class Candidates:
    """All sources of one tensor of the model.

    Attributes:
        versions: one for each group that has the tensor, the weakest first: its names in there, the best one last.
        adapters: LoRAs for it, one for each file that has one; for a bias the same as for its weight.
        again: (a copy, the part): parts of a LoRA that their file holds under a second name.
        wrapped: those of the versions that are the weight inside a LoRA layer.
    """

    versions: list[list[SourceTensor]] = field(default_factory=list)
    adapters: list[Step] = field(default_factory=list)
    again: list[tuple[SourceTensor, SourceTensor]] = field(default_factory=list)
    wrapped: set[SourceTensor] = field(default_factory=set)

    @property
    def best(self) -> SourceTensor:
        """The source that wins."""
        return self.versions[-1][-1]

    @property
    def sources(self) -> list[SourceTensor]:
        """All versions and parts of the adapters, under all their names."""
        parts = [source for lora in self.adapters for source in lora.own_parts]
        copies = [copy for copy, _ in self.again]
        return [source for version in self.versions for source in version] + parts + copies


@dataclass
class Collected:
    """Every source tensor, under the name that it has in the model, or among those the model has no use for.

    Attributes:
        adapter: the run's, which goes into the weights of `unmerged` files.
    """

    candidates: dict[str, Candidates]
    leftovers: list[Leftover]
    adapter: TensorFile | None = None
    unmerged: frozenset[TensorFile] = frozenset()

    def best(self, target: str) -> SourceTensor:
        """The source that wins.

        Raises:
            ConversionError: there is none.
        """
        if target not in self.candidates or not self.candidates[target].versions:
            raise ConversionError(f"no source has {target}. Is a file missing?")
        return self.candidates[target].best

    def shape(self, target: str) -> tuple[int, ...]:
        """Shape of the source that wins; raises as `best`."""
        return self.best(target).shape

    def num_layers(self, prefix: str) -> int:
        """How many layers there are with names from `{prefix}0` on.

        Raises:
            ConversionError: none.
        """
        numbers = [int(name[len(prefix) :].split(".")[0]) for name in self.candidates if name.startswith(prefix)]
        if not numbers:
            raise ConversionError(f"no source has {prefix}0: these are not the weights of such a model.")
        return max(numbers) + 1


def collect(
    groups: Iterable[SourceGroup], adapter: TensorFile | None = None, lora_config: LoraConfig | None = None
) -> Collected:
    """Rename the tensors of all files and sort them by target.

    Args:
        groups: the weakest first: what a later one has supersedes what an earlier one has.
        adapter, lora_config: the run's, where it has one; LoRAs in other files have the same config.

    Raises:
        ConversionError: a name is unknown, or there is a LoRA without a config.
    """
    collected = Collected(defaultdict(Candidates), [], adapter)
    for group in groups:
        add_group(collected, group, lora_config)
        if group.unmerged:
            collected.unmerged |= set(group.files.files)
    collected.candidates = dict(collected.candidates)
    return collected


def add_group(collected: Collected, group: SourceGroup, lora_config: LoraConfig | None) -> None:
    """Add what the files of one origin have: versions of tensors, parts of LoRAs, and what the model has no use for."""
    versions = defaultdict(list)
    for key, file in group.files.file_of.items():
        source, name = SourceTensor(file, key), group.prefix + full_name(key)
        if UNTRAINED.fullmatch(name):
            collected.leftovers.append(Leftover(source, "unused", "the base's own"))
            continue
        lora = parse_adapter_key(name)
        target, reason = rename(f"{lora.module}.weight" if lora else plain_name(name), group.table, str(file.path))
        if target is None:
            collected.leftovers.append(Leftover(source, "unused", reason))
        elif lora:
            step = add_lora_part(collected.candidates[target], lora, source, lora_config)
            if lora.part == LORA_BIAS:
                bias = rename(f"{lora.module}.bias", group.table, str(file.path)).target
                collected.candidates[bias].adapters.append(replace(step, kind="lora_bias"))
        else:
            versions[target].append(source)
            inside = BASE_LAYER_KEY.fullmatch(name)
            if inside and inside["parameter"] == "weight":  # a bias stays as it is
                collected.candidates[target].wrapped.add(source)
    for target, names in versions.items():
        names.sort(key=lambda source: (-len(source.key), source.key))
        collected.candidates[target].versions.append(names)


def add_lora_part(
    candidates: Candidates, key: AdapterKey, source: SourceTensor, lora_config: LoraConfig | None
) -> Step:
    """Add one tensor of a LoRA to its file's step. Raises ConversionError where no config says how strong it is."""
    source.check_floating()
    for known in candidates.adapters:
        if source.file is known.file:
            first = known.parts.setdefault(key.part, source)
            candidates.again += [(source, first)] if first is not source else []
            return known
    if lora_config is None:
        raise ConversionError(
            f"{source.file.path}: {source.key} is part of a LoRA, but the run has no lora_adapter/adapter_config.json, "
            "without which its strength (alpha / r) is unknown."
        )
    candidates.adapters.append(Step("lora", key.module, {key.part: source}, lora_config))
    return candidates.adapters[-1]
