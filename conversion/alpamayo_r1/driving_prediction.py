"""The trajectories that a driving model predicts for one scene: read, printed, drawn, and what is written to a file."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image

from ...configuration.vla_errors import ConversionError, InputError
from ...modeling.alpamayo_r1.ego_frame import seen_from
from ...modeling.alpamayo_r1.trajectory_metrics import minADE, minFDE
from ...processing.image_reader import open_image
from ...training.alpamayo_r1.time_step import check_time_step
from ...training.waiting import waiting
from ..bases_of_adapters import own_name
from ..files.given_paths import meant_file, meant_folder
from ..files.json_file import check_regular, load_json
from ..files.settings_errors import reading_settings
from ..files.view_files import frames_of, images_in, listed_files
from ..predictions.checkpoint_loading import load_config, load_model, load_processor
from ..predictions.flow_options import flow_options
from ..predictions.robot_prediction import print_table
from .camera_names import by_camera, given_names, in_trained_order, numbers_of, trained_names
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
    fast: str | None = None,
    name: str | None = None,
    quiet: bool = False,
    flow: Mapping[str, Any] | None = None,
    nav: str | None = None,
    camera_indices: list[int] | None = None,
) -> dict[str, Any]:
    """Trajectories and reasoning of one scene, the first sample printed; returns what is written.

    Where the scene holds `ego_future_xyz`, minADE and minFDE are printed and written, too; where it holds
    `camera_indices`, the cameras of the picture have their names.

    Args:
        paths: of the views; `None`: the scene holds them.
        history: .json or .npz with the path just driven, see `read_scene`.
        frame: of the history, see the processor.
        sampling: arguments of `sample_trajectories`.
        plot: where to draw the picture; fast: see `load_model`.
        name: of the checkpoint in the picture's title; the folder's by default.
        quiet: no notes.
        flow: see `flow_options`.
        nav: where to drive.
        camera_indices: the number of each camera; by default as the scene tells them.

    Raises:
        InputError: history or images are missing, the future is no path, or not each camera has a number.
        ConversionError: the history cannot be read.
        ConfigError: see `check_time_step`.
    """
    if history is None:
        raise InputError("this model needs --history FILE with ego_history_xyz and ego_history_rot.")
    scene, config = read_scene(history), load_config(folder)
    check_time_step(config)
    processor = load_processor(folder)
    folders = camera_folders(paths, processor.view_names) if paths else None
    images = seen_images(scene, history, folders)
    driven = future_of(scene, frame)
    told = {} if paths else scene
    shown = by_camera(images, told)
    names = given_names(scene, folders, len(shown)) if plot else None
    options = (sampling or {}) | (flow_options(config, flow) if flow else {})
    numbers = numbers_of(camera_indices, told, folders, processor.camera_labels)
    poses = {name: scene[name] for name in ("ego_history_xyz", "ego_history_rot")}
    with reading_settings(folder):
        inputs = processor(shown, **poses, history_frame=frame, nav_text=nav, camera_indices=numbers)
    model = load_model(folder, device, fast=fast, quiet=quiet)  # last: it takes minutes
    with waiting("predicting"):
        output = model.sample_trajectories(**inputs.to(device), **options)
    result = printed(output)
    if driven is not None:
        result |= compared(output.pred_xyz[:1].cpu(), driven)
    if plot:
        plot_trajectories(
            plot,
            shown,
            output.pred_xyz[0],
            output.reasoning[0],
            inputs["ego_history_xyz"],
            driven,
            names or trained_names(processor.view_names, len(shown)),
            output.has_start_token[0],
            title=f"Trajectories that {name or own_name(folder)} predicts for {history.name}",
        )
    return result


def seen_images(scene: dict[str, np.ndarray], history: Path, cameras: list[Path] | None) -> Any:
    """Those of `cameras`, else the scene's own. Raises InputError where there are none."""
    images = read_cameras(cameras) if cameras else scene.get("images", scene.get("image_frames"))
    if images is None:
        raise InputError(f"{history} holds no images: pass --images.")
    return images


def printed(output: Any) -> dict[str, Any]:
    """Print all texts and the first trajectory; returns what is written of one scene: the first set, and where there
    are several all of them as `sets`, too."""
    rows = zip(output.pred_xyz[0].tolist(), output.reasoning[0], output.has_start_token[0].tolist(), strict=True)
    sets = [dict(zip(("pred_xyz", "reasoning", "has_start_token"), row, strict=True)) for row in rows]
    for number, one in enumerate(sets, 1):
        name = "reasoning" if len(sets) == 1 else f"reasoning (set {number})"
        for text, started in zip(one["reasoning"], one["has_start_token"], strict=True):
            print(f"{name}: {text!r}" + ("" if started else " (ended without announcing a trajectory)"))
    print_table("xyz", sets[0]["pred_xyz"][0][:WAYPOINTS_SHOWN])
    return sets[0] | ({"sets": sets} if len(sets) > 1 else {})


def future_of(scene: dict[str, np.ndarray], frame: str) -> torch.Tensor | None:
    """The path that was driven, (steps, 3) metres, where the scene has it, seen from the last pose as trajectories are.

    Raises:
        InputError: it is no path of finite numbers.
    """
    found = scene.get("ego_future_xyz")
    if found is None:
        return None
    xyz = torch.as_tensor(found, dtype=torch.float64)
    if xyz.dim() < 2 or xyz.shape[-2:].numel() != xyz.numel() or xyz.shape[-1] != 3 or not xyz.isfinite().all():
        raise InputError(
            f"ego_future_xyz has shape {tuple(xyz.shape)} or numbers that are not finite; (steps, 3) metres are needed."
        )
    if frame != "ego":
        history = (torch.as_tensor(scene[f"ego_history_{part}"], dtype=torch.float64) for part in ("xyz", "rot"))
        places, axes = (poses.reshape(-1, *shape) for poses, shape in zip(history, ((3,), (3, 3)), strict=True))
        xyz = seen_from(xyz, places[-1], axes[-1])
    return xyz.reshape(-1, 3).float()


def compared(pred_xyz: torch.Tensor, driven: torch.Tensor) -> dict[str, float]:
    """Print minADE and minFDE, as far as both paths go.

    pred_xyz: (1, sets, samples, waypoints, 3); driven: (steps, 3); metres.
    """
    steps = min(pred_xyz.shape[3], len(driven))
    paths = pred_xyz[..., :steps, :], driven[None, :steps]
    figures = {"minADE": minADE(*paths).item(), "minFDE": minFDE(*paths).item()}
    mean = f", mean of {pred_xyz.shape[1]} sets" if pred_xyz.shape[1] > 1 else ""
    best = f"best of {pred_xyz.shape[2]} samples over {steps / 10:.1f} s{mean}"
    print(f"minADE: {figures['minADE']:.3f} m, minFDE: {figures['minFDE']:.3f} m ({best})")
    return figures


def read_scene(path: Path) -> dict[str, np.ndarray]:
    """`read_arrays`, with the path just driven among them. Raises InputError where it is not."""
    scene = read_arrays(path)
    missing = [name for name in ("ego_history_xyz", "ego_history_rot") if name not in scene]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: of the path just driven positions (steps, 3) in metres and rotations "
            f"(steps, 3, 3) are needed; it holds {', '.join(scene) or 'nothing'}."
        )
    return scene


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz, or the lists of a .json as arrays."""
    try:
        if path.suffix == ".npz":
            with np.load(check_regular(path), allow_pickle=False) as arrays:
                return dict(arrays)
        content = load_json(path)
        return {name: np.asarray(value, dtype=np.float64) for name, value in content.items()}
    except FileNotFoundError as error:
        raise InputError(f"--history {path}: there is no such file{meant_file(path)}.") from error
    except (ConversionError, ValueError, AttributeError, TypeError, OSError, BadZipFile, EOFError, zlib.error) as error:
        raise ConversionError(f"{path} cannot be read as .npz or .json of arrays: {error}") from error


def read_cameras(cameras: list[Path]) -> list[list[Image.Image]]:
    """Frames by camera, the oldest first: those of a folder, or a file, which is a camera with one frame.

    Raises InputError where a file is no image, or a folder holds none.
    """
    return [[open_image(file) for file in frames_of(camera)] for camera in cameras]


def check_cameras(paths: list[Path]) -> None:
    """Refuse what would be read as something else than it looks like."""
    if named := [path for path in paths if "=" in str(path) and not path.exists()]:
        raise InputError(
            f"--images {named[0]}: a driving model names no views; give files, or one folder with a folder of frames "
            "for each camera, which its name tells."
        )
    if missing := [path for path in paths if not path.exists()]:
        meant = meant_folder(missing[0]) or meant_file(missing[0])
        raise InputError(f"--images {missing[0]}: there is no such file or folder{meant}.")
    folders = [path for path in paths if path.is_dir()]
    if len({path.resolve() for path in folders}) < len(folders):
        raise InputError(f"--images {' '.join(map(str, paths))}: a folder is there twice; give each camera once.")
    if above := [path for path in folders if len(paths) > 1 and any(inner.is_dir() for inner in path.iterdir())]:
        raise InputError(f"--images {above[0]} is a folder of folders; give it alone, or name the folders in it.")


def camera_folders(paths: list[Path], view_names: Sequence[str] | None = None) -> list[Path]:
    """Several folders or files as given, each a camera; of one folder what is in it, in the order of training.

    These are its subfolders, or else its files, which are cameras with one frame; see `in_trained_order`.

    Raises:
        InputError: cameras have names that only a robot's views have, one is given twice, there are none, or images
            lie beside subfolders.
    """
    check_cameras(paths)
    if len(paths) > 1 or not paths[0].is_dir():
        return paths
    folders = [path for path in paths[0].iterdir() if path.is_dir()]
    if folders and (files := images_in(paths[0])):
        raise InputError(
            f"--images {paths[0]} holds folders, each a camera's, and beside them {files[0].name}, which is of none: "
            "put it into a folder of its own, or elsewhere."
        )
    return in_trained_order(folders or listed_files(paths), view_names)
