"""Names of parameters across releases of transformers, by the tables that it loads checkpoints with itself."""

import re
from typing import NamedTuple, Protocol

from transformers import PreTrainedModel

try:
    from transformers import conversion_mapping, core_model_loading
except ImportError:  # transformers 4
    conversion_mapping = core_model_loading = None

from .transformers5_names import newer_names


class Translated(NamedTuple):
    """What becomes of a tensor in a file.

    Attributes:
        name: the model's name for it; the file's where the model has none.
        whole: whether it becomes that parameter as it is: not joined with others, split or permuted.
    """

    name: str
    whole: bool


class NameTranslation(Protocol):
    """From the names of any release to those of a model of the one that runs."""

    def of(self, key: str) -> Translated:
        """The model's name for a tensor that a file calls `key`."""


def translation_of(model: PreTrainedModel) -> NameTranslation:
    return Transformers4Names(model) if conversion_mapping is None else Transformers5Names(model)


class Transformers5Names:
    """As `from_pretrained` of transformers 5 names the tensors of a checkpoint."""

    def __init__(self, model: PreTrainedModel):
        transforms = conversion_mapping.get_model_conversion_mapping(model)
        self.renamings = [t for t in transforms if isinstance(t, core_model_loading.WeightRenaming)]
        self.converters = [t for t in transforms if not isinstance(t, core_model_loading.WeightRenaming)]
        self.prefix = model.base_model_prefix
        self.state = model.state_dict()

    def of(self, key: str) -> Translated:
        renamed = self.renamed(key, self.renamings, self.converters)
        if renamed.name not in self.state and key in self.state:
            return Translated(key, True)
        if renamed.whole and renamed.name not in self.state:
            return self.renamed(key, [], [])
        return renamed

    def renamed(self, key: str, renamings: list, converters: list) -> Translated:
        name, converter = core_model_loading.rename_source_key(key, renamings, converters, self.prefix, self.state)
        return Translated(name, converter is None)


class Transformers4Names:
    """As `from_pretrained` of transformers 4.57 names the tensors of a checkpoint, and the names of 5.x besides."""

    def __init__(self, model: PreTrainedModel):
        self.mapping = model._checkpoint_conversion_mapping
        self.prefix = f"{model.base_model_prefix}."
        self.state = model.state_dict()
        self.newer = newer_names(model)

    def of(self, key: str) -> Translated:
        for name in (key, self.mapped(key)):
            for candidate in (name, f"{self.prefix}{name}", name.removeprefix(self.prefix)):
                if candidate in self.state:
                    return Translated(candidate, True)
                if candidate in self.newer:
                    return Translated(self.newer[candidate], True)
        return Translated(key, True)

    def mapped(self, key: str) -> str:
        """By the first pattern of the class's table that matches."""
        for pattern, replacement in self.mapping.items():
            name, count = re.subn(pattern, replacement, key)
            if count:
                return name
        return key
