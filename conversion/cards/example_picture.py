"""The picture of the prediction that the example of a card prints."""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from ...configuration.card_snippet import Asked
from ...configuration.vla_errors import ConversionError, InputError
from ..families import OURS
from ..files.file_kinds import PICTURE_NAME
from ..plots.picture_file import check_picture_format
from ..predictions.checkpoint_loading import load_model, load_processor
from .example_run import shown_text


def is_picture_wanted(config: Any, asked_for: bool | None) -> bool:
    """Whether a picture is drawn; asked_for: `None` where matplotlib is there and the model's answer can be drawn.

    Raises:
        InputError: it was asked for, and there is nothing to draw.
        ConversionError: it was asked for, and matplotlib is missing.
    """
    if asked_for and config.predicts == "text":
        raise InputError("--picture: this model writes text and predicts no actions; there is nothing to draw.")
    if asked_for:
        check_picture_format(Path(PICTURE_NAME))
    can = config.predicts != "text" and find_spec("matplotlib") is not None
    return can if asked_for is None else asked_for


def draw_example(folder: Path, config: Any, views: list[Image.Image], asked: Asked, printed: str) -> bytes | None:
    """The picture as PNG; `None`, with a word on stderr, where it would show another prediction than was printed.

    printed: by the example, which ran the code that lies in the checkpoint; the picture is made by this release's.
    """
    kind = OURS[config.model_type].prediction
    with tempfile.TemporaryDirectory(prefix="vlahub-card-") as work:
        path = Path(work) / PICTURE_NAME
        processor, model = load_processor(folder), load_model(folder, "cpu", dtype="auto")
        if kind.draw_example is None:
            raise ConversionError(f"the card of a {config.model_type!r} has no picture; --no-picture leaves it out.")
        found = shown_text(kind.draw_example(path, model, processor, views, asked))
        if found.split() == printed.split():
            return path.read_bytes()
    print(
        f"vlahub: the picture is left out: this release predicts {' '.join(found.split())}, the code of {folder} "
        f"{' '.join(printed.split())}.",
        file=sys.stderr,
    )
    return None
