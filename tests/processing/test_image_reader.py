"""One reader of images for every family and for `vlahub predict`: modes, orientation, broken and giant files."""

import io
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

import vlahub
from vlahub.errors import ImageFileError, InputError
from vlahub.processing.cogvla.image_ops import lanczos3_resize
from vlahub.processing.image_reader import MAX_PIXELS, check_size, open_image, read_pil_image
from vlahub.training.augmentation import RandomAugmentation

PROCESSORS = {
    "cogvla": lambda: vlahub.CogVLAImageProcessor(image_sizes=[28, 28], evaluation_size=28),
    "mapanything_llava3d": lambda: vlahub.MapAnythingLlava3DImageProcessor(size={"height": 28, "width": 28}),
    "multimodal_vla": lambda: vlahub.MultimodalVLAImageProcessor(size={"height": 28, "width": 28}),
    "alpamayo_r1": lambda: vlahub.AlpamayoR1ImageProcessor(min_pixels=1024, max_pixels=4096),
}
GREY = np.random.RandomState(0).randint(0, 256, (40, 60)).astype(np.uint8)
RGB = np.random.RandomState(1).randint(0, 256, (40, 60, 3)).astype(np.uint8)


@pytest.fixture(params=PROCESSORS)
def pixels(request):
    """`pixels(image)` -> what a family's model reads."""
    processor = PROCESSORS[request.param]()
    return lambda image: processor([image], return_tensors="np")["pixel_values"]


def as_rgb(grey):
    return np.repeat(grey[..., None], 3, axis=-1)


def encoded(image, kind, **options):
    """The image as it comes out of a file of that kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def rotated(kind, orientation, image=None):
    """A file that says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(RGB) if image is None else image, kind, exif=exif, lossless=True)


SAME_PICTURE = {
    "16 bits": Image.fromarray(GREY.astype(np.uint16) * 257),
    "16 bits, big-endian": Image.fromarray((GREY.astype(np.uint16) * 257).astype(">u2")),
    "PNG of 16 bits": encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
    "I": Image.fromarray(GREY.astype(np.int32)),
    "F": Image.fromarray(GREY.astype(np.float32)),
    "L": Image.fromarray(GREY),
    "LA": Image.fromarray(GREY).convert("LA"),
    "La": Image.fromarray(GREY).convert("LA").convert("La"),
    "RGBA": Image.fromarray(GREY).convert("RGBA"),
    "RGBa": Image.fromarray(GREY).convert("RGBA").convert("RGBa"),
    "RGBX": Image.fromarray(GREY).convert("RGB").convert("RGBX"),
}


@pytest.mark.parametrize("kind", SAME_PICTURE)
def test_a_grey_picture_is_the_same_however_it_is_kept(pixels, kind):
    np.testing.assert_array_equal(pixels(SAME_PICTURE[kind]), pixels(as_rgb(GREY)))


def test_16_bits_are_scaled_by_the_white_of_each():
    values = np.array([[0, 128, 129, 257, 32767, 65406, 65407, 65535]], np.uint16)
    levels = read_pil_image(Image.fromarray(values), "x")[0, :, 0]
    assert levels.tolist() == [0, 0, 1, 1, 127, 254, 255, 255]


@pytest.mark.parametrize("mode", ["1", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_are_converted_by_pil(mode):
    image = Image.fromarray(RGB)
    if mode == "LAB":
        image = Image.merge("LAB", image.split())
    else:
        image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    np.testing.assert_array_equal(read_pil_image(image, "x"), np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_is_read_without_a_warning():
    image = encoded(Image.fromarray(RGB).quantize(16), "PNG", transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_pil_image(image, "x"), np.asarray(image.convert("RGBA"))[..., :3])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.linspace(0, 1, 2400).reshape(40, 60).astype(np.float32), "'F' holds values from 0 to 1;"),
        (np.ones((40, 60), np.float32), "'F' holds values from 1 to 1;"),
        (np.full((40, 60), 127.5, np.float32), "'F' holds values from 127.5 to 127.5;"),
        (np.full((40, 60), np.nan, np.float32), "'F' holds values from nan to nan;"),
        (GREY.astype(np.float32) - 128, "'F' holds values from -128 to 127;"),
        (GREY.astype(np.int32) * 257, "'I' holds values from 0 to 65535;"),
        (np.array([[0, 256]], np.int32), "'I' holds values from 0 to 256;"),
        (GREY.astype(np.int32) - 1, "'I' holds values from -1 to 254;"),
    ],
)
def test_values_that_are_no_8_bits_are_refused_with_mode_and_range(pixels, values, said):
    with pytest.raises(InputError, match="image") as caught:
        pixels(Image.fromarray(values))
    assert f"a PIL image of mode {said}" in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_says(pixels, orientation, kind):
    image = rotated(kind, orientation)
    wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert wanted.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    np.testing.assert_array_equal(pixels(image), pixels(wanted))


def test_orientation_holds_for_files_16_bits_and_augmentation(tmp_path):
    rotated("PNG", 6).save(tmp_path / "a.png", exif=rotated("PNG", 6).getexif())
    turned = np.rot90(RGB, -1)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png")), turned)
    deep = rotated("PNG", 6, Image.fromarray(GREY.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read_pil_image(deep, "x"), as_rgb(np.rot90(GREY, -1)))
    nothing = RandomAugmentation(1.0, 0.0, (1.0, 1.0), (1.0, 1.0), 0.0)
    np.testing.assert_array_equal(np.asarray(nothing(rotated("PNG", 6))), turned)


# Broken and giant


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_a_cut_off_file_is_refused_by_its_view(pixels, tmp_path, kind):
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind)
    (tmp_path / "cut").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(InputError, match=r"cut.*cannot be (read as an image|decoded)"):
        open_image(tmp_path / "cut")
    try:
        image = Image.open(tmp_path / "cut")
    except OSError:
        return  # this kind is read when it is opened
    with pytest.raises(InputError, match=r"(image 0|images\[0\]): the image cannot be decoded"):
        pixels(image)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("length", [10, 12, 20])
def test_half_an_exif_block_is_refused_or_says_nothing(kind, length, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, exif=exif.tobytes()[:length])
    (tmp_path / "half").write_bytes(file.getvalue())
    try:
        image = open_image(tmp_path / "half")
    except ImageFileError as error:
        assert "half: the image cannot be decoded" in str(error)
    else:
        assert image.size in ((60, 40), (40, 60))


OF_DECODERS = [MemoryError("8 GB"), struct.error("4 bytes"), SyntaxError("odd"), IndexError("0")]
OF_DECODERS += [NotImplementedError("flags 2"), KeyError("mode"), RuntimeError("library"), zlib.error("-3")]


@pytest.mark.parametrize("error", OF_DECODERS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["PIL.Image.open", "PIL.PngImagePlugin.PngImageFile.load"])
def test_whatever_a_decoder_raises_is_told_of_the_file(error, place, monkeypatch, tmp_path):
    Image.fromarray(RGB).save(tmp_path / "x.png")

    def fail(*_):
        raise error

    monkeypatch.setattr(place, fail)
    with pytest.raises(ImageFileError, match=r"x\.png.* cannot be (read|decoded)"):
        open_image(tmp_path / "x.png")


def test_what_is_no_image_file_is_refused_by_its_path(tmp_path):
    (tmp_path / "text.png").write_text("text")
    for name in ("text.png", "missing.png", "."):
        with pytest.raises(InputError, match="cannot be read as an image") as error:
            open_image(tmp_path / name)
        assert "Git LFS" not in str(error.value)


def giant(height, width):
    """The header of a PNG that would be so large."""
    header = encoded(Image.new("L", (1, 1)), "PNG").fp.getvalue()
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    chunk = b"IHDR" + size + header[24:29]
    return header[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + header[33:]


@pytest.mark.parametrize("side", [9_500, 30_000])
def test_a_giant_file_is_refused_before_it_is_decoded(tmp_path, side):
    (tmp_path / "giant.png").write_bytes(giant(side, side))
    with warnings.catch_warnings(), pytest.raises(InputError, match=rf"giant\.png is too large.*{MAX_PIXELS}"):
        warnings.simplefilter("error")
        open_image(tmp_path / "giant.png")


def test_giant_and_empty_images_are_refused_with_their_size(pixels):
    with pytest.raises(InputError, match=r"30000 x 30000 pixels; 1 to"):
        pixels(np.broadcast_to(np.uint8(7), (30_000, 30_000, 3)))
    with pytest.raises(InputError, match=r"0 x 5 pixels"):
        pixels(Image.new("RGB", (5, 0)))


def test_a_large_image_is_resized_in_one_pass():
    image = np.broadcast_to(RGB[:, :1], (40, 9000, 3))
    image = np.repeat(image, 100, axis=0)  # 36 megapixels; adding tap by tap over whole images took 16 s
    start = time.process_time()
    resized = lanczos3_resize(image, (224, 224))
    assert time.process_time() - start < 5
    np.testing.assert_array_equal(resized, np.repeat(resized[:, :1], 224, axis=1))


def test_images_up_to_the_largest_are_read_and_none_without_pixels():
    check_size(MAX_PIXELS, 1, "x")
    for width, height in ((MAX_PIXELS + 1, 1), (0, 5), (5, 0)):
        with pytest.raises(InputError, match=f"x: the image has {height} x {width} pixels"):
            check_size(width, height, "x")


def test_what_is_no_image_is_told_what_it_is(tmp_path):
    (tmp_path / "pointer.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "text.png").write_text("text")
    for name, said in (
        ("http://example.org/a.png", "it is an address: download the image first"),
        ("https://example.org/a.png", "it is an address: download the image first"),
        (tmp_path, "name one file for each view, or one folder alone"),
        (tmp_path / "pointer.png", "it is a pointer of Git LFS"),
        (tmp_path / "text.png", "cannot identify image file"),
    ):
        with pytest.raises(ImageFileError, match="cannot be read as an image: .*" + said):
            open_image(name)


def test_an_image_that_pil_warns_of_is_too_large(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    for most in (10, 6):  # PIL warns beyond this, and refuses beyond twice as much
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(ImageFileError, match=r"a\.png is too large an image"):
            open_image(tmp_path / "a.png")
