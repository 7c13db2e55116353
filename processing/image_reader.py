"""One camera image, however PIL keeps it, as upright 8-bit RGB: the reader of all families and of `vlahub predict`."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..configuration.vla_errors import ImageFileError, InputError

MAX_PIXELS = 89_478_485  # of one image; where PIL begins to warn of a decompression bomb
POINTER = b"version https://git-lfs"
ORIENTATION = 0x0112  # EXIF's tag
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # modes that PIL converts to one other mode alone


def open_image(path: str | os.PathLike) -> Image.Image:
    """The image in a file as RGB, turned as its EXIF orientation says.

    Raises:
        ImageFileError: the file is missing, is no image, is cut off, or is larger than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(Path(path))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageFileError(f"{path} is too large an image (at most {MAX_PIXELS} pixels are read): {error}") from error
    except Exception as error:  # Pillow's readers of formats raise whatever comes of damaged bytes
        raise ImageFileError(f"{path} cannot be read as an image: {error}{advice(str(path))}") from error
    with image:
        return Image.fromarray(read_pil_image(image, str(path)))


def advice(path: str) -> str:
    """Behind the name of what is no image."""
    if path.startswith(("http:/", "https:/")):
        return "; it is an address: download the image first"
    if os.path.isdir(path):
        return "; name one file for each view, or one folder alone"
    return "; it is a pointer of Git LFS in place of the file: run `git lfs pull`" if is_pointer(path) else ""


def is_pointer(path: str) -> bool:
    """Whether a file is what git keeps in the place of a large one that was not fetched."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(POINTER)) == POINTER


def read_pil_image(image: Image.Image, where: str) -> np.ndarray:
    """A PIL image of any mode -> (height, width, 3) uint8, turned as its EXIF orientation says; alpha is dropped.

    16-bit grey is scaled to 8 bits, 65535 being white. `I` and `F` do not say what white is: they are read where they
    hold whole numbers of 0 to 255 (of `F` not 0 and 1 alone, which are a range of their own), and refused otherwise.

    Args:
        where: what messages call the image.

    Raises:
        ImageFileError: its file is broken.
        InputError: it is empty or larger than `MAX_PIXELS`, or its mode cannot be read.
    """
    check_size(*image.size, where)
    try:
        image.load()
        if image.getexif().get(ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except Exception as error:  # as above, or MemoryError of a file that says that some gigabytes follow
        raise ImageFileError(f"{where}: the image cannot be decoded: {error}") from error
    if image.mode.startswith("I;16"):
        return grey_to_rgb((np.asarray(image).astype(np.uint32) + 128) // 257)
    if image.mode in ("I", "F"):
        return grey_to_rgb(checked_eight_bits(np.asarray(image), image.mode, where))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # PIL warns on the direct way
    try:
        for mode in (PREMULTIPLIED.get(image.mode, image.mode), "RGB"):
            image = image if image.mode == mode else image.convert(mode)  # of a large image each copy takes time
        return np.asarray(image)
    except ValueError as error:
        raise InputError(f"{where}: a PIL image of mode {image.mode!r} cannot be read: {error}.") from error


def check_size(width: int, height: int, where: str) -> None:
    """Refuse images without pixels, and those whose pixels would fill the memory."""
    if not 0 < width * height <= MAX_PIXELS:
        raise InputError(
            f"{where}: the image has {height} x {width} pixels; 1 to {MAX_PIXELS} are read: resize it first."
        )


def checked_eight_bits(values: np.ndarray, mode: str, where: str) -> np.ndarray:
    """values: (height, width), integers or floats, as they are. Raises InputError unless they are 8-bit grey levels."""
    least, most = values.min(), values.max()
    is_share = mode == "F" and 0 < most <= 1
    if not (least >= 0 and most <= 255) or is_share or (mode == "F" and (values != np.rint(values)).any()):
        raise InputError(
            f"{where}: a PIL image of mode {mode!r} holds values from {least:g} to {most:g}; of this mode whole grey "
            "levels of 0 to 255 are read: scale and convert it to 8 bits (mode 'L') first."
        )
    return values


def grey_to_rgb(levels: np.ndarray) -> np.ndarray:
    """levels: (height, width) in 0..255 -> (height, width, 3) uint8."""
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=-1)
