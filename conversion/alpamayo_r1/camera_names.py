"""What the cameras of a scene are called in its picture."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError
from ...training.alpamayo_r1.physical_ai_av_clips import CAMERAS, SEEN
from ..files.view_files import by_views, view_of

INDICES = "camera_indices"  # of a scene, as `load_physical_aiavdataset` numbers them


def by_camera(images: Any, scene: Mapping[str, Any]) -> Any:
    """A scene's images with an entry for each camera, where it has them flat, camera by camera, and numbers cameras."""
    if INDICES not in scene or getattr(images, "ndim", 5) != 4 or len(images) % np.size(scene[INDICES]):
        return images
    return images.reshape(np.size(scene[INDICES]), -1, *images.shape[1:])


def numbers_of(
    given: Sequence[int] | None, scene: Mapping[str, Any], folders: Sequence[Path] | None, are_named: bool
) -> list[int] | None:
    """The numbers of the cameras for the prompt: as given; else, where the model was trained with names of cameras
    (`are_named`), those of the scene, or of folders that have the names of PhysicalAI-AV's cameras; else `None`.

    Raises:
        InputError: a number is given for a folder that has the name of another camera.
    """
    known = [CAMERAS.get(view_of(path).lower()) for path in folders or ()]
    if given:
        check_numbers(given, folders or (), known)
        return list(given)
    if not are_named:
        return None
    if INDICES in scene:
        return [int(number) for number in np.asarray(scene[INDICES]).reshape(-1)]
    return None if not known or None in known else known


def check_numbers(given: Sequence[int], folders: Sequence[Path], known: Sequence[int | None]) -> None:
    """Raises InputError for a number of a folder that has the name of another camera; known: those by the names."""
    for path, number, own in zip(folders, given, known, strict=False):
        if own not in (None, number):
            raise InputError(
                f"--camera-indices {' '.join(map(str, given))}: {number} would be {path}, and that is camera {own}; "
                "leave the option out, or give the folders in the order of the numbers."
            )


def given_names(scene: Mapping[str, Any], folders: Sequence[Path] | None, count: int) -> list[str] | None:
    """The names that come with the images: of their folders or files, else by the scene's `camera_indices`.

    Raises:
        InputError: the scene has not a number for each camera.
    """
    if folders:
        return [readable(view_of(path)) for path in folders]
    if INDICES not in scene:
        return None
    numbers = np.asarray(scene[INDICES]).reshape(-1).tolist()
    if len(numbers) != count:
        raise InputError(f"{INDICES} is {numbers}, with images of {count} cameras; a number for each is needed.")
    known = {number: name for name, number in CAMERAS.items()}
    return [readable(known.get(number, f"camera {number:g}")) for number in numbers]


def trained_names(view_names: Sequence[str] | None, count: int) -> list[str]:
    """As what the model reads the cameras: by the checkpoint's names, or else as the release was trained."""
    if view_names and len(view_names) == count:
        return [readable(name) for name in view_names]
    if count == len(SEEN):
        return [f"camera {i}, read as {readable(name)}" for i, name in enumerate(SEEN, 1)]
    return [f"camera {i}" for i in range(1, count + 1)]


def readable(name: str) -> str:
    """`camera_front_wide_120fov` and `observation.images.front_wide` as a reader says it."""
    short = re.sub(r"^camera_(?=\D)", "", name.rsplit(".", 1)[-1].lower())
    return re.sub(r"\b(\d+)fov\b", r"\1°", short.replace("_", " "))


def in_trained_order(cameras: Sequence[Path], view_names: Sequence[str] | None = None) -> list[Path]:
    """Folders or files of cameras: as the checkpoint's views where they have these names, else by the numbers of
    PhysicalAI-AV where all have its names, else by their names.
    """
    numbers = {camera: CAMERAS.get(view_of(camera).lower()) for camera in cameras}
    is_known = None not in numbers.values()
    return by_views(cameras, view_names) or sorted(cameras, key=numbers.get if is_known else None)
