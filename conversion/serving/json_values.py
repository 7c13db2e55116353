"""JSON with arrays, as the package json-numpy writes it, and with images as base64 text.

An array is `{"__numpy__": base64 of its bytes, "dtype": "|u1", "shape": [height, width, 3]}`. Upstream:
https://pypi.org/project/json-numpy; openvla/openvla, vla-scripts/deploy.py, which takes the whole request as
`{"encoded": text of JSON}`, too, and moojink/openvla-oft, whose server takes single values as such texts.
"""

import base64
import binascii
import io
import json
import math
import re
from typing import Any

import numpy as np
from PIL import Image

from ...configuration.vla_errors import ImageFileError, InputError
from ...processing.image_reader import read_pil_image
from .limits import Limits, image_array

FORMATS = ("PNG", "JPEG")
NUMBERS = re.compile(r"[<>|=]?[biuf][0-9]{1,2}")  # dtypes that an array may have


def json_object(text: str | bytes, what: str = "the body") -> dict[str, Any]:
    """An object of JSON with its arrays. Raises InputError for anything else."""
    try:
        value = json.loads(text, object_hook=decoded)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InputError(f"{what} is a {type(value).__name__}; an object with the fields of an observation is needed.")
    return value


def unpacked(payload: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The fields of a request, and whether they came as one text, in which case the answer is one as well.

    Raises:
        InputError: `encoded` has something beside it, or is no text.
    """
    if "encoded" not in payload:
        return payload, False
    if len(payload) != 1 or not isinstance(payload["encoded"], str):
        raise InputError('"encoded" holds the whole request as one text of JSON, and stands alone.')
    return json_object(payload["encoded"], '"encoded"'), True


def decoded(value: dict[str, Any]) -> Any:
    """An array or number where the object is one; other objects as they are. Raises InputError for a broken one."""
    if "__numpy__" not in value:
        return value
    dtype, shape = value.get("dtype"), value.get("shape")
    try:
        data = base64.b64decode(value["__numpy__"], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InputError(f"an array's __numpy__ is no base64: {error}.") from error
    array = array_of(data, dtype, shape)
    return array if array.ndim else array[()]


def array_of(data: bytes, dtype: Any, shape: Any) -> np.ndarray:
    """An array of its bytes. Raises InputError where they are not as many as dtype and shape say, or no numbers."""
    if not isinstance(dtype, str) or not NUMBERS.fullmatch(dtype):
        raise InputError(f"an array has dtype {dtype!r:.40}; numbers, such as '|u1' or '<f4', are needed.")
    sizes = list(shape) if isinstance(shape, (list, tuple)) else [None]
    if len(sizes) > 8 or not all(type(size) is int and 0 <= size < 2**40 for size in sizes):
        raise InputError(f"an array has shape {shape!r:.80}; a list of whole numbers is needed.")
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise InputError(f"an array has dtype {dtype!r}, which does not exist.") from error
    if math.prod(sizes) * kind.itemsize != len(data):
        raise InputError(f"an array of {dtype} and shape {sizes} has {len(data)} bytes; its data are cut off or wrong.")
    return np.frombuffer(data, kind).reshape(sizes).copy()  # which can be written


def encoded(value: Any) -> Any:
    """Arrays in a value as json-numpy writes them."""
    if isinstance(value, (np.ndarray, np.generic)):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"__numpy__": data, "dtype": np.lib.format.dtype_to_descr(value.dtype), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {name: encoded(each) for name, each in value.items()}
    return [encoded(each) for each in value] if isinstance(value, (list, tuple)) else value


def value_of(value: Any) -> Any:
    """A value that may itself be a text of JSON, as OpenVLA-OFT's server takes it."""
    return json_object(f'{{"value": {value}}}', "a value")["value"] if is_text_of_array(value) else value


def is_text_of_array(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("{") and '"__numpy__"' in value[:64]


def image_of(value: Any, where: str, limits: Limits) -> np.ndarray:
    """(height, width, 3) uint8 from an array, or from base64 of a PNG or JPEG file, with `data:image/...` or without.

    Raises:
        InputError: it is none of these, or too large.
    """
    value = value_of(value)
    if isinstance(value, np.ndarray):
        return image_array(value, where, limits)
    if not isinstance(value, str):
        raise InputError(f"{where} is a {type(value).__name__}; an array of json-numpy or a file in base64 is needed.")
    text = value.split(",", 1)[1] if value.startswith("data:") and "," in value else value
    try:
        data = base64.b64decode("".join(text.split()), validate=True)  # `base64 FILE` breaks it into lines
    except (ValueError, binascii.Error) as error:
        raise InputError(f"{where} is no base64 of a PNG or JPEG file: {error}.") from error
    return image_of_file(data, where, limits)


def image_of_file(data: bytes, where: str, limits: Limits) -> np.ndarray:
    """The same from the bytes of a PNG or JPEG file. Its size is known, and refused, before it is decoded."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # whatever Pillow makes of damaged bytes
        raise ImageFileError(f"{where} cannot be read as PNG or JPEG: {error}.") from error
    limits.check_pixels(*image.size, where)
    return np.array(read_pil_image(image, where))
