"""The actions that a robot's checkpoint predicts, as a table, as what is written to a file, and as a picture."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import FarStateWarning, InputError
from ...modeling.action_normalization import find_statistics
from ...modeling.embodiments import check_embodiments
from ...processing.image_reader import open_image
from ...training.waiting import waiting
from ..files.settings_errors import reading_settings
from ..files.view_files import listed_files, named_views
from ..table_lines import Column, Table
from ..terminal import show
from .checkpoint_loading import load_config, load_model, load_processor
from .dimensions import NAMES
from .flow_options import flow_options
from .prediction_plot import plot_trace
from .prediction_trace import Asked, Drawn, Trace, predicted

NO_STATE = "the model reads the robot's state, and --state was not given: zeros stand for its {size} values"


def predict_actions(
    folder: Path,
    paths: list[Path] | None,
    instruction: str | None,
    state: list[float] | None = None,
    unnorm_key: str | None = None,
    device: str = "cpu",
    advantage: str | None = None,
    embodiment_id: int | None = None,
    fast: str | None = None,
    num_samples: int | None = None,
    flow: Mapping[str, Any] | None = None,
    picture: tuple[Trace, Path] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """A chunk of actions in robot units, printed as a table; returns what is written.

    Args:
        paths: of the views: files, one folder of them (see `listed_files`), or NAME=FILE for each.
        state: in the robot's units; zeros where it is not given and the model has one.
        advantage: a word for the prompt; embodiment_id: of a model that has several; fast: see `load_model`.
        num_samples: chunks to draw; the first is the answer, their spread is printed behind it.
        flow: of a head that starts from noise, see `flow_options`.
        picture: how to trace the prediction, and where to draw it.
        quiet: no notes, but for those of a state that is clipped, or not given.

    Raises:
        InputError: images or instruction are missing, or the model has no state, one embodiment or none of that
            number, no samples or no such steps.
    """
    missing = [] if paths else ["--images FILE ..."]
    missing += ["--instruction TEXT"] if instruction is None else []
    if missing:
        raise InputError(f"this model needs --images FILE ... and --instruction TEXT; missing: {', '.join(missing)}.")
    if not instruction.strip():
        raise InputError(f"--instruction {instruction!r} says nothing; say what to do, as in the training data.")
    processor, config = load_processor(folder), load_config(folder)
    images = named_views(paths)
    if images is None:
        images = [open_image(path) for path in listed_files(paths, processor.view_names)]
    find_statistics(config.norm_stats, unnorm_key)
    given = given_options(processor, config, state, advantage, embodiment_id)
    options = sampling_options(config, num_samples) | (flow_options(config, flow) if flow else {})
    with reading_settings(folder), warning_in_a_line():
        inputs = processor(images=images, text=instruction, unnorm_key=unnorm_key, **given)
    check_embodiments(config.num_embodiments, inputs.get("embodiment_id"), batch_size=1)
    if processor.state_dim and state is None:
        print(f"vlahub: {NO_STATE.format(size=processor.state_dim)}", file=sys.stderr)
    model = load_model(folder, device, fast=fast, quiet=quiet)  # last: it takes minutes
    asked = Asked(images, instruction, inputs.to(device), {"unnorm_key": unnorm_key, **options})
    with waiting("predicting"):
        drawn = predicted(model, asked) if picture is None else drawn_with_picture(model, processor, asked, *picture)
    names = NAMES if drawn.actions.shape[-1] == len(NAMES) else range(drawn.actions.shape[-1])
    return printed(names, drawn)


@contextmanager
def warning_in_a_line() -> Iterator[None]:
    """A state far outside of the statistics is told as notes are; other warnings as they are."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", FarStateWarning)
        yield
    for warning in found:
        if not issubclass(warning.category, FarStateWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        else:
            print(f"vlahub: {warning.message}", file=sys.stderr)


def given_options(
    processor: Any,
    config: Any,
    state: list[float] | None,
    advantage: str | None,
    embodiment_id: int | None,
) -> dict[str, Any]:
    """What the processor is given beside images and text. Raises InputError for what the model has no use for."""
    size = processor.state_dim
    if state and not size:
        raise InputError("--state: this model was trained without a state; leave it out.")
    if state and len(state) != size:
        raise InputError(f"--state has {len(state)} values, the state of this model {size}: give as many.")
    state = state or ([0.0] * size if size else None)
    if embodiment_id is not None and config.num_embodiments == 1:
        raise InputError(f"--embodiment-id {embodiment_id}: this model has one embodiment; leave it out.")
    given = {"advantage": advantage, "embodiment_id": embodiment_id}
    return {"state": state, **{name: value for name, value in given.items() if value is not None}}


def sampling_options(config: Any, num_samples: int | None) -> dict[str, int]:
    """As `predict_action` takes them. Raises InputError where the action head draws none."""
    if num_samples is not None and not config.draws_samples:
        raise InputError(
            f"--num-samples {num_samples}: this model's action head predicts one chunk and draws none; leave it out."
        )
    return {} if num_samples is None else {"num_samples": num_samples}


def drawn_with_picture(model: Any, processor: Any, asked: Asked, trace: Trace, path: Path) -> Drawn:
    """The prediction, once it is drawn."""
    if model.fast_prediction is not None:
        print("vlahub: --plot predicts eagerly: what a picture shows is recorded by hooks.", file=sys.stderr)
    found = trace(model, processor, asked)
    plot_trace(path, found, model, processor, asked)
    return found.drawn


def printed(names: Any, drawn: Drawn) -> dict[str, Any]:
    """Print the first chunk, and the spread of several; returns what is written."""
    result = {"actions": drawn.actions[0].tolist()}
    print_table(names, result["actions"])
    if drawn.spread is not None:
        result |= {"samples": drawn.actions.tolist(), "spread": drawn.spread.tolist()}
        print(f"spread (standard deviation) of {len(drawn.actions)} samples, of which the first is above:")
        print_table(names, result["spread"])
    if drawn.entropy is not None:
        result["entropy"] = drawn.entropy.tolist()
    return result


def print_table(names: Any, rows: list[list[float]]) -> None:
    columns = [Column("step", right=True, width=4), *(Column(str(name), right=True, width=9) for name in names)]
    show(Table(columns, [[str(step), *(f"{value:.4f}" for value in row)] for step, row in enumerate(rows)]))
