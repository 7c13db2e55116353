"""The settings of an image processor lie in two files, one for each line of transformers: both have to say the same."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from ..configuration.checkpoint_json import read_mapping
from ..configuration.vla_errors import CheckpointError

OWN_FILE, PROCESSOR_FILE = FILES = ("preprocessor_config.json", "processor_config.json")
PART = "image_processor"
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
OF_CLASSES = (
    "auto_map",
    "feature_extractor_type",
    "image_processor_type",
    "processor_class",
)  # which read the settings
MISSING_IS_NONE = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
SHOWN = 8


def check_same_settings(place: str | os.PathLike, arguments: Mapping[str, Any]) -> None:
    """Refuse settings of an image processor that are others in its own file than in the processor's: transformers 5
    reads the latter and 4.57 the former, and a change of one of them would have no effect on the other line.

    Args:
        arguments: of `from_pretrained`.

    Raises:
        CheckpointError: the message names the settings.
    """
    files = {name: arguments[name] for name in HUB_ARGUMENTS if name in arguments}
    paths = [cached_file(place, name, **files, **MISSING_IS_NONE) for name in FILES]
    if None in paths:
        return
    own, whole = (read_mapping(Path(path)) for path in paths)
    nested = whole.get(PART)  # 4.57 takes it out of what it reads
    if not isinstance(nested, Mapping):
        return
    names = {name for name in {*nested, *own}.difference(OF_CLASSES) if not name.startswith("_")}
    if others := sorted(name for name in names if nested.get(name) != own.get(name)):
        shown = ", ".join(f"{name} ({own.get(name)!r:.60} and {nested.get(name)!r:.60})" for name in others[:SHOWN])
        raise CheckpointError(
            f"{place}: {OWN_FILE} and {PART} in {PROCESSOR_FILE} say different things, of which transformers 4.57 "
            f"reads the former and 5 the latter: {shown}. Write the same in both, or change the attribute of the "
            "loaded processor's image_processor and save it: save_pretrained writes both."
        )
