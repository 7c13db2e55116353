"""`vlahub predict`: images and what belongs to them in, actions or trajectories out, as a table and as JSON.

The model's code is that of this package; code that lies in the checkpoint is not run.
"""

import argparse
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import ConfigError, ConversionError, InputError
from ...modeling.alpamayo_r1.ego_frame import seen_from
from ...processing.image_reader import open_image
from ..alpamayo_r1.trajectory_plot import check_picture_format, is_plot, plot_trajectories
from ..files.json_file import check_regular, load_json, read_json
from ..files.json_output import json_text
from ..files.output_file import check_output_file, files_of, result_file
from ..files.output_guard import json_of
from ..files.tokenizer_files import check_tokenizer_files
from ..folders.folder_roles import check_ready
from ..job import check_device
from ..settings_errors import reading_settings
from ..source_folder import source_folder
from ..tensors.size_limits import check_layers_of
from ..tensors.tensor_source import open_checkpoint
from .predict_arguments import SAMPLING, refuse_unused
from .view_files import named_views

CONFIGS = (CogVLAConfig, MapAnythingLlava3DConfig, AlpamayoR1Config, MultimodalVLAConfig)
FAMILIES = tuple(config.model_type for config in CONFIGS)
NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
WAYPOINTS_SHOWN = 8
SETTINGS = ("generation_config.json", "preprocessor_config.json", "processor_config.json", "chat_template.json")
RESULTS = ({"actions"}, {"pred_xyz", "reasoning", "has_start_token"})


def run_predict(arguments: argparse.Namespace) -> None:
    """The command.

    Raises:
        ConversionError: the checkpoint is of no family known here, or a scene cannot be read.
        InputError: images, history or options do not fit the model, or an output may not be written.
    """
    check_device(arguments.device)
    given = [Path(arguments.checkpoint), *(arguments.images or ()), *filter(None, [arguments.history])]
    for output, is_ours in ((arguments.output, is_prediction), (arguments.plot, is_plot)):
        if output:  # before a download
            check_output_file(output, is_ours, files_of(given))
    folder = source_folder(arguments.checkpoint)
    found = model_type(folder)
    drives = found == AlpamayoR1Config.model_type
    refuse_unused(arguments, found, drives)
    if arguments.output and arguments.plot and arguments.output.resolve() == arguments.plot.resolve():
        raise InputError(f"--output and --plot both name {arguments.output}; they are two files.")
    inputs = files_of([folder, *given])
    with (
        optional_file(arguments.output, is_prediction, inputs) as output,
        optional_file(arguments.plot, is_plot, inputs) as plot,
    ):
        torch.manual_seed(arguments.seed)
        result = predict_trajectories(folder, arguments, plot) if drives else predict_actions(folder, arguments)
        if output:
            output.write_text(json_text(result, output.name, indent=1), encoding="utf-8")


def optional_file(
    path: Path | None, is_ours: Callable[[Path], bool], inputs: list[Path]
) -> AbstractContextManager[Path | None]:
    return nullcontext() if path is None else result_file(path, is_ours, inputs)


def is_prediction(path: Path) -> bool:
    """Whether a file holds what this command writes."""
    content = json_of(path)
    return content is not None and set(content) in RESULTS


def model_type(folder: Path) -> str:
    """Which family a checkpoint is of.

    Raises:
        ConversionError: of none, or not one that this package wrote.
    """
    check_ready(folder)
    config = read_json([folder], "config.json", required=True)
    found = config.get("model_type")
    if found not in FAMILIES or "auto_map" not in config:
        raise ConversionError(
            f"{folder} is no checkpoint that vlahub wrote (model_type {found!r}; known are {', '.join(FAMILIES)}): "
            "convert it first, with `vlahub convert` or `vlahub merge-lora`."
        )
    return found


def loaded(folder: Path, device: str) -> tuple[Any, Any]:
    """Processor and model, in the dtype of the weights on an accelerator and in float32 on a CPU."""
    check_folder(folder)
    try:
        with reading_settings(folder):
            processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
            dtype = torch.float32 if device == "cpu" else "auto"
            model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False, dtype=dtype)
    except ConfigError as error:  # which does not know where the setting was read
        raise ConfigError(f"{folder}: {error}") from error
    return processor, model.to(device).eval()


def check_folder(folder: Path) -> None:
    """What transformers would read without end, or take down the process with.

    Raises:
        ConversionError: a file is no regular file or no JSON, weights are missing or cut off, or sizes do not fit them.
    """
    for path in folder.iterdir():
        if not path.is_dir():
            check_regular(path)
        if path.name in SETTINGS:
            load_json(path)
    check_tokenizer_files(folder)
    if open_checkpoint(folder, folder.name) is None:
        raise ConversionError(f"{folder} holds no weights.")
    check_layers_of(folder, read_json([folder], "config.json", required=True))


def predict_actions(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A chunk of actions in robot units, printed as a table; returns what is written."""
    if not arguments.images or arguments.instruction is None:
        raise InputError("this model needs --images FILE ... and --instruction TEXT.")
    images = named_views(arguments.images)
    if images is None:
        images = [open_image(path) for path in listed_files(arguments.images)]
    processor, model = loaded(folder, arguments.device)
    size = getattr(processor, "proprio_dim", None) or getattr(processor, "state_dim", None)
    if arguments.state and not size:
        raise InputError("--state: this model was trained without a state; leave it out.")
    state = arguments.state or ([0.0] * size if size else None)
    with reading_settings(folder):
        inputs = processor(images=images, text=arguments.instruction, state=state, unnorm_key=arguments.unnorm_key)
    actions = model.predict_action(**inputs.to(arguments.device), unnorm_key=arguments.unnorm_key)[0].tolist()
    names = NAMES if len(actions[0]) == len(NAMES) else [str(i) for i in range(len(actions[0]))]
    print_table(names, actions)
    return {"actions": actions}


def predict_trajectories(folder: Path, arguments: argparse.Namespace, plot: Path | None) -> dict[str, Any]:
    """Trajectories and reasoning of one scene, the first sample printed; returns what is written.

    plot: where to draw the picture.
    """
    if plot:
        check_picture_format(arguments.plot)  # before anything is computed
    if arguments.history is None:
        raise InputError("this model needs --history FILE with ego_history_xyz and ego_history_rot.")
    scene = read_scene(arguments.history)
    images = read_cameras(arguments.images) if arguments.images else scene.get("images")
    if images is None:
        raise InputError(f"{arguments.history} holds no images: pass --images.")
    processor, model = loaded(folder, arguments.device)
    poses = {name: scene[name] for name in ("ego_history_xyz", "ego_history_rot")}
    given = {name: value for name in SAMPLING if (value := getattr(arguments, name)) is not None}
    frame = arguments.history_frame or "ego"
    with reading_settings(folder):
        inputs = processor(images=images, **poses, history_frame=frame)
    output = model.sample_trajectories(**inputs.to(arguments.device), **given)
    result = {
        "pred_xyz": output.pred_xyz[0, 0].tolist(),
        "reasoning": output.reasoning[0][0],
        "has_start_token": output.has_start_token[0, 0].tolist(),
    }
    for text, started in zip(result["reasoning"], result["has_start_token"], strict=True):
        print(f"reasoning: {text!r}" + ("" if started else " (ended without announcing a trajectory)"))
    print_table(NAMES[:3], result["pred_xyz"][0][:WAYPOINTS_SHOWN])
    if plot:
        history, future = inputs["ego_history_xyz"], future_of(scene, frame)
        plot_trajectories(plot, images, output.pred_xyz[0], result["reasoning"], history, future)
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


def listed_files(paths: list[Path]) -> list[Path]:
    """Files as given; of a folder its images by name."""
    if len(paths) > 1 or not paths[0].is_dir():
        return paths
    found = sorted(path for path in paths[0].iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{paths[0]} holds no images ({', '.join(SUFFIXES)}).")
    return found


def print_table(names: Any, rows: list[list[float]]) -> None:
    print("step " + " ".join(f"{name:>9}" for name in names))
    for step, row in enumerate(rows):
        print(f"{step:>4} " + " ".join(f"{value:9.4f}" for value in row))
