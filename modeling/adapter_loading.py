"""PEFT adapters through the model's own `load_adapter` and `from_pretrained`: every tensor arrives, or an error says
which did not."""

import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open
from torch import nn
from transformers.utils import CONFIG_NAME, cached_file, has_file
from transformers.utils.hub import extract_commit_hash

from ..configuration.checkpoint_json import read_mapping
from ..configuration.checkpoint_place import ADAPTER
from ..configuration.checkpoint_weights import WEIGHT_NAMES, with_variant
from ..configuration.transformers_release import IS_4
from ..configuration.vla_errors import CheckpointError, ConfigError
from .adapter_filling import PEFT_PREFIX

HAS_WEIGHT_MAPPING = not IS_4
OF_ADAPTERS = ("adapter_kwargs", "adapter_name")
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
MISSING_IS_NONE = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
SHOWN = 8


def own_weight_mapping(model: nn.Module) -> list[Any]:
    """transformers' renames of loaded keys (5.x), without those that would take away names that this model has.

    One for old checkpoints renames `language_model.model.model`, which is a name of ours. Where weights are loaded a
    name that is there wins; where an adapter is loaded it does not.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping  # 4.57 has none

    names = list(model.state_dict())
    return [rule for rule in get_model_conversion_mapping(model) if not renames_any(rule, names)]


def renamed_weight(model: nn.Module) -> str | None:
    """A weight whose name transformers would take for that of an old checkpoint (5.x), where there is one."""
    if not HAS_WEIGHT_MAPPING:
        return None
    from transformers.conversion_mapping import get_model_conversion_mapping

    rules = get_model_conversion_mapping(model)
    return next((name for name in model.state_dict() for rule in rules if renames_any(rule, [name])), None)


def renames_any(rule: Any, names: Iterable[str]) -> bool:
    return any(rule.rename_source_key(name)[0] != name for name in names)


def check_names(source: Any, problems: dict[str, Iterable[str]]) -> None:
    """Refuse weights that lack names or bring others.

    problems: `{kind: names}`, such as `{"missing_keys": [...]}`.

    Raises:
        ConfigError: there are any; the message names them.
    """
    for kind, found in problems.items():
        if names := sorted(entry if isinstance(entry, str) else entry[0] for entry in found):
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise ConfigError(
                f"{source}: the weights do not fit the config; {kind.replace('_', ' ')}: "
                f"{', '.join(names[:SHOWN])}{more}."
            )


def adapter_problems(
    model: nn.Module, source: Any, name: str, info: Any, files: dict[str, Any]
) -> dict[str, Iterable[str]]:
    """What did not fit when an adapter of this name was loaded, as for `check_names`.

    files: the arguments that say which files of the source are meant;
    info: what `load_adapter` returned: a report since 5.18, which misses the tensors of all other adapters, too; before
        that (`adapter_filling`) nothing, and the file's names are read instead.
    """
    if info is not None:
        found = {kind: getattr(info, kind) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
        missing = {key for key in found["missing_keys"] if name in key.split(".")}
        return found | {"missing_keys": missing - tied_to_others(model, missing)}
    path = None if source is None else cached_file(source, "adapter_model.safetensors", **files, **MISSING_IS_NONE)
    if path is None:
        return {}
    wanted = set(model.get_adapter_state_dict(name))
    with safe_open(path, framework="pt") as file:
        given = {key.removeprefix(PEFT_PREFIX) for key in file.keys()}  # noqa: SIM118
    return {"missing_keys": wanted - given, "unexpected_keys": given - wanted}


def tied_to_others(model: nn.Module, missing: set[str]) -> set[str]:
    """Which of these parameters came by another name, as the rows of `trainable_token_indices` do where input and
    output embeddings are tied: PEFT saves them once."""
    named = dict(model.named_parameters(remove_duplicate=False))
    loaded = {id(parameter) for key, parameter in named.items() if key not in missing}
    return {key for key in missing if key in named and id(named[key]) in loaded}


class FoundAdapter(NamedTuple):
    """An adapter and its base, each with the arguments of `from_pretrained` that say which of its files are meant; and
    where an Auto class has read the config that it passes on, as `from_pretrained` reads it where there is none."""

    base: str
    base_files: dict[str, Any]
    place: Any
    files: dict[str, Any]
    config_place: Any
    config_files: dict[str, Any]


def adapter_of(name_or_path: Any, kwargs: dict[str, Any]) -> FoundAdapter | None:
    """The adapter that the arguments of `from_pretrained` lead to, as an Auto class has found it (it passes on the base
    and `_adapter_model_path`), or as it lies in a folder or repository; `None` where there is a model itself.

    The base is of the `revision` that the adapter's config names, which an Auto class does not look at.

    Raises:
        CheckpointError: see `check_no_model_beside`.
    """
    own, asked = hub_arguments(kwargs), dict(kwargs.get("adapter_kwargs") or {})
    of_base = {key: value for key, value in own.items() if key not in ("revision", "subfolder")}
    by_auto = asked.get("_adapter_model_path") is not None
    if by_auto and "revision" in own and "revision" not in asked:  # by 4.57; 5.x asks, and `own` is the base's
        asked["revision"] = own.pop("revision")
    place = asked["_adapter_model_path"] if by_auto else name_or_path
    files = (of_base if by_auto else own) | hub_arguments(asked)
    path = None if place is None else cached_file(place, ADAPTER, **files, **MISSING_IS_NONE)
    if path is None:
        return None
    check_no_model_beside(place, files, kwargs.get("variant"))
    in_folder = in_subfolder(place, files)
    if is_in_model(place, own, files, kwargs.get("variant")):
        return FoundAdapter(place, own, *in_folder, name_or_path, own)
    written = read_mapping(Path(path))
    base = name_or_path if by_auto and place != name_or_path else written.get("base_model_name_or_path")
    files_of_base = dict(own) if by_auto and place != name_or_path else of_base
    if (revision := written.get("revision")) is not None:
        files_of_base["revision"] = revision
    read = (name_or_path, own) if by_auto else (base, files_of_base)
    if not base:
        raise CheckpointError(
            f"{place}: adapter_config.json names no model that this is an adapter of (base_model_name_or_path); load "
            "that model by itself, and then model.load_adapter of this."
        )
    return FoundAdapter(base, files_of_base, *in_folder, *read)


def is_in_model(place: Any, own: dict[str, Any], files: dict[str, Any], variant: str | None) -> bool:
    """Whether the adapter lies in a folder of its own in that of a model, or in a model's repository.

    own, files: the arguments that say which files of the model, and of the adapter, are meant; variant: of the weights.
    """
    apart = (files.get("subfolder") or "") != (own.get("subfolder") or "")
    return apart and weights_of_model(place, own, variant) is not None


def in_subfolder(place: Any, files: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A local folder and its `subfolder` as one folder: transformers 4.57 and PEFT do not look into the latter."""
    if place is None or not os.path.isdir(place):
        return place, files
    others = {key: value for key, value in files.items() if key != "subfolder"}
    return (os.path.join(place, files["subfolder"]) if files.get("subfolder") else place), others


def check_no_model_beside(place: Any, files: dict[str, Any], variant: str | None) -> None:
    """Refuse the weights of a model in the folder or repository of an adapter: which of them is read, and whether the
    adapter is added to them, differs between releases of transformers.

    files: the arguments that say which files are meant; variant: of the weights.

    Raises:
        CheckpointError: there are such.
    """
    if whole := weights_of_model(place, files, variant):
        raise CheckpointError(
            f"{place} holds an adapter ({ADAPTER}) and the weights of a model ({whole}): remove the files of the "
            "one that is not meant, or move the adapter into a folder of its own."
        )


def weights_of_model(place: Any, files: dict[str, Any], variant: str | None) -> str | None:
    """The file of a model's weights, or of their shards' names, in a folder or repository; arguments as above."""
    where = {key: value for key, value in files.items() if key not in ("force_download", "subfolder")}
    names = [os.path.join(files.get("subfolder") or "", with_variant(name, variant)) for name in WEIGHT_NAMES]
    return next((name for name in names if has_file(place, name, **where)), None)


def by_their_names(load: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `load_adapter` is given behind the adapter's place and name, with `revision` and `token` in its
    `adapter_kwargs`, where both lines look for them; 4.57 takes them beside it, too.

    load: transformers' method, of a model.
    """
    given = dict(zip(list(inspect.signature(load).parameters)[2:], args, strict=False)) | kwargs
    files = {name: given.pop(name) for name in ("revision", "token") if name in given}
    files = {name: value for name, value in files.items() if value is not None}
    return given | {"adapter_kwargs": files | dict(given.get("adapter_kwargs") or {})}


def commit_of(name_or_path: Any, files: dict[str, Any]) -> str | None:
    """Of the files of a repository that are meant; `None` of a folder."""
    return extract_commit_hash(cached_file(name_or_path, CONFIG_NAME, **files, **MISSING_IS_NONE), None)


def hub_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Of the arguments of `from_pretrained` those that say which files are meant."""
    return {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
