"""The images that the example of a card is asked about: drawn ones, or files of somebody."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from ...configuration.card_snippet import count_of_views
from ...configuration.vla_errors import InputError
from ...processing.image_reader import open_image
from ..files.file_kinds import example_view
from ..files.view_files import listed_files, named_files

LARGEST = 2 * 10**6  # bytes of an image that comes into the repository


@dataclass(frozen=True)
class ExampleImages:
    """In the order of the model's views.

    Attributes:
        views: as they are read.
        files: by the name that the example has for each; empty where the example draws its own.
    """

    views: list[Image.Image]
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...] | None:
        return tuple(self.files) or None


def drawn_images(config: Any, asked: Any) -> ExampleImages:
    """As the code of the example draws them: ramps from black to white, each turned by another quarter."""
    count = count_of_views(config, asked)
    return ExampleImages([Image.linear_gradient("L").rotate(90 * i).convert("RGB") for i in range(count)])


def given_images(config: Any, paths: list[Path], taken: str) -> ExampleImages:
    """Files, one folder of them, or NAME=FILE for each view.

    taken: a name that no image may have in the example's folder.

    Raises:
        InputError: a file is no image, or they are not the views of the model.
    """
    files = in_order(config, paths)
    views = [open_image(path) for path in files]
    count = config.num_images_in_input
    if count is not None and len(files) != count:
        raise InputError(f"--images names {len(files)} of the {count} views that this model sees: give one for each.")
    plain = [path.name for path in files]
    are_unique = len(set(plain)) == len(plain) and taken not in plain
    names = plain if are_unique else [f"view_{i}{path.suffix}" for i, path in enumerate(files)]
    return ExampleImages(views, dict(zip(names, files, strict=True)))


def in_order(config: Any, paths: list[Path]) -> list[Path]:
    """The files in the order of the model's views."""
    named = named_files(paths)
    if named is None:
        return listed_files(paths, config.view_names)
    views = config.view_names
    if not views or sorted(views) != sorted(named):
        known = ", ".join(views) if views else "none: give the files alone, in order"
        raise InputError(f"--images names the views {', '.join(named)}; those of this model are {known}.")
    return [named[name] for name in views]


def kept_images(images: ExampleImages, folder: Path) -> ExampleImages:
    """The same as PNG files in `folder`, under the names that they have in a repository.

    Only pixels are kept: what else cameras write into a file, such as where it was taken, is left out.

    Raises:
        InputError: one is too large for a card.
    """
    files = {}
    for i, (view, path) in enumerate(zip(images.views, images.files.values(), strict=True)):
        content = BytesIO()
        view.save(content, "PNG")
        if len(content.getvalue()) > LARGEST:
            raise InputError(
                f"{path} takes {len(content.getvalue()):,} bytes as PNG; an image in a repository's card takes "
                f"{LARGEST:,} at most: make it smaller, or leave out --keep-images."
            )
        files[example_view(i)] = folder / example_view(i)
        files[example_view(i)].write_bytes(content.getvalue())
    return ExampleImages(images.views, files)
