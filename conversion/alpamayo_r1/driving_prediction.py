"""The trajectories that a driving model predicts for one scene: read, printed, drawn, and what is written to a file."""

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image

from ...configuration.vla_errors import ConversionError, InputError
from ...modeling.alpamayo_r1.ego_frame import seen_from
from ...processing.image_reader import open_image
from ..files.json_file import check_regular, load_json
from ..files.settings_errors import reading_settings
from ..files.view_files import listed_files
from ..predictions.checkpoint_loading import load_checkpoint
from ..predictions.robot_prediction import print_table
from .trajectory_plot import plot_trajectories

WAYPOINTS_SHOWN = 8


def predict_trajectories(
    folder: Path,
    paths: list[Path] | None,
    history: Path | None,
    frame: str = "ego",
    sampling: dict[str, Any] | None = None,
    plot: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Trajectories and reasoning of one scene, the first sample printed; returns what is written.

    Args:
        paths: of the views; `None`: the scene holds them.
        history: .json or .npz with the path just driven, see `read_scene`.
        frame: of the history, see the processor.
        sampling: arguments of `sample_trajectories`.
        plot: where to draw the picture.

    Raises:
        InputError: history or images are missing.
        ConversionError: the history cannot be read.
    """
    if history is None:
        raise InputError("this model needs --history FILE with ego_history_xyz and ego_history_rot.")
    scene = read_scene(history)
    images = read_cameras(paths) if paths else scene.get("images")
    if images is None:
        raise InputError(f"{history} holds no images: pass --images.")
    processor, model = load_checkpoint(folder, device)
    poses = {name: scene[name] for name in ("ego_history_xyz", "ego_history_rot")}
    with reading_settings(folder):
        inputs = processor(images=images, **poses, history_frame=frame)
    output = model.sample_trajectories(**inputs.to(device), **(sampling or {}))
    result = {
        "pred_xyz": output.pred_xyz[0, 0].tolist(),
        "reasoning": output.reasoning[0][0],
        "has_start_token": output.has_start_token[0, 0].tolist(),
    }
    for text, started in zip(result["reasoning"], result["has_start_token"], strict=True):
        print(f"reasoning: {text!r}" + ("" if started else " (ended without announcing a trajectory)"))
    print_table("xyz", result["pred_xyz"][0][:WAYPOINTS_SHOWN])
    if plot:
        driven = future_of(scene, frame)
        plot_trajectories(plot, images, output.pred_xyz[0], result["reasoning"], inputs["ego_history_xyz"], driven)
    return result


def future_of(scene: dict[str, np.ndarray], frame: str) -> Any:
    """The path that was driven, where the scene has it, as the trajectories are: seen from the last pose."""
    xyz = scene.get("ego_future_xyz")
    if xyz is None or frame == "ego":
        return xyz
    history_xyz, history_rot = (torch.as_tensor(scene[f"ego_history_{part}"]) for part in ("xyz", "rot"))
    return seen_from(torch.as_tensor(xyz), history_xyz[..., -1, :], history_rot[..., -1, :, :])


def read_scene(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz, or the lists of a .json as arrays."""
    try:
        if path.suffix == ".npz":
            with np.load(check_regular(path), allow_pickle=False) as arrays:
                scene = dict(arrays)
        else:
            content = load_json(path)
            scene = {name: np.asarray(value, dtype=np.float64) for name, value in content.items()}
    except (ConversionError, ValueError, AttributeError, TypeError, OSError, BadZipFile, EOFError, zlib.error) as error:
        raise ConversionError(f"{path} cannot be read as .npz or .json of arrays: {error}") from error
    missing = [name for name in ("ego_history_xyz", "ego_history_rot") if name not in scene]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}.")
    return scene


def read_cameras(paths: list[Path]) -> list[list[Image.Image]]:
    """Frames by camera: those of each subfolder, else every file is a camera with one frame."""
    cameras = sorted(path for path in paths[0].iterdir() if path.is_dir()) if paths[0].is_dir() else []
    if cameras:
        return [[open_image(path) for path in listed_files([camera])] for camera in cameras]
    return [[open_image(path)] for path in listed_files(paths)]
