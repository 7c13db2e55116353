"""Which columns of a dataset are the views of a model, and in what order."""

from collections.abc import Sequence

from datasets import Dataset

from ..configuration.view_names import short_name
from ..configuration.vla_errors import InputError
from .video_frames import image_columns


def camera_columns(frames: Dataset, view_names: Sequence[str] | None, images: Sequence[str] | None = None) -> list[str]:
    """The image columns of `frames` in the order in which a model sees them.

    Args:
        view_names: of a checkpoint that goes on training; `None` where it records none.
        images: the columns, main camera first, where a caller says so.

    Returns:
        `images`; else the columns of the names of `view_names`; else all but depth maps, in the dataset's order.

    Raises:
        InputError: the checkpoint was trained with a view that is no image column.
    """
    if images:
        return list(images)
    columns = image_columns(frames)
    if view_names is None:
        return columns
    known = {short_name(name): name for name in columns}
    missing = [name for name in view_names if name not in known]
    if missing:
        raise InputError(
            f"the checkpoint was trained with the views {list(view_names)}, the dataset has {list(known)}: name the "
            "columns in that order (images)."
        )
    return [known[name] for name in view_names]
