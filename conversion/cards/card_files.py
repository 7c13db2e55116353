"""The files that `vlahub card` writes into a checkpoint: all of them at the end, or none."""

import os
from contextlib import suppress
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from ..files.file_hashes import entry_of, read_report, report_text, with_own_hash
from ..files.file_kinds import CARD_NAME, REPORT_NAME, blobs_of, leads_out
from ..files.given_paths import meant_folder


def check_place(folder: Path) -> None:
    """Refuse a folder in which no card may be written.

    Raises:
        ConversionError: it is none, it is the Hub's cache, its card is a link, or there is no permission.
    """
    if not folder.is_dir():
        hint = "" if folder.exists() else meant_folder(folder)
        raise ConversionError(
            f"{folder} is no folder{hint}: a card is written into one; `hf download user/name --local-dir FOLDER` "
            "fetches a repository."
        )
    if blobs_of(folder.resolve()) is not None:
        raise ConversionError(
            f"{folder} lies in the cache of the Hub, which is not changed: fetch a copy with `hf download user/name "
            "--local-dir FOLDER`."
        )
    for name in (CARD_NAME, REPORT_NAME):
        if leads_out(folder / name):
            raise ConversionError(f"{folder / name} is a link out of its folder; put the file itself there.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConversionError(f"{folder} cannot be written: there is no permission.")


def with_recorded(folder: Path, files: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """These files, and the report with what they will be, where it lists the files of the folder.

    files: content by name, `None` for one that is removed.
    """
    report = read_report(folder)
    if "files" not in report:
        return files
    for name, content in files.items():
        report["files"].pop(name, None)
        if content is not None:
            report["files"][name] = entry_of(content)
    return files | {REPORT_NAME: report_text(with_own_hash(report)).encode()}


def exchange_files(folder: Path, before: dict[str, bytes | None], files: dict[str, bytes | None]) -> None:
    """Write and remove files once all of them lie on the disk under other names; the card is one of the last.

    Args:
        before: what files had to be like when the work began, `None` for one that was not there.
        files: content by name, `None` for one that is removed.

    Raises:
        ConversionError: somebody else changed one of `before` meanwhile.
    """
    order = sorted(files, key=lambda name: ({CARD_NAME: 1, REPORT_NAME: 2}.get(name, 0), name))
    work = {name: folder / f".{name}.{os.getpid()}.partial" for name in order if files[name] is not None}
    try:
        for name, path in work.items():
            with open(path, "xb") as file:
                file.write(files[name])
                file.flush()
                os.fsync(file.fileno())
        for name, content in before.items():
            if bytes_of(folder / name) != content:
                raise ConversionError(f"{folder / name} was changed while the example ran; run it again.")
        for name in order:
            if name in work:
                os.replace(work[name], folder / name)
        for name in order:
            if name not in work:
                (folder / name).unlink(missing_ok=True)
    finally:
        for path in work.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)


def bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
