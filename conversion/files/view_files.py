"""Files of camera views: as given, those of a folder, or with names (`primary=a.png`)."""

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from PIL import Image

from ...configuration.view_names import short_name
from ...configuration.vla_errors import InputError
from ...processing.image_reader import open_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def named_views(paths: list[Path]) -> dict[str, Image.Image] | None:
    """`{name: image}` where every argument is NAME=FILE; `None` where they are plain paths.

    Raises:
        InputError: see `named_files`, or a file cannot be read.
    """
    named = named_files(paths)
    return None if named is None else {name: open_image(file) for name, file in named.items()}


def named_files(paths: list[Path]) -> dict[str, Path] | None:
    """`{name: file}` where every argument is NAME=FILE; `None` where they are plain paths.

    Raises:
        InputError: some have a name and others not, or a name is there twice.
    """
    parts = [str(path).partition("=") for path in paths]
    named = [bool(sign) and not path.exists() for path, (_, sign, _) in zip(paths, parts, strict=True)]
    if not any(named):
        return None
    names = [name for name, _, _ in parts]
    if not all(named) or len(set(names)) < len(names):
        raise InputError(
            f"--images {' '.join(map(str, paths))}: give each view a name of its own (NAME=FILE), or none."
        )
    return {name: Path(file) for name, _, file in parts}


def listed_files(paths: list[Path], view_names: Sequence[str] | None = None) -> list[Path]:
    """Files as given; of a folder its images, in the order of a checkpoint's views where they have these names, else by
    name.

    Raises:
        InputError: the folder holds no images, or files have the names of the views and are in another order, as by
            `*.png` of a shell.
    """
    if len(paths) > 1 or not paths[0].is_dir():
        check_order(paths, view_names)
        return paths
    found = images_in(paths[0])
    if not found:
        raise InputError(f"{paths[0]} holds no images ({', '.join(SUFFIXES)}).")
    return by_views(found, view_names) or found


def check_order(paths: Sequence[Path], view_names: Sequence[str] | None) -> None:
    """Refuse files whose names are those of a checkpoint's views in another order, as `listed_files` says."""
    ordered = by_views(paths, view_names)
    if ordered is not None and ordered != list(paths):
        raise InputError(
            f"--images {' '.join(map(str, paths))}: by their names these are the views of this checkpoint, which has "
            f"them in the order {', '.join(view_names or ())}: give them in that order, as NAME=FILE, or their folder."
        )


def images_in(folder: Path) -> list[Path]:
    """The images of a folder by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def frames_of(camera: Path) -> list[Path]:
    """A camera's frames as they were taken: a folder's images by the numbers in their names, `9` before `10`; of a file
    itself. Raises InputError for a folder without images.
    """
    return sorted(listed_files([camera]), key=numbered)


def numbered(path: Path) -> list[str | Decimal]:
    """A name in parts, every second of which is a number."""
    return [Decimal(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+(?:\.[0-9]+)?)", path.stem))]


def by_views(paths: Sequence[Path], view_names: Sequence[str] | None) -> list[Path] | None:
    """Files or folders in the order of a checkpoint's views; `None` where these have other names.

    view_names: as the checkpoint records them; upper and lower case are one, as on many a disk.
    """
    views = [name.lower() for name in view_names or ()]
    found = {short_name(view_of(path)).lower(): path for path in paths}
    return [found[name] for name in views] if sorted(views) == sorted(found) and len(found) == len(paths) else None


def view_of(path: Path) -> str:
    """The name of the view, or camera, that a file or a folder of frames is of."""
    return path.stem if path.is_file() else path.name
