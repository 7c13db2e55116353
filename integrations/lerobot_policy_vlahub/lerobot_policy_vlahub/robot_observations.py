"""LeRobot's batches as the examples of vlahub: uint8 images, states in robot units, instructions.

Nothing of LeRobot is imported here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vlahub.errors import InputError


def uint8_images(name: str, images: torch.Tensor) -> list[np.ndarray]:
    """The images (height, width, 3) that the camera gave.

    Args:
        images: (batch, 3, height, width), floats in 0..1 (an eight-bit value divided by 255, as LeRobot does it, comes
            back exactly), or uint8.

    Raises:
        InputError: another shape, or other values, such as those of images that were normalised; the message says
            `name`.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"{name} has the shape {tuple(images.shape)}; (batch, 3, height, width) is needed.")
    images = images.detach().cpu()
    if images.dtype != torch.uint8:
        if not images.is_floating_point():
            raise InputError(f"{name} holds {images.dtype}; floats in 0..1 are needed, or uint8.")
        least, greatest = float(images.min()), float(images.max())
        if not (least >= 0 and greatest <= 1):
            raise InputError(
                f"{name} has values of {least:g} to {greatest:g}; 0 to 1 is needed: does another step normalise images?"
            )
        images = images.float().mul(255).round().to(torch.uint8)
    return list(images.permute(0, 2, 3, 1).contiguous().numpy())


def samples_of(batch: Mapping[str, Any], keys: Sequence[str]) -> list[list[np.ndarray]]:
    """The views of each sample, in the order of `keys`.

    Raises:
        InputError: an image is missing, or see `uint8_images`.
    """
    if missing := [key for key in keys if key not in batch]:
        raise InputError(f"the observation has no {', '.join(missing)}; it holds {', '.join(sorted(batch))}.")
    views = [uint8_images(key, batch[key]) for key in keys]
    return [list(sample) for sample in zip(*views, strict=True)]


def state_of(batch: Mapping[str, Any], key: str, state_dim: int | None) -> torch.Tensor | None:
    """(batch, state_dim) in robot units, on the CPU; `None` for a model without a state.

    Raises:
        InputError: it is missing, or has another shape.
    """
    if state_dim is None:
        return None
    if key not in batch:
        raise InputError(f"the observation has no {key}; this checkpoint needs the robot's {state_dim} state values.")
    state = batch[key]
    if state.ndim != 2 or state.shape[1] != state_dim:
        raise InputError(f"{key} has the shape {tuple(state.shape)}; this checkpoint needs (batch, {state_dim}).")
    return state.detach().cpu()


def instructions_of(batch: Mapping[str, Any], count: int, instruction: str | None) -> list[str]:
    """What to do, of each sample.

    Args:
        instruction: in place of the batch's `task`.

    Raises:
        InputError: there is none.
    """
    if instruction is not None:
        return [instruction] * count
    tasks = batch.get("task")
    tasks = [tasks] * count if isinstance(tasks, str) else list(tasks or [])
    if len(tasks) != count or not all(isinstance(task, str) and task.strip() for task in tasks):
        raise InputError(
            f"the tasks of {count} observations are {tasks!r:.200}: this checkpoint is told what to do; "
            "--policy.instruction says it where the environment or dataset does not."
        )
    return tasks
