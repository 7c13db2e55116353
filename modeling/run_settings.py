"""What the run of an adapter says beside its tensors, and its model predicts and writes by: the statistics of its data,
the names of its views and where texts end. Those of the base model are of other data."""

import copy
import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import cached_file, logging

from ..configuration.checkpoint_card import is_model_of
from ..configuration.checkpoint_json import read_mapping
from ..configuration.normalization_statistics import check_statistics, plain
from ..configuration.view_names import checked_view_names
from ..configuration.vla_errors import ConfigError
from .adapter_loading import hub_arguments
from .generation_settings import GENERATION, read_generation
from .replaced_weights import STATISTICS, VIEWS, put_other_statistics_aside

PROCESSOR = "processor_config.json"  # of a run's folder, where there is no file of their own, it tells both
OF_RUN = ("norm_stats", "view_names")

logger = logging.get_logger(__name__)


def settings_of_run(model: PreTrainedModel, place: Any, name: str | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Of the folder or repository of an adapter the fields of `OF_RUN` that its run records, by their names; none for a
    part of a model.

    Args:
        model: into which the adapter is to be loaded.
        place: `None` where the adapter's tensors are given as they are.
        name, kwargs: of the adapter, and the other arguments of `load_adapter`.

    Raises:
        ConfigError: the model cannot normalise by the statistics, has not as many views, or has an adapter of a run
            with others.
        CheckpointError: a file is no JSON.
        OSError: the Hub does not answer; the base's statistics would take the place of the run's.
    """
    if place is None or not is_model_of(model, model.config):
        return {}
    files = hub_arguments(kwargs | (kwargs.get("adapter_kwargs") or {}))
    settings = settings_beside(model.config, place, files)
    others = set(model.peft_config) - {name or "default"} if model._hf_peft_config_loaded else set()
    check_one_run(model.config, settings, place, others)
    return settings


def settings_beside(config: PretrainedConfig, place: Any, files: dict[str, Any]) -> dict[str, Any]:
    """The fields of `OF_RUN` that the run of an adapter records and a model of this config has; errors as above.

    files: the arguments that say which of the place's files are meant.
    """
    try:
        return checked_settings(config, *recorded(place, files))
    except ConfigError as error:
        raise ConfigError(f"{place}, whose adapter is for this model: {error}") from error


def recorded(place: Any, files: dict[str, Any]) -> tuple[Any, Any]:
    """Statistics and names of views in the files of a run, where it has such; files: which of them are meant."""
    statistics, views, processor = (read_of_run(place, name, files) for name in (STATISTICS, VIEWS, PROCESSOR))
    return statistics or processor.get("norm_stats"), (views or processor).get("view_names")


def read_of_run(place: Any, name: str, files: dict[str, Any]) -> dict[str, Any]:
    """The content of a file of a run, `{}` where it has none; files: as above."""
    is_offline = constants.HF_HUB_OFFLINE or bool(files.get("local_files_only"))
    missing_is_none = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": not is_offline,
    }
    path = cached_file(place, name, **files, **missing_is_none)
    return {} if path is None else read_mapping(Path(path))


def generation_of_run(model: PreTrainedModel, place: Any, kwargs: dict[str, Any]) -> GenerationConfig | None:
    """The settings by which the model of a run writes, where they lie beside its adapter; arguments as in
    `settings_of_run`.

    Raises:
        CheckpointError: the file cannot be read.
        OSError: the Hub does not answer.
    """
    if place is None or not is_model_of(model, model.config):
        return None
    content = read_of_run(place, GENERATION, hub_arguments(kwargs | (kwargs.get("adapter_kwargs") or {})))
    return read_generation(content, place) if content else None


def checked_settings(config: PretrainedConfig, statistics: Any, view_names: Any) -> dict[str, Any]:
    """Those that a model of this config has and that are recorded; raises ConfigError where they do not fit it."""
    settings = {}
    if config.normalization_type is not None and statistics:  # the others normalise by numbers of their own
        check_statistics(statistics, config.normalization_type, config.action_dim, config.state_size)
        settings["norm_stats"] = statistics
    if names := checked_view_names(view_names, config.num_images_in_input):
        settings["view_names"] = names
    return settings


def check_one_run(config: PretrainedConfig, settings: dict[str, Any], place: Any, others: set[str]) -> None:
    """Refuse an adapter of other data than the adapters that a model has: its config holds those of one run.

    others: the names of the adapters that stay in the model.

    Raises:
        ConfigError: a setting differs.
    """
    for name, value in settings.items():
        own = plain(getattr(config, name, None))
        if others and own and own != value:
            raise ConfigError(
                f"{place} was trained with other {name} ({', '.join(value)}) than this model and its adapter "
                f"{', '.join(sorted(others))} ({', '.join(own)}), and a model predicts by those of one run: load it "
                "into a model of its own."
            )


def apply_settings(config: PretrainedConfig, settings: dict[str, Any], place: Any) -> None:
    """Put the settings of a run into the config of a model that its adapter was loaded into."""
    for name, value in settings.items():
        setattr(config, name, copy.deepcopy(value))
    if place is not None and getattr(config, "norm_stats", None) and "norm_stats" not in settings:
        logger.warning(
            "%s holds neither %s nor %s with statistics: the model predicts in the units of %s, which it had before. "
            "Where the adapter was trained with others, set model.config.norm_stats.",
            *(place, STATISTICS, PROCESSOR, ", ".join(config.norm_stats)),
        )


def settle_settings(folder: str | os.PathLike, config: PretrainedConfig, is_adapter: bool) -> None:
    """Beside an adapter that was saved, the statistics and the names of the views that it was trained with: a
    config.json there is none. Beside a whole model, whose config has its own, no others: the statistics of a former run
    go into the subfolder `_replaced_adapter`.
    """
    if not is_adapter:
        put_other_statistics_aside(folder, config)
        return
    if config.norm_stats:
        text = json.dumps(plain(config.norm_stats), indent=2, allow_nan=False)
        Path(folder, STATISTICS).write_text(text, encoding="utf-8")
    if names := getattr(config, "view_names", None):
        text = json.dumps({"view_names": names}, indent=2, allow_nan=False)
        Path(folder, VIEWS).write_text(text, encoding="utf-8")
    else:
        Path(folder, VIEWS).unlink(missing_ok=True)  # of another model that was saved there
