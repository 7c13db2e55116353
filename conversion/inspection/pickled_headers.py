"""Names, dtypes and shapes of the tensors in a file of `torch.save`, without torch and without running anything.

The file is a zip archive whose `data.pkl` builds the mapping; what it names as code is replaced by stand-ins that note
shapes, and anything but tensors and plain containers is refused.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_parts import TensorEntry
from ..files.json_file import check_regular

DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
LONGEST = 200_000_000  # bytes of a data.pkl


class Found(tuple):
    """(dtype, shape) of a tensor."""


def noted_tensor(storage: str, offset: int, shape: tuple[int, ...], *_: Any) -> Found:
    """In the place of torch's `_rebuild_tensor_v2`."""
    return Found((storage, tuple(shape)))


def noted_parameter(tensor: Found, *_: Any) -> Found:
    return tensor


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): noted_tensor,
    ("torch._utils", "_rebuild_parameter"): noted_parameter,
}


class Shapes(pickle.Unpickler):
    """Builds the mapping with `Found` in the place of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it needs {module}.{name}, and only tensors are read")

    def persistent_load(self, saved: Any) -> Any:
        """("storage", dtype, key, device, size) -> dtype."""
        return saved[1]


def read_pickled(path: Path, name: str) -> list[TensorEntry]:
    """The tensors of a file, one mapping of names to tensors.

    Raises:
        ConversionError: it is damaged, older than torch 1.6, or holds more than tensors.
    """
    try:
        with zipfile.ZipFile(check_regular(path)) as archive:
            inside = next(entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if inside.file_size > LONGEST:
                raise ConversionError(f"{name}: its list of tensors is {inside.file_size:,} bytes long.")
            with archive.open(inside) as file:
                content = Shapes(file).load()
        return [TensorEntry(key, *value, name) for key, value in content.items() if isinstance(value, Found)]
    except ConversionError:
        raise
    except Exception as error:  # whatever the damage happens to hit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(f"{name} cannot be read as a file of tensors alone: {reason}.") from error
