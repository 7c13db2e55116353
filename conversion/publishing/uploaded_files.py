"""Which files of a folder `push` uploads: those of a checkpoint, and no code that is not ours unless it was allowed;
and which of the repository it deletes: those that would be read beside them."""

from collections.abc import Iterable
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from ...modeling.replaced_weights import replaced_weights
from ..files.file_hashes import entry_of_file
from ..files.file_kinds import (
    CARD_NAME,
    CODE,
    CONFIG,
    KINDS,
    PICTURE,
    PROCESSOR,
    REPORT_NAME,
    TOKENIZER,
    LeftBehind,
    kind_of,
    leads_out,
    left_behind,
    travelling,
)
from ..files.json_file import read_json
from ..tensors.tensor_source import TensorGroup
from ..travelling.auto_map import config_files, read, reference_problem, references
from ..travelling.travelling_code import differing, own_code, own_config

READ_BY_FOLDER = ("custom_generate/", "additional_chat_templates/")  # by transformers, whatever else is there


def files_to_upload(folder: Path, weights: TensorGroup, allow_code: bool) -> tuple[list[Path], list[LeftBehind]]:
    """What is uploaded, and what stays behind and why.

    Args:
        weights: of the folder; the shards that an index names are uploaded whatever their names.

    Raises:
        ConversionError: config or weights are links out of the folder, or there is code that is not ours and was not
            allowed.
    """
    shards = {file.path for file in weights.files}
    for path in sorted({folder / "config.json", *folder.glob("model*.safetensors*"), *shards}):
        if leads_out(path):
            raise ConversionError(
                f"{path} is a link out of its folder, which is not followed; put the file itself there."
            )
    if not allow_code:
        check_code(folder)
    stale = pictures_not_shown(folder)
    files = sorted({*travelling(folder, *KINDS), *shards} - {entry.path for entry in stale})
    left = [entry for entry in left_behind(folder) if entry.path not in shards] + stale
    return files, [LeftBehind(entry.path.relative_to(folder), entry.reason) for entry in left]


def files_to_delete(present: Iterable[str], uploaded: Iterable[str]) -> list[str]:
    """Of a repository's files `present` those that transformers would read beside what is `uploaded`, or in its place:
    older weights, an adapter, settings, tokenizer and code of generation. What else its owner keeps there stays."""
    others = set(present) - set(uploaded)
    read = {name for name in others if kind_of(name) in (CONFIG, PROCESSOR, TOKENIZER)}
    read.update(name for name in others if name.startswith(READ_BY_FOLDER))
    return sorted(read.union(replaced_weights(present, uploaded)))


def pictures_not_shown(folder: Path) -> list[LeftBehind]:
    """Pictures of a card that is no longer there: they are of other weights."""
    path = folder / CARD_NAME
    card = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    others = [picture for picture in travelling(folder, PICTURE) if picture.name not in card]
    return [LeftBehind(picture, f"a picture that {CARD_NAME} does not show") for picture in others]


def check_code(folder: Path) -> None:
    """Refuse Python files that are not ours, and names of code that lies elsewhere.

    Raises:
        ConversionError: there is other code; the message names it.
    """
    if others := code_not_ours(folder):
        raise ConversionError(
            f"{folder} holds code that is not this release's ({', '.join(others)}), and whoever loads the checkpoint "
            "runs it: read it, and pass --allow-code to publish it, or remove it."
        )


def code_not_ours(folder: Path) -> list[str]:
    """Names of Python files that are not ours, and of code that lies elsewhere.

    Ours is what this release writes, and what the conversion report of the folder lists as ours.
    """
    config = own_config(folder)
    ours = own_code(config, [folder]).texts if config else {}
    report = read_json([folder], REPORT_NAME, required=False) or {}
    known = {name: entry.get("sha256") for name, entry in (report.get("files") or {}).items()}
    for name in report.get("foreign_code") or ():
        known.pop(name, None)
    others = [
        name
        for name in differing(travelling(folder, CODE), ours)
        if entry_of_file(folder / name)["sha256"] != known.get(name)
    ]
    for path in config_files(folder):
        others += [f"{name} in {path.name}" for name in references(read(path)) if reference_problem(name, folder)]
    return sorted(set(others))
