"""A robot's checkpoint as it is served: one observation is checked and prepared, several are predicted together."""

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from ...configuration.vla_errors import ConversionError, InputError
from ...modeling.action_normalization import find_statistics
from ...modeling.embodiments import check_embodiments
from ...processing.prompts import padded
from ...processing.state_range import recorded_range
from ...training.evaluation import seeded
from ..predictions.checkpoint_loading import load_config, load_model, load_processor

OBSERVATION = ("images", "instruction", "state", "unnorm_key", "advantage", "embodiment_id", "seed")
PROMPT = ("input_ids", "attention_mask")
MAX_INSTRUCTION = 10_000  # characters
MAX_SEED = 2**63
BLANK_SIZE = 224


@dataclass(frozen=True)
class Prepared:
    """An observation that can be predicted.

    Attributes:
        inputs: what the processor made of it, a batch of one, on the CPU.
        unnorm_key: whose statistics.
        seed: of the noise, for heads that draw; `None`: whatever comes next.
        group: requests of an equal one may be predicted together.
        task: what else than images and state its actions are for.
        far: dimensions of the state that lie far outside of the statistics.
    """

    inputs: BatchFeature
    unnorm_key: str | None
    seed: int | None
    group: Hashable
    task: Hashable
    far: tuple[int, ...] = ()


class RobotPolicy:
    """Observations in robot units to chunks of actions in robot units.

    `prepared` may be called by any thread, `predicted` by one.
    """

    has_actions = True

    def __init__(self, folder: Path, processor: Any, config: Any):
        self.folder, self.processor, self.config = folder, processor, config
        self.view_names, self.state_dim = processor.view_names, processor.state_dim
        self.num_views, self.num_action_chunks = processor.image_processor.num_images_in_input, config.num_action_chunks
        self.reading = threading.Lock()  # tokenizers are not for two threads at once

    def load(self, device: str, fast: str | None = None, quiet: bool = False) -> None:
        """Read the weights; fast, quiet: see `load_model`."""
        self.merges  # noqa: B018  # tried here, and not by the first client's request
        self.model = load_model(self.folder, device, fast=fast, quiet=quiet)
        self.device, self.is_fast = torch.device(device), self.model.fast_prediction is not None

    def facts(self) -> dict[str, Any]:
        """What a client may want to know; JSON."""
        config = self.config
        return {
            "model_type": config.model_type,
            "answers": config.predicts,
            "view_names": self.view_names,
            "num_images_in_input": self.num_views,
            "state_dim": self.state_dim,
            "action_dim": config.action_dim,
            "num_action_chunks": config.num_action_chunks,
            "unnorm_keys": sorted(config.norm_stats),
            "action_names": {key: found["action"].get("names") for key, found in sorted(config.norm_stats.items())},
            "num_embodiments": config.num_embodiments,
        }

    def check_unnorm_key(self, unnorm_key: str | None) -> None:
        """Raises InputError for a default that is unknown."""
        if unnorm_key is not None:
            find_statistics(self.config.norm_stats, unnorm_key)

    def prepared(self, observation: Mapping[str, Any]) -> Prepared:
        """Check an observation and bring it to the model's form.

        Args:
            observation: `images` (a list in the order of training, or a dict by the names of views, of uint8 arrays
                (height, width, 3) or PIL images), `instruction`, `state` (state_dim,) in robot units, and, where
                wanted, `unnorm_key`, `advantage`, `embodiment_id`, and `seed` of a head that draws.

        Raises:
            InputError: something is missing, unknown, or has the wrong form; the message names it.
        """
        known = {name: value for name, value in observation.items() if value is not None}
        if unknown := sorted(set(known) - set(OBSERVATION)):
            raise InputError(f"the observation holds {', '.join(unknown)}; known are {', '.join(OBSERVATION)}.")
        if "images" not in known:
            raise InputError("images are missing: give an image for each view.")
        instruction = checked_instruction(known.get("instruction"))
        unnorm_key = known.get("unnorm_key")
        find_statistics(self.config.norm_stats, unnorm_key)
        seed = checked_seed(known.get("seed"))
        if "embodiment_id" in known and self.config.num_embodiments == 1:
            raise InputError("embodiment_id: this model has one embodiment; leave it out.")
        check_state(known.get("state"))
        if not isinstance(known.get("advantage", ""), str):
            raise InputError(f"advantage is {known['advantage']!r:.80}; a word is needed, as in the training data.")
        inputs = self.read(known)
        check_embodiments(self.config.num_embodiments, inputs.get("embodiment_id"), batch_size=1)
        group = None if seed is not None or not self.merges else (unnorm_key, *forms_of(inputs))
        task = instruction, unnorm_key, *(str(known.get(name)) for name in ("advantage", "embodiment_id"))
        far = tuple(value.dimension for value in self.processor.far_values(known.get("state"), unnorm_key))
        return Prepared(inputs, unnorm_key, seed, group, task, far)

    def read(self, observation: Mapping[str, Any]) -> BatchFeature:
        """What the processor makes of an observation, or of several whose fields are lists."""
        given = {("text" if name == "instruction" else name): value for name, value in observation.items()}
        given.pop("seed", None)
        with self.reading:
            return self.processor(**{name: value for name, value in given.items() if value is not None})

    @cached_property
    def merges(self) -> bool:
        """Whether `merged` gives what the processor makes of several observations, tried for two that show nothing.

        A processor may lay the images of a batch out otherwise than one behind the other; then each request is
        predicted by itself.
        """
        for texts in (["wait", "wait"], ["wait", "wait for it"]):
            two = [self.blank() | {"instruction": text} for text in texts]
            parts = [self.read(each) for each in two]
            if forms_of(parts[0]) == forms_of(parts[1]) and not is_same(self.merged(parts), self.read(as_lists(two))):
                return False
        return True

    def predicted(self, requests: Sequence[Prepared]) -> list[np.ndarray]:
        """The chunk of each, (num_action_chunks, action_dim) float32 in robot units, as `predict_action` gives it.

        requests: of one group.

        Raises:
            InputError, NonFiniteError: as `predict_action`.
        """
        first = requests[0]
        inputs = first.inputs if len(requests) == 1 else self.merged([each.inputs for each in requests])
        with seeded(first.seed, self.device):
            actions = self.model.predict_action(**on_device(inputs, self.device), unnorm_key=first.unnorm_key)
        return list(actions.float().cpu().numpy())

    def merged(self, inputs: Sequence[BatchFeature]) -> BatchFeature:
        """Batches of one as one batch, as the processor makes it of all observations; shorter prompts are padded."""
        rows = [each["input_ids"][0].tolist() for each in inputs]
        prompts = padded(rows, self.processor.tokenizer, self.processor.padding_side)
        names = [name for name in inputs[0] if name not in PROMPT]
        rest = {name: torch.cat([each[name] for each in inputs]) for name in names}
        return BatchFeature({name: torch.from_numpy(value) for name, value in prompts.items()} | rest)

    def blank(self) -> dict[str, Any]:
        """An observation that shows nothing, for the first prediction before clients come."""
        views = self.num_views or len(self.view_names or [None])
        image = np.full((BLANK_SIZE, BLANK_SIZE, 3), 127, dtype=np.uint8)
        found: dict[str, Any] = {"images": [image] * views, "instruction": "wait"}
        found["unnorm_key"] = next(iter(sorted(self.config.norm_stats)), None)
        found["state"] = self.usual_state(found["unnorm_key"]) if self.state_dim else None
        found["embodiment_id"] = 0 if self.config.num_embodiments > 1 else None
        return found

    def usual_state(self, unnorm_key: str | None) -> list[float]:
        """The middle of what was recorded, (state_dim,)."""
        return np.mean(recorded_range(self.processor.state_statistics(unnorm_key)), axis=0).tolist()


def robot_policy_of(folder: Path) -> RobotPolicy:
    """The policy of a checkpoint, without its weights.

    Raises:
        ConversionError: it predicts no actions, has no statistics, or see `load_processor`.
    """
    processor, config = load_processor(folder), load_config(folder)
    if config.predicts != "actions":
        raise ConversionError(f"{folder} has no action expert: it predicts {config.predicts}, and moves no robot.")
    if not config.norm_stats:
        raise ConversionError(f"{folder} has no statistics, so that it knows no robot units: see `vlahub stats`.")
    return RobotPolicy(folder, processor, config)


def checked_instruction(text: Any) -> str:
    """Raises InputError for what is no text, says nothing, or does not end."""
    if not isinstance(text, str) or not text.strip():
        shown = "missing" if text is None else f"{text!r}"[:80]
        raise InputError(f"the instruction is {shown}; say what to do, as in the training data.")
    if len(text) > MAX_INSTRUCTION:
        raise InputError(f"the instruction has {len(text)} characters; at most {MAX_INSTRUCTION} are read.")
    return text


def check_state(state: Any) -> None:
    """Raises InputError for what holds no numbers: truth values and texts are none."""
    try:
        kind = np.asarray([0.0] if state is None else state).dtype
    except ValueError:
        kind = np.dtype(object)
    if kind.kind not in "iuf":
        raise InputError(f"state must be numbers, (state_dim,): it holds {kind}.")


def checked_seed(seed: Any) -> int | None:
    """Raises InputError for what is no seed."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < MAX_SEED:
        raise InputError(f"seed is {seed!r}; a whole number from 0 on is needed.")
    return int(seed)


def forms_of(inputs: BatchFeature) -> tuple[Hashable, ...]:
    """What must be equal for inputs to be merged: names, and shapes without the batch, but for prompts' lengths."""
    return tuple((name, value.dtype, value.shape[1:]) for name, value in inputs.items() if name not in PROMPT)


def as_lists(observations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Observations as one whose fields are lists; statistics are one word for all."""
    one = observations[0]
    listed = [name for name, value in one.items() if name != "unnorm_key" and value is not None]
    return {"unnorm_key": one["unnorm_key"]} | {name: [each[name] for each in observations] for name in listed}


def is_same(inputs: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> bool:
    return set(inputs) == set(others) and all(torch.equal(inputs[name], others[name]) for name in others)


def on_device(inputs: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: value.to(device) for name, value in inputs.items()}
