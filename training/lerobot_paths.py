"""Paths inside a dataset's folder, from templates and entries that the dataset itself brings."""

import os
import re
from collections.abc import Mapping

from ..configuration.vla_errors import InputError

FIELD = re.compile(r"\{(\w*)(?::0?(\d?)d)?\}")  # {name} or {name:03d}; no attributes, conversions or other widths


def filled_template(template: str, fields: Mapping[str, int | str], where: str) -> str:
    """`data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet` -> the path that it stands for.

    Not `str.format`: a template is input, and a format specification can ask for attributes and gigabytes.

    Args:
        fields: whole numbers and names by the names that the template may use.
        where: of the template, for messages.

    Raises:
        InputError: the template has another field, a form that is neither `{name}` nor a width such as `{name:03d}`,
            or leads out of the dataset's folder.
    """
    if not isinstance(template, str):
        raise InputError(f"{where}={template!r} is not a path.")

    def filled(match: re.Match[str]) -> str:
        name, width = match.groups()
        if name not in fields:
            raise InputError(f"{where}={template!r} asks for {name!r}, not {', '.join(fields)}.")
        return str(fields[name]).zfill(int(width or 0))

    if set("{}") & set(FIELD.sub("", template)):
        raise InputError(f"{where}={template!r} has a field that is neither {{name}} nor of the form {{name:03d}}.")
    return inside_folder(FIELD.sub(filled, template), where)


def inside_folder(path: str, where: str) -> str:
    """The relative path, tidied. Raises InputError where it leads out of the folder that it is relative to."""
    tidy = os.path.normpath(path)
    if os.path.isabs(path) or tidy == os.pardir or tidy.startswith(os.pardir + os.sep) or "\0" in path:
        raise InputError(f"{where} leads to {path!r}, out of the dataset's folder.")
    return tidy
