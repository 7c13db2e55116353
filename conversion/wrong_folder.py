"""What a folder is that was given in the place of another: the error says so, and what to do with it."""

from collections.abc import Callable
from pathlib import Path

from ..configuration.vla_errors import ConversionError
from .json_file import load_json

SIDE_FILES = "*--*_checkpoint.pt"
ADAPTER = "adapter_config.json"
STATISTICS = "dataset_statistics.json"
LEROBOT_DATASET = "meta/info.json"


def what_it_is(folder: Path) -> str | None:
    """A sentence about a folder that no command converts as it is; `None` for one that it knows nothing about."""
    config = config_of(folder)
    return next((text for look in LOOKS if (text := look(folder, config))), None)


def check_run_folder(folder: Path) -> None:
    """Refuse the `lora_adapter` folder of a run in the place of the run: the rest of what was trained lies above it.

    Raises:
        ConversionError: the message names the run.
    """
    text = adapter_inside_a_run(folder, {})
    if text:
        raise ConversionError(text)


def config_of(folder: Path) -> dict:
    path = folder / "config.json"
    content = load_json(path) if path.exists() else {}
    return content if isinstance(content, dict) else {}


def adapter_inside_a_run(folder: Path, config: dict) -> str | None:
    run = folder.resolve().parent
    others = [run / STATISTICS] if folder.resolve().name == "lora_adapter" else []
    beside = [path.name for path in (*sorted(run.glob(SIDE_FILES)), *others) if path.is_file()]
    if not (folder / ADAPTER).is_file() or not beside:
        return None
    return (
        f"{folder} is the adapter inside of a training run, whose other parts lie above it ({', '.join(beside[:3])}): "
        f"name the run, {run}."
    )


def lerobot_policy(folder: Path, config: dict) -> str | None:
    if "model_type" in config or not {"input_features", "output_features"} & set(config):
        return None
    return (
        f"{folder} is a LeRobot policy (type {config.get('type')!r}), which vlahub does not convert: run it with "
        f"LeRobot (`lerobot-eval --policy.path={folder}`), or train a model of vlahub on the policy's dataset."
    )


def lerobot_dataset(folder: Path, config: dict) -> str | None:
    if not (folder / LEROBOT_DATASET).is_file():
        return None
    return (
        f"{folder} is a LeRobot dataset, not a model: `vlahub stats {folder} --output dataset_statistics.json` "
        "computes its statistics."
    )


def adapter(folder: Path, config: dict) -> str | None:
    if not any((place / ADAPTER).is_file() for place in (folder, folder / "lora_adapter")) or "model_type" in config:
        return None
    return f"{folder} is an adapter: `vlahub merge-lora --base BASE --adapter {folder} --output OUT` merges it."


def run_to_merge(folder: Path, config: dict) -> str | None:
    if not (folder / "lora_adapter" / ADAPTER).is_file():
        return None
    return (
        f"{folder} is a training run: `vlahub merge-lora --base BASE --adapter {folder} --output OUT` makes a "
        "checkpoint of it."
    )


def published_openvla(folder: Path, config: dict) -> str | None:
    if config.get("model_type") != "openvla":
        return None
    return (
        f"{folder} is a published OpenVLA, as its own code writes it; convert it first: `vlahub convert {folder} OUT` "
        "makes a checkpoint of it that loads, predicts and can be trained."
    )


def published_alpamayo(folder: Path, config: dict) -> str | None:
    if config.get("model_type") not in ("alpamayo_r1", "alpamayo1_5") or "auto_map" in config:
        return None
    return (
        f"{folder} is a published Alpamayo; convert it first: `vlahub convert {folder} OUT --vlm BASE` makes a "
        "checkpoint of it that loads, predicts and can be trained."
    )


def diffusers_pipeline(folder: Path, config: dict) -> str | None:
    if not (folder / "model_index.json").is_file():
        return None
    return f"{folder} is a pipeline of diffusers, which is no vision-language-action model known here."


LOOKS: tuple[Callable[[Path, dict], str | None], ...] = (
    adapter_inside_a_run,
    lerobot_policy,
    lerobot_dataset,
    run_to_merge,
    adapter,
    published_openvla,
    published_alpamayo,
    diffusers_pipeline,
)
