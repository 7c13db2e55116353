"""One adapter's steps in the plan of its base: which tensor each of its own changes, replaces or makes larger."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from peft import LoraConfig

from ..configuration.vla_errors import ConversionError
from .adapter_coverage import check_coverage
from .adapter_file import AdapterContent, full_name, plain_name
from .base_model import BaseModel
from .lora_merge import LORA_BIAS, check_adapter, token_indices
from .plan import Leftover, PlannedTensor, SourceTensor, Step
from .safetensors_stream import TensorInfo
from .verify import row_slices
from .vocabulary import untied, with_vocabulary

ENDS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "lm_head.weight", "embed_out.weight")


@dataclass
class MergedBase:
    """The base as it is after the adapters so far.

    Attributes:
        tensors: those that will be written, by the names in the base's files.
        config: the content of config.json.
        model: the base's model, or `None` where its code is not known.
        ties: groups of the model's names for one shared parameter, in the order in which PEFT merges into it.
    """

    tensors: dict[str, PlannedTensor]
    config: dict
    model: BaseModel | None
    ties: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, tensors: dict[str, PlannedTensor], config: dict, model: BaseModel | None) -> "MergedBase":
        ties = list(dict.fromkeys(model.ties.values())) if model else []
        merged = cls(tensors, config, model, ties)
        for group in ties:
            merged.store_under_first(group)
        return merged

    def store_under_first(self, group: tuple[str, ...]) -> None:
        """Give a shared parameter the name that transformers 4 looks for, where the base has another alone."""
        keys = self.stored(group)
        if not keys or group[0] in self.model.key_of:
            return
        moved = self.tensors[keys[0]]
        renamed = replace(moved, name=group[0])
        self.tensors = {t.name: t for t in (renamed if t is moved else t for t in self.tensors.values())}
        self.model.store(group[0], instead_of=keys[0])

    def key(self, name: str) -> str:
        """The file's name for a parameter of the adapter.

        Raises:
            ConversionError: no tensor, or several, answer to the name.
        """
        found = self.model and self.model.key(name)
        return found or self.tied_key(name) or similar_key(name, self.tensors, self.model is None)

    def tied_key(self, name: str) -> str | None:
        return next(iter(self.stored(self.group(name))), None) if self.model else None

    def group(self, name: str) -> tuple[str, ...]:
        """The names that share a parameter with the one that an adapter calls `name`; its own alone where none does."""
        if self.model is None:
            return ()
        own = self.model.translation.of(name).name
        return next((group for group in self.ties if own in group), (own,))

    def stored(self, group: Iterable[str]) -> list[str]:
        """The tensors of the files that a group of names has."""
        return [key for name in group if (key := self.model.key_of.get(name)) in self.tensors]

    def planned(self, name: str) -> list[PlannedTensor]:
        """What is to change where an adapter changes `name`: one tensor, or all copies of a shared one."""
        keys = self.stored(self.group(name)) if self.model else []
        return [self.tensors[key] for key in keys or [self.key(name)]]


def add_adapter(merged: MergedBase, path: Path, content: AdapterContent, config: LoraConfig) -> list[Leftover]:
    """Add an adapter's steps to the plan; returns the tensors that are not in the output because of it.

    Raises:
        ConversionError: it names a module that the base does not have, lacks one that its config names, or shapes do
            not fit.
    """
    whole = dict(content.whole)
    leftovers = add_untrained(merged, content, whole)
    check_base(merged, [*whole, *(f"{module}.weight" for module in (*content.loras, *content.rows))])
    check_coverage(path, content, config, merged.model, shapes_of(merged), changed_weights(merged, content))
    untie(merged, whole, config)
    leftovers += replace_whole(merged, whole)
    add_loras(merged, content, config)
    for module, source in in_order(merged, content.rows):
        for planned in merged.planned(f"{module}.weight"):
            check_rows(module, source, planned.info.shape, config)
            planned.steps.append(Step("rows", module, {"rows": source}, config))
    return leftovers


def shapes_of(merged: MergedBase) -> dict[str, tuple[int, ...]]:
    return {name: planned.info.shape for name, planned in merged.tensors.items()}


def changed_weights(merged: MergedBase, content: AdapterContent) -> dict[str, str]:
    names = [f"{module}.weight" for module in (*content.loras, *content.rows)]
    names += [name for name in content.whole if name.endswith(".weight")]
    return {name.removesuffix(".weight"): merged.key(name) for name in names}


def add_untrained(merged: MergedBase, content: AdapterContent, whole: dict[str, SourceTensor]) -> list[Leftover]:
    """Copies of the base's own tensors are not used, unless the base had grown by then."""
    leftovers = []
    for source in content.untrained:
        name = plain_name(full_name(source.key).replace(".original_module.", ".").replace(".token_adapter.", "."))
        if name not in whole and source.shape != merged.planned(name)[0].info.shape:
            whole[name] = source
        else:
            leftovers.append(Leftover(source, "unused", "the base's own"))
    return leftovers


def check_base(merged: MergedBase, names: Iterable[str]) -> None:
    """What an adapter changes has to be weights, and one tensor where the config says that it is shared."""
    for name in names:
        if merged.model is None and is_tied(merged.config) and name.endswith(ENDS):
            raise ConversionError(
                f"the adapter changes {name}, which the base shares between both ends of the model in a way of its own "
                "class, which is not known here: merge it with PEFT's own merge_and_unload."
            )
        first, *copies = merged.planned(name)
        for planned in (first, *copies):
            if isinstance(planned.source, SourceTensor):
                planned.source.check_floating()
        for other in copies:
            check_same(first, other)


def check_same(first: PlannedTensor, second: PlannedTensor) -> None:
    """Releases differ in what they make of a tie whose weights are not equal, so nobody can say what the base is."""
    if first.source == second.source and len(first.steps) == len(second.steps):
        return
    if first.info.shape == second.info.shape and are_equal(first.source, second.source):
        return
    raise ConversionError(
        f"config.json ties {first.name} to {second.name}, but the base holds different numbers for them: set its "
        "tie_word_embeddings to what is meant."
    )


def are_equal(first: SourceTensor, second: SourceTensor) -> bool:
    """Whether two tensors of one shape hold the same numbers, a few rows at a time."""
    return all(torch.equal(first.load(rows).float(), second.load(rows).float()) for rows in row_slices(first.info))


def untie(merged: MergedBase, whole: dict[str, SourceTensor], config: LoraConfig) -> None:
    """A shared parameter that was trained as a module of its own is shared no longer, unless the adapter says so."""
    saved = tuple(config.modules_to_save or ())
    if getattr(config, "ensure_weight_tying", False) or not saved or merged.model is None:
        return
    for name in whole:
        group = merged.group(name)
        if len(group) > 1 and name.rpartition(".")[0].endswith(saved):
            split(merged, group)
            merged.ties.remove(group)
            merged.config = untied(merged.config, merged.model.model.config, merged.model.vocabulary)


def split(merged: MergedBase, group: tuple[str, ...]) -> None:
    """A tensor of its own for each name of a shared parameter."""
    stored = merged.tensors[merged.stored(group)[0]]
    for name in group:
        if merged.model.key_of.get(name) not in merged.tensors:
            merged.tensors[name] = PlannedTensor(name, stored.info, stored.source, list(stored.steps))
            merged.model.store(name)


def replace_whole(merged: MergedBase, whole: dict[str, SourceTensor]) -> list[Leftover]:
    grown = grown_names(merged, whole)
    leftovers = []
    for name, source in whole.items():
        for planned in merged.planned(name):
            if source.shape != planned.info.shape and name not in grown:
                raise ConversionError(
                    f"{source.file.path}: {source.key} has shape {source.shape}, the base's {planned.name} "
                    f"{planned.info.shape}."
                )
            reason = f"{source.file.label} has it"
            leftovers += [Leftover(old, "superseded", reason) for old in planned.sources if old != source]
            planned.info = TensorInfo(source.shape, planned.info.dtype)
            planned.source, planned.steps = source, []
    if grown:
        rows = whole[grown[0]].shape[0]
        merged.config = with_vocabulary(merged.config, merged.model.model.config, merged.model.vocabulary, rows)
    return leftovers


def grown_names(merged: MergedBase, whole: dict[str, SourceTensor]) -> list[str]:
    """The embeddings that were resized in training: input and output alike, each as the adapter calls it.

    Raises:
        ConversionError: only one of them was, or they differ in size.
    """
    if merged.model is None:
        return []
    names = {merged.model.translation.of(name).name: name for name in whole}
    ends = [name for name in merged.model.ends if name in merged.model.parameters]
    known = [end for end in ends if merged.stored(merged.group(end))]
    base_rows = {end: merged.planned(end)[0].info.shape[0] for end in known}
    rows = {end: rows_at(merged, end, names, whole) or base_rows[end] for end in base_rows}
    if rows == base_rows:
        return []
    if len(set(rows.values())) > 1:
        sizes = " and ".join(f"{count} rows of {end}" for end, count in rows.items())
        raise ConversionError(
            f"the adapter resized one end of the vocabulary and not the other: there would be {sizes}; save it again "
            "with save_embedding_layers=True, or with both in modules_to_save."
        )
    return [names[end] for end in ends if end in names]


def rows_at(merged: MergedBase, end: str, names: dict[str, str], whole: dict[str, SourceTensor]) -> int | None:
    """How many rows the adapter's own tensor for an embedding has, under any name that shares it."""
    found = [whole[names[name]].shape[0] for name in (end, *merged.group(end)) if name in names]
    return found[0] if found else None


def add_loras(merged: MergedBase, content: AdapterContent, config: LoraConfig) -> None:
    for module, parts in in_order(merged, content.loras):
        for planned in merged.planned(f"{module}.weight"):
            check_adapter(module, planned.info.shape, {part: source.shape for part, source in parts.items()}, config)
            planned.steps.append(Step("lora", module, parts, config))
        if LORA_BIAS in parts:
            merged.tensors[merged.key(f"{module}.bias")].steps.append(Step("lora_bias", module, parts, config))


def in_order(merged: MergedBase, by_module: dict) -> list[tuple]:
    """Modules in the order in which PEFT merges them, which matters for those that share a parameter."""

    def place(item: tuple) -> int:
        name = f"{item[0]}.weight"
        own = merged.model.translation.of(name).name if merged.model else name
        group = merged.group(name)
        return group.index(own) if own in group else 0

    return sorted(by_module.items(), key=place)


def check_rows(module: str, source: SourceTensor, shape: tuple[int, ...], config: LoraConfig) -> None:
    """Trained tokens have to be rows of the base's embedding."""
    indices = token_indices(module, config)
    if len(indices) != source.shape[0] or source.shape[1:] != shape[1:]:
        raise ConversionError(
            f"{source.file.path}: {source.key} has shape {source.shape}; its config names {len(indices)} tokens of "
            f"{module}, whose base has shape {shape}."
        )
    beyond = [index for index in indices if not 0 <= index < shape[0]]
    if beyond:
        raise ConversionError(
            f"{source.file.path} trained the token {beyond[0]} of {module}, but the base has {shape[0]} rows: resize "
            "its embeddings as they were in training."
        )


def similar_key(name: str, keys: Iterable[str], guess: bool) -> str:
    """The base's name for a parameter where transformers' tables do not say: other levels in front of it, or, for a
    model whose code is not known, the same parts in another order.

    Raises:
        ConversionError: no key, or several, answer to the name.
    """
    keys = list(keys)
    parts = name.split(".")
    tests = [
        lambda key: key == name,
        lambda key: key.endswith(f".{name}") or name.endswith(f".{key}"),
    ]
    if guess:
        tests.append(lambda key: Counter(key.split(".")) == Counter(parts))
    for test in tests:
        found = [key for key in keys if test(key)]
        if len(found) == 1:
            return found[0]
    raise ConversionError(f"the adapter changes {name}, which the base does not have: does it belong to another base?")


def is_tied(config: dict) -> bool:
    return bool(config.get("tie_word_embeddings", (config.get("text_config") or {}).get("tie_word_embeddings", False)))
