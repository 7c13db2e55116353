"""Files of a training run: its config, JSON or YAML, and weights under whatever name."""

from pathlib import Path
from typing import Any

import yaml

from ...configuration.vla_errors import ConversionError
from .json_file import check_depth, check_regular, read_json, too_deep

SUFFIXES = (".pt", ".bin", ".safetensors")
LOOSE_FILES = tuple(f"*{suffix}" for suffix in SUFFIXES)


def matches(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.suffix in SUFFIXES]


def read_run_config(folder: Path) -> dict[str, Any]:
    """config.json or config.yaml, `{}` where there is neither.

    Raises:
        ConversionError: it cannot be read.
    """
    path = folder / "config.yaml"
    if (folder / "config.json").exists() or not path.exists():
        return read_json([folder], "config.json", required=False) or {}
    try:
        content = yaml.safe_load(check_regular(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise ConversionError(f"{path} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConversionError(too_deep(path)) from error
    check_depth(content, path)
    if not isinstance(content, dict):
        raise ConversionError(f"{path} holds a {type(content).__name__}; a mapping is needed.")
    return content
