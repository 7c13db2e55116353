"""Alpamayo-R1 as it is served: cameras and the path just driven in, trajectories with their reasoning out."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from ...configuration.vla_errors import InputError
from ...training.evaluation import seeded
from ..predictions.checkpoint_loading import load_model, load_processor
from .options import SAMPLING

PATH = ("ego_history_xyz", "ego_history_rot")
ASKED = (*SAMPLING, "guidance_weight", "noise_temperature")
TEXTS = ("history_frame", "text", "advantage", "nav_text")
OBSERVATION = ("images", *PATH, *TEXTS, "camera_indices", "seed", *ASKED)
COUNTS = ("num_traj_samples", "max_new_tokens", "top_k")
MOST = {"num_traj_samples": 64, "max_new_tokens": 1024, "temperature": 100}  # that one request may ask for
MAX_TEXT = 10_000  # characters
MAX_SEED, FAR = 2**63, 1e9
BLANK_SIZE = (320, 576)
WARM_UP_TOKENS = 4


@dataclass(frozen=True)
class PreparedScene:
    """A scene that can be predicted, by itself: `group` is `None`, and there are neither chunks of a `task`
    nor a state that could be `far` outside.

    Attributes:
        inputs: what the processor made of it.
        sampling: arguments of `sample_trajectories`.
        seed: of text and noise; `None`: whatever comes next.
    """

    inputs: BatchFeature
    sampling: dict[str, Any]
    seed: int | None
    group: None = None
    task: None = None
    far: tuple[int, ...] = ()


class DrivingPolicy:
    """A driving model behind `POST /act`; see `ServedPolicy`."""

    has_actions = False
    num_views = state_dim = num_action_chunks = None

    def __init__(self, folder: Path, processor: Any):
        self.folder, self.processor, self.view_names = folder, processor, processor.view_names
        self.reading = threading.Lock()  # tokenizers are not for two threads at once

    def load(self, device: str, fast: str | None = None, quiet: bool = False) -> None:
        """Read the weights; fast, quiet: see `load_model`."""
        self.model = load_model(self.folder, device, fast=fast, quiet=quiet)
        self.device, self.is_fast = torch.device(device), self.model.fast_prediction is not None

    def facts(self) -> dict[str, Any]:
        """What a client may want to know; JSON."""
        config = self.model.config
        return {
            "model_type": config.model_type,
            "answers": config.predicts,
            "view_names": self.view_names,
            "num_history_poses": self.num_poses,
            "num_waypoints": config.num_action_chunks,
        }

    @property
    def num_poses(self) -> int:
        """Of a driven path."""
        return self.processor.num_history_tokens // self.processor.history_values.tokens_per_pose

    def check_unnorm_key(self, unnorm_key: str | None) -> None:
        """Raises InputError for any: trajectories are in metres."""
        if unnorm_key is not None:
            raise InputError("--unnorm-key: this model drives, and has no statistics; leave it out.")

    def prepared(self, observation: Mapping[str, Any]) -> PreparedScene:
        """Check a scene and bring it to the model's form.

        Args:
            observation: `images` (a list of cameras, or a dict by their names, each an image or a list of frames, the
                oldest first), `ego_history_xyz` (steps, 3) metres, `ego_history_rot` (steps, 3, 3), and, where wanted,
                `history_frame`, `text`, `advantage`, `nav_text`, `camera_indices`, `seed` and the arguments of
                `sample_trajectories`.

        Raises:
            InputError: something is missing, unknown, or has the wrong form; the message names it.
        """
        known = {name: value for name, value in observation.items() if value is not None}
        if unknown := sorted(set(known) - set(OBSERVATION)):
            raise InputError(f"the scene holds {', '.join(unknown)}; known are {', '.join(OBSERVATION)}.")
        if missing := [name for name in ("images", *PATH) if name not in known]:
            raise InputError(f"the scene lacks {', '.join(missing)}.")
        sampling = checked_sampling({name: known.pop(name) for name in ASKED if name in known})
        seed = known.pop("seed", None)
        if seed is not None and not (is_whole(seed) and 0 <= seed < MAX_SEED):
            raise InputError(f"seed is {seed!r}; a whole number from 0 on is needed.")
        check_path(known[PATH[0]], self.num_poses)
        for name in known.keys() & set(TEXTS):
            check_text(name, known[name])
        with self.reading:
            inputs = self.processor(**known)
        return PreparedScene(inputs, sampling, seed)

    def predicted(self, requests: Sequence[PreparedScene]) -> list[dict[str, Any]]:
        """Of each scene: `pred_xyz` (samples, waypoints, 3) metres in the frame of the last pose, `pred_rot` (samples,
        waypoints, 3, 3), and of each sample its `reasoning` and whether it announced a trajectory (`has_start_token`).

        Raises:
            InputError, NonFiniteError: as `sample_trajectories`.
        """
        return [self.trajectories(request) for request in requests]

    def trajectories(self, request: PreparedScene) -> dict[str, Any]:
        inputs = {name: value.to(self.device) for name, value in request.inputs.items()}
        with seeded(request.seed, self.device):
            output = self.model.sample_trajectories(**inputs, **request.sampling)
        paths = {name: getattr(output, name)[0, 0].float().cpu().numpy() for name in ("pred_xyz", "pred_rot")}
        return {
            **paths,
            "reasoning": list(output.reasoning[0][0]),
            "has_start_token": output.has_start_token[0, 0].tolist(),
        }

    def blank(self) -> dict[str, Any]:
        """A scene that shows nothing, for the first prediction before clients come."""
        image = np.full((*BLANK_SIZE, 3), 127, dtype=np.uint8)
        steps, cameras = self.num_poses, len(self.view_names or [None])
        return {
            "images": [[image]] * cameras,
            "camera_indices": list(range(cameras)) if self.processor.camera_labels else None,
            "ego_history_xyz": np.stack([np.linspace(-steps / 10, 0, steps), *np.zeros((2, steps))], axis=-1),
            "ego_history_rot": np.tile(np.eye(3), (steps, 1, 1)),
            "max_new_tokens": WARM_UP_TOKENS,
        }


def driving_policy_of(folder: Path) -> DrivingPolicy:
    """The policy of a checkpoint, without its weights. Raises ConversionError, see `load_processor`."""
    return DrivingPolicy(folder, load_processor(folder))


def check_path(xyz: Any, steps: int) -> None:
    """Raises InputError for what is not the path of one scene, of as many poses as the model reads."""
    try:
        found = np.shape(xyz)
    except ValueError:
        found = "none"
    if found != (steps, 3):
        raise InputError(f"ego_history_xyz has shape {found}; ({steps}, 3) is needed: poses of one scene, in metres.")


def check_text(name: str, text: Any) -> None:
    """Raises InputError for what is no text, says nothing, or does not end."""
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise InputError(f"{name} is {text!r:.80}; a text of 1 to {MAX_TEXT} characters is needed.")


def checked_sampling(given: dict[str, Any]) -> dict[str, Any]:
    """Raises InputError for what is no number, and for more than one request may ask for."""
    for name, value in given.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < FAR
        if not is_number or (name in COUNTS and not is_whole(value)):
            raise InputError(f"{name} is {value!r:.80}; a {'whole ' * (name in COUNTS)}number is needed.")
        if name in MOST and not 0 < value <= MOST[name]:
            raise InputError(f"{name} is {value}; above 0 and at most {MOST[name]} may be asked for.")
    return given


def is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
