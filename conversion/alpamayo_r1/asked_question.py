"""A question about the images of a scene, and a driving model's answer: printed, and written to a file."""

import argparse
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import InputError
from ...training.waiting import waiting
from ..files.settings_errors import reading_settings
from ..predictions.checkpoint_loading import load_model, load_processor
from ..predictions.flow_options import FLOW
from .camera_names import by_camera, numbers_of
from .driving_prediction import camera_folders, read_arrays, seen_images

ARGUMENTS = {"max_new_tokens": "max_generation_length", "num_traj_samples": "num_samples"}  # of `generate_text`
USELESS = ("nav", "guidance_weight", "noise_temperature", "num_traj_sets", *FLOW)


def refuse_beside(arguments: argparse.Namespace, files: dict[str, Path]) -> None:
    """Raises InputError for an option that drives, and for what a question has no use for."""
    given = [name for name in USELESS if getattr(arguments, name) is not None]
    given += [name for name in ("plot",) if name in files]
    given += ["history"] if arguments.history and arguments.images else []
    given += ["history_frame"] if arguments.history_frame else []
    if given:
        raise InputError(f"--{given[0].replace('_', '-')} has no use beside --question, which stands alone.")


def answer(
    folder: Path,
    question: str,
    paths: list[Path] | None,
    scene_file: Path | None,
    camera_indices: list[int] | None,
    sampling: dict[str, Any],
    device: str = "cpu",
    fast: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """The answers, printed and as they are written: one, or `num_traj_samples` of `sampling`; arguments as in
    `predict_trajectories`.

    Raises:
        InputError: there are no images, or the question cannot be one.
        ConversionError: the scene cannot be read.
    """
    if not paths and scene_file is None:
        raise InputError("--question needs --images PATH ..., or --history FILE with images.")
    scene = {} if paths else read_arrays(scene_file)
    processor = load_processor(folder)
    cameras = camera_folders(paths, processor.view_names) if paths else None
    shown = by_camera(seen_images(scene, scene_file, cameras), scene)
    numbers = numbers_of(camera_indices, scene, cameras, processor.camera_labels)
    with reading_settings(folder):
        inputs = processor(images=shown, question=question, camera_indices=numbers)
    model = load_model(folder, device, fast=fast, quiet=quiet)  # last: it takes minutes
    drawn = {ARGUMENTS.get(name, name): value for name, value in sampling.items()}
    with waiting("answering"):
        output = model.generate_text(inputs.to(device), **drawn)
    texts, finished = list(output.answer[0]), output.finished[0].tolist()
    print(f"question: {question!r}")
    for text, is_whole in zip(texts, finished, strict=True):
        print(f"answer: {text!r}" + ("" if is_whole else " (not finished)"))
    return {"question": question, "answers": texts, "finished": finished}
