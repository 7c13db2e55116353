"""Where the parts of a policy lie: a checkpoint of vlahub, or a policy that was saved and holds one."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from vlahub.conversion.predictions.checkpoint_loading import load_config
from vlahub.conversion.source_folder import source_folder
from vlahub.errors import ConfigError

CHECKPOINT = "checkpoint"  # of a saved policy, the folder that vlahub's commands take
CONFIG = "config.json"


def checkpoint_folder(name: str | None, revision: str | None = None, weights: bool = True) -> Path:
    """A checkpoint of vlahub as a folder; one on the Hub is downloaded, on request without its weights.

    Raises:
        ConfigError: none was named, or a folder was given a revision.
        ConversionError: there is neither such a folder nor such a repository.
    """
    if not name:
        raise ConfigError("--policy.checkpoint is missing: name a folder or Hub repository with a vlahub checkpoint.")
    if Path(name).is_dir():
        check_revision(name, revision)
    return source_folder(str(name), weights=weights, revision=revision)


def check_revision(folder: str | Path, revision: str | None) -> None:
    """Raises ConfigError for one."""
    if revision is not None:
        raise ConfigError(f"--policy.revision={revision}: {folder} is a folder, and only repositories have revisions.")


def check_same(config: Any, name: str | Path, revision: str | None) -> None:
    """Raises ConfigError where a config names another checkpoint, or another revision, than the one that is loaded."""
    is_other = config.checkpoint is not None and not is_same(config.checkpoint, name)
    if is_other or config.revision not in (None, revision):
        raise ConfigError(
            f"config names checkpoint={config.checkpoint} at revision={config.revision}, from_pretrained {name} at "
            f"revision={revision}: name one checkpoint alone."
        )


def is_same(one: str | Path, other: str | Path) -> bool:
    """Whether two names are of one folder, or of one repository."""
    folders = [Path(name).resolve() for name in (one, other) if Path(name).is_dir()]
    return folders[0] == folders[1] if len(folders) == 2 else str(one) == str(other)


def robot_config(folder: Path) -> Any:
    """The config of a checkpoint, without its weights.

    Raises:
        ConfigError: it is of no robot.
    """
    config = load_config(folder)
    if config.predicts != "actions":
        raise ConfigError(
            f"{folder} is a {config.model_type} that predicts {config.predicts}: a policy of LeRobot acts for a robot, "
            "and needs a checkpoint that predicts actions. `vlahub predict` and `vlahub serve` take it."
        )
    return config


def policy_folder(name: str | Path, revision: str | None = None, **download: Any) -> Path:
    """A policy that was saved, or a checkpoint, as a folder; one on the Hub is downloaded.

    Raises:
        ConfigError: a folder was given a revision.
    """
    if Path(name).is_dir():
        check_revision(name, revision)
        return Path(name)
    return Path(snapshot_download(str(name), revision=revision, **download))


def is_saved_policy(folder: Path) -> bool:
    """Whether a folder was written by a policy's `save_pretrained`, and not by a model's."""
    return (folder / CHECKPOINT / CONFIG).is_file()


def saved_origin(folder: Path) -> str | None:
    """The `checkpoint` where a saved policy began."""
    return json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("checkpoint")
