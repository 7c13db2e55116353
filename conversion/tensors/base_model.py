"""A base model without memory: what its parameters are called, are, and share."""

from collections import defaultdict
from functools import cached_property

from torch import nn
from transformers import PreTrainedModel

from ...configuration.vla_errors import ConversionError
from .transformers_names import NameTranslation, translation_of


class BaseModel:
    """A model on the meta device, with the names that its checkpoint's tensors have.

    Args:
        model: of the base's class; nothing in it is changed.
        keys: names of all tensors in the checkpoint's files.

    Attributes:
        translation: from names of any release to those of the model.
        key_of: the file's name for each of the model's parameters that one tensor of the file becomes unchanged.
    """

    def __init__(self, model: PreTrainedModel, keys: list[str]):
        self.model = model
        self.translation: NameTranslation = translation_of(model)
        self.key_of: dict[str, str] = {}
        self.converted: set[str] = set()
        for key in sorted(keys):  # some of transformers' tables depend on the order
            name, whole = self.translation.of(key)
            if whole:
                self.key_of.setdefault(name, key)
            else:
                self.converted.add(key)

    @cached_property
    def name_of(self) -> dict[str, str]:
        """The model's name for each tensor of the files that becomes one of its parameters unchanged."""
        return {key: name for name, key in self.key_of.items()}

    def store(self, name: str, instead_of: str | None = None) -> None:
        """Take note of a tensor that is stored under the model's own name from now on, and not as `instead_of`."""
        if instead_of:
            del self.key_of[self.name_of.pop(instead_of)]
        self.key_of[name] = name
        self.name_of[name] = name

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.model.named_parameters(remove_duplicate=False))

    @cached_property
    def ties(self) -> dict[str, tuple[str, ...]]:
        """For each shared parameter all its names, in the order in which PEFT comes by their modules."""
        groups = defaultdict(list)
        for name, parameter in self.parameters.items():
            groups[id(parameter)].append(name)
        return {name: tuple(group) for group in groups.values() if len(group) > 1 for name in group}

    @cached_property
    def ends(self) -> list[str]:
        """Parameters of the input and output embeddings that have a row for each entry of the vocabulary."""
        found = []
        names = {id(module): name for name, module in self.model.named_modules()}
        for getter in ("get_input_embeddings", "get_output_embeddings"):
            module = embeddings_of(self.model, getter)
            if id(module) in names:
                found += [f"{names[id(module)]}.{name}" for name, _ in module.named_parameters(recurse=False)]
        return found

    @cached_property
    def vocabulary(self) -> int:
        """Entries of the vocabulary: rows of the embeddings."""
        return self.parameters[self.ends[0]].shape[0]

    def key(self, name: str) -> str | None:
        """The file's name for a parameter that an adapter calls `name`, in the names of any release.

        Raises:
            ConversionError: two tensors answer to the name, or the base's is stored in another form than the adapter's.
        """
        translated, whole = self.translation.of(name)
        if not whole and translated == name:
            raise ConversionError(
                f"the adapter changes {name}, which transformers stores in another form than it computes with: merge "
                "it with PEFT's own merge_and_unload."
            )
        exact = name if name in self.name_of or name in self.converted else None
        found = {key for key in (exact, self.key_of.get(name)) if key} or {self.key_of.get(translated)}
        if len(found) > 1:
            raise ConversionError(
                f"the adapter changes {name}, which may be any of the base's {', '.join(sorted(found))}."
            )
        return found.pop()

    def module_names(self) -> list[dict[str, str]]:
        """The file's weight for each module, once by the names of each release that is known here."""
        weights = {name: key for name, key in self.key_of.items() if name.endswith(".weight")}
        for name, group in self.ties.items():
            stored = next((key for other in group if (key := self.key_of.get(other))), None)
            if stored and name.endswith(".weight"):
                weights.setdefault(name, stored)
        newer = {n: weights[name] for n, name in getattr(self.translation, "newer", {}).items() if name in weights}
        changed = {name for name in weights if name in getattr(self.translation, "newer", {}).values()}
        kept = {name: key for name, key in weights.items() if name not in changed}
        sets = [weights, kept | newer] if newer else [weights]
        return [{name.removesuffix(".weight"): key for name, key in names.items()} for names in sets]

    def module_of(self, key: str) -> nn.Module | None:
        """The module that a tensor of the files belongs to."""
        name = self.name_of.get(key)
        return self.model.get_submodule(name.rpartition(".")[0]) if name in self.parameters else None


def embeddings_of(model: PreTrainedModel, getter: str) -> nn.Module | None:
    try:
        return getattr(model, getter)()
    except (NotImplementedError, AttributeError):  # a vision tower has none
        return None
