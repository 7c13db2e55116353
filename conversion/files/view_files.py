"""Files of camera views: as given, those of a folder, or with names (`primary=a.png`)."""

from pathlib import Path

from PIL import Image

from ...configuration.vla_errors import InputError
from ...processing.image_reader import open_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


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


def listed_files(paths: list[Path]) -> list[Path]:
    """Files as given; of a folder its images by name."""
    if len(paths) > 1 or not paths[0].is_dir():
        return paths
    found = sorted(path for path in paths[0].iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{paths[0]} holds no images ({', '.join(SUFFIXES)}).")
    return found
