"""`vlahub card`: README.md of a checkpoint with an example that was carried out, its output and its picture."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from ...configuration.card_example import with_example
from ...configuration.card_markdown import code, fenced
from ...configuration.card_snippet import Asked, snippet
from ...configuration.checkpoint_card import CARD_NAME, is_unedited, stamped
from ...configuration.vla_errors import ConversionError, InputError
from ...modeling.action_normalization import find_statistics
from ...training.waiting import waiting
from ..family_card import listed
from ..files.file_hashes import read_report
from ..files.file_kinds import PICTURE_NAME, REPORT_NAME, is_example_view
from ..folders.folder_roles import check_ready
from ..plots.picture_file import PREDICTION_MARK, is_marked
from ..predictions.checkpoint_loading import check_folder
from ..publishing.uploaded_files import code_not_ours
from ..travelling.travelling_code import own_config
from ..travelling.unnamed_code import generation_code
from .card_files import bytes_of, check_place, exchange_files, with_recorded
from .card_text import check_metadata, repository_in, text_to_complete
from .example_images import ExampleImages, drawn_images, given_images, kept_images
from .example_picture import draw_example, is_picture_wanted
from .example_run import run_example

PRINTED = (
    "It printed, when this card was made, with transformers {transformers}, torch {torch} and Python {python} on a "
    "CPU, {images}:"
)
DRAWN = (
    "with images that it draws itself, so that it prints the same wherever it runs (they show nothing real: that the "
    "checkpoint works is all that this tells)"
)
GIVEN = "with images of whoever made this card ({names}){where}"
PICTURE = "![The prediction that the example prints, as a picture]({name})"


@dataclass(frozen=True)
class CardRequest:
    """What is asked of a card; the fields are the options of `vlahub card`.

    Attributes:
        images: files, a folder, or NAME=FILE for each view; `None`: the example draws its own.
        run: carry the example out; without it the card shows code alone.
        picture: `None`: where matplotlib is installed.
        keep_images: put the images into the checkpoint, so that the example runs for everybody.
        allow_code: run Python files of the checkpoint that are not ours.
    """

    images: Sequence[Path] | None = None
    text: str | None = None
    state: Sequence[float] | None = None
    unnorm_key: str | None = None
    run: bool = True
    picture: bool | None = None
    keep_images: bool = False
    allow_code: bool = False


def write_executed_card(folder: Path, request: CardRequest = CardRequest()) -> str:
    """Write the card, once everything in it is there; returns a line about what was written.

    Raises:
        ConversionError: the folder is no checkpoint of ours that can be written, holds code that is not ours, its card
            was edited where the example stands, or the example fails. Nothing was changed then.
        InputError: what is asked does not fit the model.
    """
    check_place(folder)
    check_ready(folder)
    check_folder(folder)
    config, report = own_config(folder), read_report(folder)
    if config is None:
        raise ConversionError(f"{folder} is of no family of vlahub's, whose cards alone have an example.")
    before = {name: bytes_of(folder / name) for name in (CARD_NAME, REPORT_NAME)}
    known = None if before[CARD_NAME] is None else card_in(folder, before[CARD_NAME])
    text = text_to_complete(folder, known, config, report)
    check_metadata(text)
    check_request(request, config)
    if request.run and not request.allow_code and (others := code_not_ours(folder) + generation_code(folder)):
        raise ConversionError(
            f"{folder} holds code that is not this release's ({', '.join(others)}), which the example would run: read "
            "it, and pass --allow-code to run it, or --no-run for a card without output."
        )
    with tempfile.TemporaryDirectory(prefix="vlahub-card-") as work:
        images = images_of(request, config, repository_in(text), Path(work))
        asked = asked_of(request, images)
        files, seen = executed(folder, config, request, images, asked, repository_in(text)) if request.run else ({}, "")
    files |= {name: None for name in no_longer_shown(folder, known or "") if name not in files}
    example = fenced(snippet(config, repository_in(text), asked), "python")
    text = with_example(text, example, seen)
    ours = known is None or is_unedited(known)
    files[CARD_NAME] = (stamped(text, config) if ours else text).encode()
    exchange_files(folder, before, with_recorded(folder, files))
    shown = f" and {PICTURE_NAME}" if files.get(PICTURE_NAME) else ""
    return f"wrote {folder / CARD_NAME}{shown}" + ("" if request.run else "; its example was not run")


def card_in(folder: Path, content: bytes) -> str:
    """Raises ConversionError for what is no text."""
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConversionError(f"{folder / CARD_NAME} is not UTF-8; save it as UTF-8, or move it away.") from error


def no_longer_shown(folder: Path, known: str) -> list[str]:
    """Pictures that the card so far shows or reads, and that were written with it."""
    picture = folder / PICTURE_NAME
    names = [PICTURE_NAME] if picture.is_file() and is_marked(picture, PREDICTION_MARK) else []
    return names + [path.name for path in folder.glob("*") if is_example_view(path.name) and path.name in known]


def check_request(request: CardRequest, config: Any) -> None:
    """Raises InputError for what the model has no use for, or what says nothing."""
    of_robot = config.predicts == "actions"
    if request.text is not None and not request.text.strip():
        raise InputError(f"--text {request.text!r} says nothing; leave it out for an example.")
    if request.state is not None and not (of_robot and config.state_size):
        raise InputError("--state: this model reads no state of a robot; leave it out.")
    if request.state is not None and len(request.state) != config.state_size:
        raise InputError(f"--state has {len(request.state)} values, the state of this model {config.state_size}.")
    if request.unnorm_key is not None and not of_robot:
        raise InputError("--unnorm-key: this model predicts no actions of a robot; leave it out.")
    if request.unnorm_key is not None:
        find_statistics(config.norm_stats, request.unnorm_key)
    if request.keep_images and not request.images:
        raise InputError("--keep-images: name the images, with --images FILE ...")
    if not request.run and request.picture:
        raise InputError("--picture shows what the example predicts, and --no-run leaves that out: choose one.")


def images_of(request: CardRequest, config: Any, repository: str, work: Path) -> ExampleImages:
    """work: an empty folder, for those that are kept."""
    if not request.images:
        return drawn_images(config, Asked())
    images = given_images(config, list(request.images), repository.split("/")[0])
    return kept_images(images, work) if request.keep_images else images


def asked_of(request: CardRequest, images: ExampleImages) -> Asked:
    """Without a run the code has names that stand for the reader's own images."""
    return Asked(
        images=images.names,
        text=request.text,
        state=None if request.state is None else tuple(request.state),
        unnorm_key=request.unnorm_key,
        drawn=request.run and not images.files,
        kept=request.keep_images,
    )


def printed_text(images: ExampleImages, are_kept: bool) -> str:
    """How the output of the example came about."""
    where = ", which lie beside the weights" if are_kept else ", which are not in this repository"
    given = GIVEN.format(names=listed([code(name) for name in images.files]), where=where) if images.files else DRAWN
    versions = {name: version(name) for name in ("transformers", "torch")}
    return PRINTED.format(**versions, python=python_version(), images=given)


def executed(
    folder: Path, config: Any, request: CardRequest, images: ExampleImages, asked: Asked, repository: str
) -> tuple[dict[str, bytes | None], str]:
    """Carry the example out: the files that belong to it, and what the card says was seen.

    The process that ran it has ended, and its memory is free, before the picture loads the model.
    """
    picture = is_picture_wanted(config, request.picture)
    with waiting("running the example"):
        output = run_example(snippet(config, repository, asked), folder, repository, images.files, asked.kept)
    seen = [printed_text(images, request.keep_images), fenced(output)]
    files: dict[str, bytes | None] = {}
    if request.keep_images:
        files |= {name: path.read_bytes() for name, path in images.files.items()}
    if picture:
        with waiting("drawing"):
            drawn = draw_example(folder, config, images.views, asked, output)
        if drawn is not None:
            files[PICTURE_NAME] = drawn
            seen.append(PICTURE.format(name=PICTURE_NAME))
    return files, "\n\n".join(seen)
