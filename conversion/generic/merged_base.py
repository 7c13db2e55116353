"""A base as the adapters merged so far left it: which of its tensors answers to which name of an adapter."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ...configuration.vla_errors import ConversionError
from ..tensors.base_model import BaseModel
from ..tensors.plan import PlannedTensor


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

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: planned.info.shape for name, planned in self.tensors.items()}

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
