"""The config of a model that is loaded with a run's adapter: what lies beside the adapter is the run's, and wins."""

import copy
from typing import Any

from transformers import PretrainedConfig
from transformers.utils import cached_file

from ..configuration.known_fields import own_arguments
from .adapter_loading import MISSING_IS_NONE, FoundAdapter
from .run_settings import settings_beside

OF_WEIGHTS = ("dtype", "torch_dtype", "quantization_config", "weight_quantization", "transformers_version")


def adapted_arguments(kind: type[PretrainedConfig], adapter: FoundAdapter, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `from_pretrained` with the config of base and run as `config`: fields of the run's config.json
    and its statistics and views take the place of those of the base that the caller did not change.

    An Auto class passes on the config of the base that it found, without the `revision` that the adapter names. What a
    config says of the weights stays, for these are the base's.

    Args:
        kind: the class of the config; kwargs: of `from_pretrained`, which stay as they are where nothing differs.

    Raises:
        ConfigError, CheckpointError, OSError: as by `settings_of_run`.
    """
    has_config = cached_file(adapter.place, "config.json", **adapter.files, **MISSING_IS_NONE)
    source = (adapter.place, adapter.files) if has_config else (adapter.base, adapter.base_files)
    read = (adapter.config_place, adapter.config_files)
    before, run = kind.from_pretrained(read[0], **read[1]), kind.from_pretrained(source[0], **source[1])
    settings = settings_beside(run, adapter.place, adapter.files)
    if source == read and not settings:
        return kwargs
    for name, value in settings.items():
        setattr(run, name, value)
    given = kwargs.get("config")
    fields = {}
    if not isinstance(given, PretrainedConfig):
        fields = {name: value for name, value in kwargs.items() if name in own_arguments(kind)}
        given = kind.from_pretrained(given or read[0], **read[1], **fields)
    others = {name: value for name, value in kwargs.items() if name not in fields}
    return others | {"config": with_changes(given, before, run)}


def with_changes(given: PretrainedConfig, before: PretrainedConfig, after: PretrainedConfig) -> PretrainedConfig:
    """A config with what has another value in `after` than in `before`, but for what is no longer as in `before`: of
    nested configs field by field, of all else (statistics, other mappings, lists) as a whole."""
    changed = copy.deepcopy(given)
    take_changes(changed, before, after)
    changed.check()
    return changed


def take_changes(config: PretrainedConfig, before: PretrainedConfig, after: PretrainedConfig) -> None:
    """Put them into the config."""
    own, old = config.to_dict(), before.to_dict()
    for name, value in after.to_dict().items():
        if name in OF_WEIGHTS or name.startswith("_") or value == old.get(name):
            continue
        parts = [getattr(each, name, None) for each in (config, before, after)]
        if own.get(name) == old.get(name):
            setattr(config, name, parts[-1])
        elif all(isinstance(part, PretrainedConfig) for part in parts) and len(set(map(type, parts))) == 1:
            take_changes(*parts)
