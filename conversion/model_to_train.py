"""What can be said of a checkpoint that is to be trained before any of it is loaded."""

from pathlib import Path

from .folders.folder_roles import check_ready, check_trainable
from .predictions.checkpoint_loading import check_folder, check_settings
from .source_folder import source_folder


def check_model(model: str) -> None:
    """Refuse a folder or a repository that is no checkpoint, or that transformers would read or build without end.

    Of a repository only the settings are looked at, for its weights are not downloaded yet.

    Raises:
        ConversionError: see `check_trainable`, `check_ready`, `check_folder`.
    """
    check_trainable(model)
    if Path(model).is_dir():
        check_folder(Path(model))
        return
    settings = source_folder(model, weights=False)
    check_ready(settings)
    check_settings(settings)
