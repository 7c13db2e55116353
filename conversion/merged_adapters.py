"""Adapters by their contents, so that none is added twice: in one merge, or to a base that holds it already."""

from collections.abc import Sequence
from pathlib import Path

from ..configuration.vla_errors import ConversionError
from ..modeling.base_weights import MERGED
from .files.adapter_places import adapter_files
from .files.file_hashes import entry_of_file
from .files.file_kinds import REPORT_NAME
from .files.json_file import read_json


def merged_adapters(base: Path | None, adapters: Sequence[Path]) -> list[str]:
    """What a report records: SHA-256 of the weights of each adapter that the base held, and of those that are added.
    `adapters` may be none."""
    return [*held_by(base), *filter(None, map(digest_of, adapters))]


def check_not_merged(base: Path | None, adapters: Sequence[Path]) -> None:
    """Refuse an adapter that would be added a second time.

    Raises:
        ConversionError: the message names it.
    """
    held, digests = held_by(base), []
    if len(adapters) < 2 and not held:
        return
    for adapter in adapters:
        digest = digest_of(adapter)
        if digest in held:
            raise ConversionError(
                f"--base {base} holds the adapter {adapter} already, which would be added twice: name the model that "
                "it was trained on, or leave the adapter out."
            )
        if digest in digests:
            raise ConversionError(f"--adapter {adapter} is given twice, and would be added twice: name it once.")
        digests += [digest] if digest else []


def held_by(base: Path | None) -> list[str]:
    """What the report of a base records; bases that are no checkpoints of ours hold none that is known."""
    return (read_json([base], REPORT_NAME, required=False) or {}).get(MERGED, []) if base else []


def digest_of(run: Path) -> str | None:
    """SHA-256 of the weights of an adapter, which lies in a run or in a folder of its own; `None` where none does."""
    return next((entry_of_file(run / file)["sha256"] for file in adapter_files(run)), None)
