"""`conversion_report.json`, which somebody may have edited: read where its values are of their kinds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from .file_kinds import REPORT_NAME
from .json_file import read_json


def load_report(folder: Path, required: bool = False) -> dict[str, Any]:
    """What the report of a folder says, `{}` where there is none; whether it is as it was written is not looked at.

    Raises:
        ConversionError: it cannot be read, lacks what is `required`, or an entry is of another kind than conversions
            write; the message names the entry.
    """
    report = read_json([folder], REPORT_NAME, required=required) or {}
    for name, is_right in FORMS.items():
        if name in report and not is_right(report[name]):
            raise ConversionError(
                f"{folder / REPORT_NAME}: {name!r} is not what conversions write there; it was changed afterwards."
            )
    return report


def mapping_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(is_right, value.values()))


def list_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def is_setting(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value and is_text(value.get("known"))


def is_file_entry(value: Any) -> bool:
    return isinstance(value, Mapping) and is_text(value.get("sha256")) and type(value.get("bytes")) is int


def is_tensor_entry(value: Any) -> bool:
    return isinstance(value, Mapping) and is_text(value.get("operation", ""))


def is_untrained_mark(value: Any) -> bool:
    return isinstance(value, Mapping) and list_of(is_text)(value.get("tensors", []))


FORMS = {
    "tensors": mapping_of(is_tensor_entry),
    "files": mapping_of(is_file_entry),
    "settings": mapping_of(is_setting),
    "inputs": mapping_of(is_text),
    "leftovers": list_of(is_mapping),
    "foreign_code": list_of(is_text),
    "untrained": is_untrained_mark,
}
