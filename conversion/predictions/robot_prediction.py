"""The actions that a robot's checkpoint predicts, as a table and as what is written to a file."""

from pathlib import Path
from typing import Any

from ...configuration.vla_errors import InputError
from ...processing.image_reader import open_image
from ..files.settings_errors import reading_settings
from ..files.view_files import listed_files, named_views
from ..terminal import Column, Table, show, waiting
from .checkpoint_loading import load_checkpoint

NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")


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
) -> dict[str, Any]:
    """A chunk of actions in robot units, printed as a table; returns what is written.

    Args:
        paths: of the views: files, one folder of them, or NAME=FILE for each.
        state: in the robot's units; zeros where it is not given and the model has one.
        advantage: a word for the prompt; embodiment_id: of a model that has several; fast: see `load_model`.

    Raises:
        InputError: images or instruction are missing, or the model has no state, or one embodiment.
    """
    if not paths or instruction is None:
        raise InputError("this model needs --images FILE ... and --instruction TEXT.")
    images = named_views(paths)
    if images is None:
        images = [open_image(path) for path in listed_files(paths)]
    processor, model = load_checkpoint(folder, device, fast)
    size = processor.state_dim
    if state and not size:
        raise InputError("--state: this model was trained without a state; leave it out.")
    state = state or ([0.0] * size if size else None)
    if embodiment_id is not None and model.config.num_embodiments == 1:
        raise InputError("--embodiment-id: this model has one embodiment; leave it out.")
    given = {"advantage": advantage, "embodiment_id": embodiment_id}
    given = {name: value for name, value in given.items() if value is not None}
    with reading_settings(folder):
        inputs = processor(images=images, text=instruction, state=state, unnorm_key=unnorm_key, **given)
    with waiting("predicting"):
        actions = model.predict_action(**inputs.to(device), unnorm_key=unnorm_key)[0].tolist()
    print_table(NAMES if len(actions[0]) == len(NAMES) else range(len(actions[0])), actions)
    return {"actions": actions}


def print_table(names: Any, rows: list[list[float]]) -> None:
    columns = [Column("step", right=True, width=4), *(Column(str(name), right=True, width=9) for name in names)]
    show(Table(columns, [[str(step), *(f"{value:.4f}" for value in row)] for step, row in enumerate(rows)]))
