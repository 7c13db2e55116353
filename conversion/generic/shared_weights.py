"""Parameters that two names share: what adapters may do to them, and when PEFT takes them apart."""

from collections.abc import Iterable

import torch
from peft import LoraConfig

from ...configuration.vla_errors import ConversionError
from ..tensors.plan import PlannedTensor, SourceTensor
from ..tensors.verify_tensors import row_slices
from .merged_base import MergedBase
from .vocabulary import untied

ENDS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "lm_head.weight", "embed_out.weight")


def check_changed(merged: MergedBase, names: Iterable[str]) -> None:
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


def is_tied(config: dict) -> bool:
    return bool(config.get("tie_word_embeddings", (config.get("text_config") or {}).get("tie_word_embeddings", False)))
