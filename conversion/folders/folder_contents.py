"""What a folder holds: a whole model, an adapter, a training run, or something else.

One look for all families and commands. It reads names and config.json, no weights.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ...configuration.checkpoint_weights import WEIGHT_NAMES
from ...configuration.vla_errors import ConversionError
from ..families import FAMILIES, OURS
from ..family import Family
from ..files.adapter_places import ADAPTER_FOLDER, ADAPTER_NAMES, adapter_files
from ..files.file_kinds import STATISTICS_NAME
from ..files.run_files import read_run_config

ADAPTER_CONFIG = "adapter_config.json"
LEVELS = ("*", f"{ADAPTER_FOLDER}/*")  # where else an adapter may lie
SHOWN = 3


class Kind(Enum):
    """The value says what a folder looks like, in words."""

    MODEL = "a whole model"
    CONVERTED = "a converted checkpoint"
    MERGED_RUN = "a training run with the whole model in it"
    FRAMEWORK_RUN = "a training run whose weights have names of their own"
    RUN = "a training run that is not merged"
    ADAPTER = "an adapter"
    ADAPTER_CONFIG = "an adapter without its weights"
    SIDE_FILES = "a training run's side files without the adapter"
    LEROBOT = "a LeRobot policy"
    DATASET = "a LeRobot dataset"
    SAVED_DATASET = "a dataset"
    CACHE = "a repository in the Hub's cache"
    PIPELINE = "a pipeline of diffusers"
    OTHER = "neither a model nor an adapter"


# Files by which a folder without weights is known.
MARKS = {
    "meta/info.json": Kind.DATASET,
    "dataset_info.json": Kind.SAVED_DATASET,  # of `Dataset.save_to_disk`, or of tensorflow-datasets
    "refs/main": Kind.CACHE,
    "model_index.json": Kind.PIPELINE,
    ADAPTER_CONFIG: Kind.ADAPTER_CONFIG,
    f"{ADAPTER_FOLDER}/{ADAPTER_CONFIG}": Kind.ADAPTER_CONFIG,
}
WHOLE = (Kind.MODEL, Kind.CONVERTED, Kind.FRAMEWORK_RUN)
ADAPTED = (Kind.RUN, Kind.ADAPTER, Kind.MERGED_RUN)


@dataclass(frozen=True)
class FolderContents:
    """Names of what was found, relative to the folder.

    Attributes:
        weights: of a whole model, in transformers' form.
        adapter: in the folder or in its lora_adapter/.
        adapters_below: other folders, one level down, that hold an adapter.
        side_files: of OpenVLA-OFT and CogVLA, such as action_head--10_checkpoint.pt.
        words: what the folder looks like.
        run_of: the training run that this folder is the adapter of, where it lies in one.
    """

    folder: Path
    kind: Kind
    weights: list[str]
    adapter: list[str]
    adapters_below: list[str]
    side_files: list[str]
    words: str
    run_of: Path | None

    def __str__(self) -> str:
        names = [*self.weights, *self.adapter, *self.side_files]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        shown = f" ({', '.join(names[:SHOWN])}{more})" if names else ""
        below = f", with an adapter in {', '.join(self.adapters_below)}" if self.adapters_below else ""
        inside = f", that of the run {self.run_of}" if self.run_of else ""
        return f"{self.folder} looks like {self.words}{shown}{inside}{below}"


def look_at(folder: Path) -> FolderContents:
    """What a folder holds.

    Raises:
        ConversionError: it is no folder, or its config.json cannot be read.
    """
    if not folder.is_dir():
        raise ConversionError(f"{folder} is not a folder.")
    weights = [name for name in WEIGHT_NAMES if (folder / name).exists()][:1]
    adapter = adapter_files(folder)
    side_files = side_files_of(folder)
    config = {} if adapter or side_files else read_run_config(folder)
    kind = look_of(folder, config, weights, adapter, side_files)
    below = {path.parent for name in ADAPTER_NAMES for at in LEVELS for path in folder.glob(f"{at}/{name}")}
    return FolderContents(
        folder=folder,
        kind=kind,
        weights=weights,
        adapter=adapter,
        adapters_below=sorted(str(path.relative_to(folder)) for path in below if path.name != ADAPTER_FOLDER),
        side_files=side_files,
        words=run_words(folder, config) if kind is Kind.FRAMEWORK_RUN else kind.value,
        run_of=run_above(folder) if adapter and not side_files else None,
    )


def run_above(folder: Path) -> Path | None:
    """The training run whose adapter a folder is, where other parts of what was trained lie above it."""
    folder = folder.resolve()
    statistics = folder.name == ADAPTER_FOLDER and (folder.parent / STATISTICS_NAME).is_file()
    return folder.parent if statistics or side_files_of(folder.parent) else None


def side_files_of(folder: Path) -> list[str]:
    kinds = [kind for family in FAMILIES.values() for kind in family.side_files]
    return sorted(path.name for kind in kinds for path in folder.glob(f"{kind}--*.pt"))


def look_of(
    folder: Path, config: dict[str, Any], weights: list[str], adapter: list[str], side_files: list[str]
) -> Kind:
    if weights and (adapter or side_files):
        return Kind.MERGED_RUN
    if adapter:
        return Kind.RUN if side_files else Kind.ADAPTER
    if side_files:
        return Kind.SIDE_FILES
    if is_lerobot_policy(folder, config):
        return Kind.LEROBOT
    if weights:
        return Kind.CONVERTED if is_converted(config) else Kind.MODEL
    if run_words(folder, config):
        return Kind.FRAMEWORK_RUN
    return next((kind for path, kind in MARKS.items() if (folder / path).is_file()), Kind.OTHER)


def is_lerobot_policy(folder: Path, config: dict[str, Any]) -> bool:
    """LeRobot's config.json names a policy by `type` and knows no `model_type`."""
    if "model_type" in config:
        return False
    trained = isinstance(config.get("type"), str) and (folder / "train_config.json").exists()
    return trained or "input_features" in config or "output_features" in config


def run_words(folder: Path, config: dict[str, Any]) -> str:
    """What a folder is as a run of a family whose weights have names of their own, in words; empty where it is none."""
    return next((family.run_words for family in FAMILIES.values() if family.is_run(folder, config)), "")


def is_converted(config: dict[str, Any]) -> bool:
    """Whether a config.json is one of ours; two families have the published model type and other fields."""
    family = OURS.get(config.get("model_type"))
    return family is not None and family.is_converted(config)


def published_family(config: dict[str, Any]) -> Family | None:
    """The family of a config.json that is a published model's, which has to be converted first."""
    model_type = config.get("model_type")
    family = next((family for family in FAMILIES.values() if model_type in family.published), None)
    return None if is_converted(config) else family
