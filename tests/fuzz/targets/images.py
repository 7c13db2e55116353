"""Files of images: cut off, damaged, of all modes and sizes, turned by EXIF, with more pixels than they have bytes."""

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from vlahub.conversion.serving.json_values import image_of_file
from vlahub.conversion.serving.limits import Limits
from vlahub.processing.image_reader import MAX_PIXELS, open_image

from ..byte_changes import changed_bytes
from ..target import Target, accepted

MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "I;16", "RGBX")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000", "TGA", "DDS", "PCX", "SGI", "MPO")
SIZES = ((1, 1), (1, 4000), (17, 9), (64, 48), (3, 1))
CLAIMED = (0, 1, 2**15, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)


class Images(Target):
    name, slice = "images", 80

    def change(self, random: Random, folder: Path) -> str:
        how = random.choice(("plain", "bytes", "bytes", "bytes", "cut", "bomb", "claim", "odd"))
        data, told = drawn(random)
        if how == "bytes":
            data, damage = changed_bytes(random, data)
            told += f": {damage}"
        elif how == "cut":
            data = data[: random.randrange(len(data))]
        elif how == "bomb":
            side = random.choice((5_000, 9_000, 13_000, 60_000))
            data, told = png_of_zeros(side, side), f"{side} x {side}"
        elif how == "claim":
            data, told = claiming(random, data), f"{told}, another size"
        elif how == "odd":
            data = random.choice(
                (b"", b"version https://git-lfs.github.com/spec/v1", b"GIF89a", b"\xff\xd8\xff", b"<svg/>")
            )
        (folder / random.choice(("x.png", "x.jpg", "x", "x.tiff"))).write_bytes(data)
        return f"{how}: {told}"

    def run(self, folder: Path, output: Path) -> None:
        """RGB of a size that may be, the same whether it comes by file or by request."""
        (path,) = folder.iterdir()
        sent = accepted(lambda: image_of_file(path.read_bytes(), "image", Limits()))
        image = open_image(path)
        assert image.mode == "RGB" and 0 < image.width * image.height <= MAX_PIXELS, (image.mode, image.size)
        assert sent is None or np.array_equal(sent, np.asarray(image)), "a server reads another image"


def drawn(random: Random) -> tuple[bytes, str]:
    """An image of some mode, in some format that has it."""
    size, seed = random.choice(SIZES), random.randrange(2**32)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    mode, form = random.choice(MODES), random.choice(FORMATS)
    image, options = Image.fromarray(pixels), {}
    if random.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = random.choice((0, 1, 3, 6, 8, 9, 65_535))
        options["exif"] = exif.tobytes()[: random.choice((None, 12, 20))]
    buffer = io.BytesIO()
    try:
        image.convert(mode).save(buffer, form, **options)
    except (OSError, ValueError, KeyError, TypeError, struct.error):  # no such mode in this format, or half an EXIF
        mode, form, buffer = "RGB", "PNG", io.BytesIO()
        image.save(buffer, form)
    return buffer.getvalue(), f"{mode} {form} {size}"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_zeros(width: int, height: int) -> bytes:
    """A PNG of few bytes and many pixels."""
    packer = zlib.compressobj(9)
    rows = min(height, 2_000)  # the rest is missing
    content = packer.compress(b"\0" * ((width // 8 + 1) * rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def claiming(random: Random, data: bytes) -> bytes:
    """A PNG that says another size than it has, with a right checksum; others as they are."""
    if not data.startswith(b"\x89PNG"):
        return data
    header = struct.pack(">II", random.choice(CLAIMED), random.choice(CLAIMED)) + data[24:29]
    return data[:8] + chunk(b"IHDR", header) + data[33:]
