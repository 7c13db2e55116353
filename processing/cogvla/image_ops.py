"""The image operations of the published evaluation code of OpenVLA-OFT and CogVLA, in numpy and PIL.

Source: moojink/openvla-oft, experiments/robot/openvla_utils.py (`resize_image_for_policy`, `crop_and_resize`,
`center_crop_image`). That code calls TensorFlow; the resize and the crop repeat TensorFlow's CPU arithmetic step by
step in float32, in its order, so that the pixels are the same: a deviation of one bit would move values that lie
half-way between two grey levels. Images are uint8 arrays (height, width, 3) throughout.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image

LANCZOS_RADIUS = np.float32(3)
PI = np.float32(np.pi)
STRIP = 1024  # values of a row that are resized at a time

# Polynomials of sin and cos on [-pi/4, pi/4], lowest power first: those of `sinf` in glibc (ARM Optimized Routines).
SIN_COEFFICIENTS = (-0.16666654943701084, 0.008332178146138854, -0.00019517298981385725)
COS_COEFFICIENTS = (
    -0.49999999725108224,
    0.041666623324344516,
    -0.001388676379437604,
    2.4390450703564542e-05,
)


def jpeg_round_trip(image: np.ndarray) -> np.ndarray:
    """Encode as JPEG (quality 95, 4:2:0) and decode again, as was done to the training data.

    image: (height, width, 3) uint8 -> the same. TensorFlow decodes with libjpeg's fast inverse DCT, which PIL does not
    offer: the result lies 0.8 grey levels above TensorFlow's on average and up to about 10 from it at sharp edges.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)


def lanczos3_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize with the Lanczos kernel of radius 3, widened when shrinking (antialiased).

    image: (height, width, 3) uint8; size: (height, width) in pixels -> (*size, 3) uint8. Equals
    `tf.image.resize(image, size, "lanczos3", antialias=True)`, rounded half to even and clipped to 0..255.
    """
    rows = _resize_rows(image, size[0])
    columns = _resize_rows(rows.swapaxes(0, 1), size[1])
    return np.clip(np.rint(columns.swapaxes(0, 1)), 0, 255).astype(np.uint8)


def center_crop(image: np.ndarray, area: float = 0.9) -> np.ndarray:
    """Cut out the centred window that holds `area` (0..1) of the image and stretch it to the image's size.

    image: (height, width, 3) uint8 -> the same shape. Equals `tf.image.crop_and_resize`: bilinear, the corner pixels of
    the window on the corner pixels of the result; then `tf.image.convert_image_dtype`, which truncates 255.5 * value.
    """
    top, bottom, row_share = _crop_positions(image.shape[0], area)
    left, right, column_share = _crop_positions(image.shape[1], area)
    row_share, column_share = row_share[:, None, None], column_share[None, :, None]
    pixels = image.astype(np.float32) * np.float32(1 / 255)

    def along_row(row: np.ndarray) -> np.ndarray:
        first, second = pixels[row][:, left], pixels[row][:, right]
        return first + (second - first) * column_share

    upper = along_row(top)
    blended = upper + (along_row(bottom) - upper) * row_share
    return (np.clip(blended, 0, 1) * np.float32(255.5)).astype(np.uint8)


def _resize_rows(pixels: np.ndarray, rows: int) -> np.ndarray:
    """pixels: (height, width, 3) -> (rows, width, 3) float32, in strips that stay in the processor's cache.

    A sum over the first axis adds tap after tap, as TensorFlow does: the order decides the last bit.
    """
    source, weight = _lanczos3_taps(pixels.shape[0], rows)
    flat = pixels.reshape(len(pixels), -1)
    resized = np.empty((rows, flat.shape[1]), np.float32)
    for start in range(0, flat.shape[1], STRIP):
        strip = flat[:, start : start + STRIP].astype(np.float32)
        for row, first in enumerate(source[:, 0]):
            taps = strip[first : first + source.shape[1]]  # fewer at the end, where weights are 0
            np.add.reduce(weight[row, : len(taps), None] * taps, axis=0, out=resized[row, start : start + STRIP])
    return resized.reshape(rows, *pixels.shape[1:])


@lru_cache(maxsize=64)
def _lanczos3_taps(in_size: int, out_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which input pixels an output pixel reads, and their weights: two arrays (out_size, taps), int64 and float32.

    Source: tensorflow/core/kernels/image/scale_and_translate_op.cc, `ComputeSpansCore`.
    """
    half, one = np.float32(0.5), np.float32(1)
    inverse_scale = np.float32(1 / float(np.float32(out_size) / np.float32(in_size)))
    kernel_scale = max(inverse_scale, one)
    reach = LANCZOS_RADIUS * kernel_scale
    taps = min(2 * math.ceil(reach) + 1, in_size)

    centre = (np.arange(out_size, dtype=np.float32) + half) * inverse_scale
    first = np.clip(np.ceil(centre - reach - half), 0, in_size - 1).astype(np.int64)
    last = np.clip(np.floor(centre + reach - half), 0, in_size - 1).astype(np.int64)
    source = first[:, None] + np.arange(taps)
    weight = _lanczos3(np.abs(source.astype(np.float32) + half - centre[:, None]) * (one / kernel_scale))
    weight[source > last[:, None]] = 0
    total = np.cumsum(weight, axis=1, dtype=np.float32)[:, -1:]  # cumsum adds in order, sum does not
    return np.minimum(source, in_size - 1), weight * (one / total)


def _lanczos3(distance: np.ndarray) -> np.ndarray:
    """sinc(x) * sinc(x / 3) for 0 <= x <= 3, else 0; float32 in, float32 out, same shape."""
    x = np.maximum(distance, np.float32(1e-3))
    kernel = LANCZOS_RADIUS * _sin(PI * x) * _sin(PI * x / LANCZOS_RADIUS) / (PI * PI * x * x)
    kernel[distance <= 1e-3] = 1
    kernel[distance > LANCZOS_RADIUS] = 0
    return kernel


def _sin(angle: np.ndarray) -> np.ndarray:
    """The C library's float32 sine (off by one bit now and then), which numpy's own differs from on some machines."""
    x = angle.astype(np.float64)
    quarter_turns = np.rint(x / (np.pi / 2))
    x = x - quarter_turns * (np.pi / 2)
    square = x * x
    s1, s2, s3 = SIN_COEFFICIENTS
    c1, c2, c3, c4 = COS_COEFFICIENTS
    sine = x + x * square * s1 + x * square * square * (s2 + square * s3)
    cosine = 1 + square * c1 + square * square * c2 + square * square * square * (c3 + square * c4)
    value = np.where(quarter_turns % 2 == 0, sine, cosine)
    return np.where(quarter_turns % 4 >= 2, -value, value).astype(np.float32)


def _crop_positions(length: int, area: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along one axis, (length,) each: the two pixels that an output pixel lies between and its share of the second."""
    side = np.sqrt(np.float32(area))
    start = (np.float32(1) - side) / np.float32(2)
    span = np.float32(length - 1)
    step = (start + side - start) * span / np.float32(max(length - 1, 1))
    position = start * span + np.arange(length, dtype=np.float32) * step
    position = np.minimum(position, span)
    lower = np.floor(position)
    return lower.astype(np.int64), np.ceil(position).astype(np.int64), position - lower
