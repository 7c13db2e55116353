"""Does an adapter hold all that its own config names? Asked of PEFT's rules, over the modules of the base.

The config names modules as they were called where the adapter was trained. That may be another release of transformers,
so the base's weights have several sets of names; the adapter's own tensors tell which one is meant.
"""

import copy
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from peft import LoraConfig
from peft.tuners.tuners_utils import _maybe_include_all_linear_layers, check_target_module_exists
from torch import nn
from transformers.pytorch_utils import Conv1D

from ...configuration.vla_errors import ConversionError
from .adapter_file import AdapterContent
from .adapter_patterns import check_matching
from .base_model import BaseModel

ADAPTABLE = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv1D)
ALL_LINEAR = "all-linear"
HEADS = ("lm_head", "embed_tokens", "embed_out", "wte", "score", "classifier")
SHOWN = 5


def check_coverage(
    path: Path,
    content: AdapterContent,
    config: LoraConfig,
    base: BaseModel | None,
    shapes: Mapping[str, tuple[int, ...]],
    found: Mapping[str, str],
) -> None:
    """Refuse an adapter that leaves out something that its config names.

    Args:
        path: the adapter's file.
        shapes: of all tensors of the base, by the file's names.
        found: the base's weight for each module that the adapter changes, where it has one.

    Raises:
        ConversionError: a module, a parameter of `modules_to_save` or the rows of trained tokens is missing; the
            message names it.
    """
    names = names_of_weights(base, shapes, found)
    check_matching(config, {*names, *content.loras})
    adaptable = {module: key for module, key in names.items() if is_adaptable(key, base, shapes)}
    missing = [m for m in targeted(config, adaptable, base) if m not in content.loras]
    missing += [name for name in named_whole(config, names, shapes) if name not in content.whole]
    missing += [name for name in named_biases(config, names, shapes, content) if name not in content.whole]
    missing += missing_rows(config, content)
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ConversionError(
            f"{path} lacks {', '.join(missing[:SHOWN])}{more}, which its adapter_config.json names: is the file "
            "complete, and do both belong together?"
        )


def names_of_weights(
    base: BaseModel | None, shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, str]
) -> dict[str, str]:
    """The base's weight for each module, by the set of names that those of the adapter are from."""
    weights = {key.removesuffix(".weight"): key for key in shapes if key.endswith(".weight")}
    sets = [weights]
    if base is not None:
        unknown = {module: key for module, key in weights.items() if key in base.converted}
        sets = [unknown | known for known in base.module_names()] + sets
    for names in sets:
        if all(module in names for module in found):
            return names
    return by_prefixes(weights, found)


def by_prefixes(weights: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Names as the adapter would have them, where it puts other levels in front of the base's names."""
    prefixes = {}
    for module, key in found.items():
        ours, theirs = key.removesuffix(".weight").split("."), module.split(".")
        while ours and theirs and ours[-1] == theirs[-1]:
            ours, theirs = ours[:-1], theirs[:-1]
        prefixes[".".join(ours)] = ".".join(theirs)
    names, known = dict(found), set(found.values())
    for module, key in weights.items():
        for ours in sorted(prefixes, key=len, reverse=True):
            if key not in known and (not ours or module.startswith(f"{ours}.")):
                names[f"{prefixes[ours]}.{module[len(ours) :].lstrip('.')}".lstrip(".")] = key
                break
    return names


def is_adaptable(key: str, base: BaseModel | None, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    module = base and base.module_of(key)
    return isinstance(module, ADAPTABLE) if module is not None else len(shapes[key]) > 1


def targeted(config: LoraConfig, names: Mapping[str, str], base: BaseModel | None) -> list[str]:
    """The modules among `names` that PEFT would adapt."""
    if isinstance(config.target_modules, str) and config.target_modules.lower() == ALL_LINEAR:
        linear = linear_weights(config, base)
        config = copy.copy(config)
        config.target_modules = {m for m, key in names.items() if is_linear(key, linear, base)}
    if not config.target_modules:
        return []
    return [module for module in names if check_target_module_exists(config, module)]


def linear_weights(config: LoraConfig, base: BaseModel | None) -> Collection[str]:
    """The weights that `all-linear` means: of all linear layers but the output embeddings or a classifier's head."""
    if base is None:
        return ()
    return {f"{name}.weight" for name in _maybe_include_all_linear_layers(copy.copy(config), base.model).target_modules}


def is_linear(key: str, linear: Collection[str], base: BaseModel | None) -> bool:
    name = base and base.name_of.get(key)
    if name:
        return name in linear
    return key.removesuffix(".weight").rpartition(".")[2] not in HEADS


def named_whole(config: LoraConfig, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The parameters of modules that the config says are saved whole; PEFT matches the ends of module names."""
    wanted = tuple(config.modules_to_save or ())
    if not wanted:
        return []
    leaves = defaultdict(list)
    for key in shapes:
        module, _, leaf = key.rpartition(".")
        leaves[module].append(leaf)
    inside = [m for m in names if any(part.endswith(wanted) for part in parents(m))]
    return [f"{module}.{leaf}" for module in inside for leaf in leaves[names[module].removesuffix(".weight")]]


def named_biases(
    config: LoraConfig, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], content: AdapterContent
) -> list[str]:
    """The biases that were trained: of all modules with `bias="all"`, of the adapted ones with "lora_only"."""
    if config.bias == "none":
        return []
    modules = names if config.bias == "all" else [module for module in names if module in content.loras]
    return [f"{module}.bias" for module in modules if f"{names[module].removesuffix('.weight')}.bias" in shapes]


def parents(module: str) -> list[str]:
    """The module and all around it."""
    parts = module.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def missing_rows(config: LoraConfig, content: AdapterContent) -> list[str]:
    """Trained tokens; tied embeddings with the same tokens share one tensor."""
    wanted = config.trainable_token_indices
    if not wanted:
        return []
    if not isinstance(wanted, dict):
        return [] if content.rows else ["the rows of trainable_token_indices"]
    held = {name for name in wanted if any(module.endswith(name) for module in content.rows)}
    shared = [wanted[name] for name in held]
    return [f"the rows of {name}" for name in wanted if name not in held and wanted[name] not in shared]
