"""msgpack with arrays, as openpi's clients and servers exchange it.

An array is a map of bytes keys, `{b"__ndarray__": True, b"data": ..., b"dtype": "|u1", b"shape": [...]}`, a number of
numpy `{b"__npgeneric__": True, b"data": ..., b"dtype": ...}`. Upstream: Physical-Intelligence/openpi,
packages/openpi-client/src/openpi_client/msgpack_numpy.py.
"""

from typing import Any

import msgpack
import numpy as np

from ...configuration.vla_errors import InputError
from .json_values import NUMBERS, array_of


def packed(value: Any) -> bytes:
    return msgpack.packb(value, default=array_as_map)


def array_as_map(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data, dtype = value.tobytes(), value.dtype.str
        return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"{type(value).__name__} cannot be packed")


def unpacked_map(data: bytes) -> dict[str, Any]:
    """A map with its arrays. Raises InputError for anything else."""
    try:
        value = msgpack.unpackb(data, object_hook=map_as_array)
    except InputError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__  # nested too deep: a StackError, which says nothing
        raise InputError(f"the observation is no msgpack: {reason}.") from error
    if not isinstance(value, dict):
        raise InputError(f"the observation is a {type(value).__name__}; a map of keys is needed.")
    return value


def map_as_array(value: dict[Any, Any]) -> Any:
    """Raises InputError for an array that is broken."""
    if b"__ndarray__" in value:
        data = value.get(b"data")
        if not isinstance(data, bytes):
            raise InputError(f"an array's data is a {type(data).__name__}; bytes are needed.")
        return array_of(data, value.get(b"dtype"), value.get(b"shape"))
    if b"__npgeneric__" in value:
        dtype, number = value.get(b"dtype"), value.get(b"data")
        if not isinstance(dtype, str) or not NUMBERS.fullmatch(dtype) or not isinstance(number, (bool, int, float)):
            raise InputError(f"a number of numpy is {number!r:.40} with dtype {dtype!r:.40}, which is none.")
        try:
            return np.dtype(dtype).type(number)
        except (OverflowError, ValueError) as error:
            raise InputError(f"a number of numpy is {number!r:.40}, which {dtype} cannot hold.") from error
    return value
