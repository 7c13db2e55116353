"""`vlahub predict`: images and what belongs to them in, actions or trajectories out, as a table and as JSON.

The model's code is that of this package; code that lies in the checkpoint is not run.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from ..configuration.configuration_alpamayo_r1 import AlpamayoR1Config
from ..configuration.configuration_cogvla import CogVLAConfig
from ..configuration.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ..configuration.configuration_multimodal_vla import MultimodalVLAConfig
from ..configuration.vla_errors import ConversionError, InputError
from ..processing.image_reader import open_image
from .job import check_device
from .openvla_layout import read_json
from .source_folder import source_folder
from .trajectory_plot import figure_class_of_matplotlib, plot_trajectories
from .view_files import named_views

CONFIGS = (CogVLAConfig, MapAnythingLlava3DConfig, AlpamayoR1Config, MultimodalVLAConfig)
FAMILIES = tuple(config.model_type for config in CONFIGS)
NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
WAYPOINTS_SHOWN = 8
SAMPLING = ("num_traj_samples", "top_p", "top_k", "temperature", "max_new_tokens")


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="folder or Hub repository of a checkpoint")
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="files, or one folder, in order, or NAME=FILE for each view; "
        "a driving model reads a folder's subfolders as cameras, files as frames",
    )
    parser.add_argument("--output", type=Path, metavar="OUT.json", help="where to write the prediction")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    robot = parser.add_argument_group("robots")
    robot.add_argument("--instruction", metavar="TEXT", help="what to do")
    robot.add_argument("--state", type=float, nargs="+", metavar="X", help="of the robot; zeros by default")
    robot.add_argument("--unnorm-key", metavar="KEY", help="whose statistics to use, where there are several")
    car = parser.add_argument_group("driving (Alpamayo-R1)")
    car.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help=".json or .npz with ego_history_xyz and ego_history_rot; an .npz may hold images and ego_future_xyz, too",
    )
    car.add_argument("--num-traj-samples", type=int, metavar="N", help="trajectories to draw (default 6)")
    car.add_argument("--top-p", type=float, metavar="P", help="of the reasoning (default 0.98)")
    car.add_argument("--top-k", type=int, metavar="K", help="of the reasoning; 1 is greedy")
    car.add_argument("--temperature", type=float, metavar="T", help="of the reasoning (default 0.6)")
    car.add_argument("--max-new-tokens", type=int, metavar="N", help="of the reasoning")
    car.add_argument("--seed", type=int, default=0, metavar="N", help="of text and noise (default 0)")
    car.add_argument("--plot", type=Path, metavar="OUT.png", help="a picture of images, trajectories and reasoning")


def run_predict(arguments: argparse.Namespace) -> None:
    """The command.

    Raises:
        ConversionError: the checkpoint is of no family known here, or a scene cannot be read.
        InputError: images or history do not fit the model.
    """
    check_device(arguments.device)
    folder = source_folder(arguments.checkpoint)
    torch.manual_seed(arguments.seed)
    drives = model_type(folder) == AlpamayoR1Config.model_type
    (predict_trajectories if drives else predict_actions)(folder, arguments)


def write_result(result: dict[str, Any], path: Path | None) -> None:
    """As JSON, where a path was given."""
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def model_type(folder: Path) -> str:
    """Which family a checkpoint is of.

    Raises:
        ConversionError: of none, or not one that this package wrote.
    """
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
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    dtype = torch.float32 if device == "cpu" else "auto"
    model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False, dtype=dtype)
    return processor, model.to(device).eval()


def predict_actions(folder: Path, arguments: argparse.Namespace) -> None:
    """A chunk of actions in robot units, printed as a table."""
    if not arguments.images or arguments.instruction is None:
        raise InputError("this model needs --images FILE ... and --instruction TEXT.")
    images = named_views(arguments.images)
    if images is None:
        images = [open_image(path) for path in listed_files(arguments.images)]
    processor, model = loaded(folder, arguments.device)
    size = getattr(processor, "proprio_dim", None) or getattr(processor, "state_dim", None)
    state = arguments.state or ([0.0] * size if size else None)
    inputs = processor(images=images, text=arguments.instruction, state=state, unnorm_key=arguments.unnorm_key)
    actions = model.predict_action(**inputs.to(arguments.device), unnorm_key=arguments.unnorm_key)[0].tolist()
    names = NAMES if len(actions[0]) == len(NAMES) else [str(i) for i in range(len(actions[0]))]
    print_table(names, actions)
    write_result({"actions": actions}, arguments.output)


def predict_trajectories(folder: Path, arguments: argparse.Namespace) -> None:
    """Trajectories and reasoning of one scene; the first sample is printed."""
    if arguments.plot:
        figure_class_of_matplotlib()  # before anything is computed
    if arguments.history is None:
        raise InputError("this model needs --history FILE with ego_history_xyz and ego_history_rot.")
    scene = read_scene(arguments.history)
    images = read_cameras(arguments.images) if arguments.images else scene.get("images")
    if images is None:
        raise InputError(f"{arguments.history} holds no images: pass --images.")
    processor, model = loaded(folder, arguments.device)
    poses = {name: scene[name] for name in ("ego_history_xyz", "ego_history_rot")}
    given = {name: value for name in SAMPLING if (value := getattr(arguments, name)) is not None}
    output = model.sample_trajectories(**processor(images=images, **poses).to(arguments.device), **given)
    result = {
        "pred_xyz": output.pred_xyz[0, 0].tolist(),
        "reasoning": output.reasoning[0][0],
        "has_start_token": output.has_start_token[0, 0].tolist(),
    }
    for text, started in zip(result["reasoning"], result["has_start_token"], strict=True):
        print(f"reasoning: {text!r}" + ("" if started else " (ended without announcing a trajectory)"))
    print_table(NAMES[:3], result["pred_xyz"][0][:WAYPOINTS_SHOWN])
    write_result(result, arguments.output)
    if arguments.plot:
        future = scene.get("ego_future_xyz")
        plot_trajectories(
            arguments.plot, images, output.pred_xyz[0], result["reasoning"], poses["ego_history_xyz"], future
        )


def read_scene(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz, or the lists of a .json as arrays."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                scene = dict(arrays)
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
            scene = {name: np.asarray(value, dtype=np.float32) for name, value in content.items()}
    except (ValueError, AttributeError, TypeError, OSError) as error:
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
