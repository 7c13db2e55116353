"""Which key of a client's observation is what, as a small YAML says it.

    images:                      # view of the model: key of the client; or a list of keys in the order of training
      primary: observation/exterior_image_1_left
      wrist: observation/wrist_image_left
    state: [observation/joint_position, observation/gripper_position]   # one key, or several to be joined
    instruction: prompt

A key that is not there as it stands is looked for in nested mappings: `images/cam_high`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...configuration.view_names import short_name
from ...configuration.vla_errors import ConversionError, InputError
from ..files.settings_errors import one_line
from .served_policy import ServedPolicy

FIELDS = ("images", "state", "instruction")
INSTRUCTIONS = ("prompt", "instruction", "task")  # keys of published clients


@dataclass(frozen=True)
class ObservationMap:
    """Attributes:
    images: key by view, or keys in the order of training.
    state: keys whose values are joined; empty for a model without a state.
    instruction: its key; `None`: whichever of `INSTRUCTIONS` is there.
    """

    images: dict[str, str] | list[str]
    state: tuple[str, ...]
    instruction: str | None

    def observation(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`images`, `state` and `instruction` (or `None`) of what a client sent; other keys are left out.

        Raises:
            InputError: a key is missing, or which of several is the instruction is not known.
        """
        if isinstance(self.images, dict):
            images: Any = {view: value_at(given, key) for view, key in self.images.items()}
        else:
            images = [value_at(given, key) for key in self.images]
        parts = [value_at(given, key) for key in self.state]
        state = joined(parts) if parts else None
        return {"images": images, "state": state, "instruction": self.instruction_of(given)}

    def instruction_of(self, given: Mapping[str, Any]) -> Any:
        """What the client says, `None` where it says nothing: `--instruction` speaks for those alone.

        Raises:
            InputError: there are several, or another than the one that is named.
        """
        if self.instruction is not None:
            found = value_at(given, self.instruction, is_optional=True)
            if found is not None:
                return found
        others = [name for name in INSTRUCTIONS if name in given]
        if len(others) > (self.instruction is None):
            wanted = "one of them is needed" if self.instruction is None else f"its instruction is {self.instruction!r}"
            raise InputError(f"the observation holds {' and '.join(others)}; by --observation-map {wanted}.")
        return given[others[0]] if others else None

    def check(self, policy: ServedPolicy, name: str) -> None:
        """Raises ConversionError where it does not fit a policy, by the policy's name."""
        views = policy.view_names
        if isinstance(self.images, dict) and {short_name(view) for view in self.images} != set(views or ()):
            named = list(views) if views else "not recorded: give a list of keys in the order of training"
            raise ConversionError(f"--observation-map has the views {list(self.images)}; those of {name} are {named}.")
        if policy.num_views not in (None, len(self.images)):
            raise ConversionError(
                f"--observation-map has {len(self.images)} images; {name} sees {policy.num_views} views."
            )
        if bool(self.state) != bool(policy.state_dim):
            needs = f"needs a state of {policy.state_dim} values" if policy.state_dim else "takes no state"
            raise ConversionError(f"--observation-map has state={list(self.state)}, but {name} {needs}.")


def read_map(path: Path) -> ObservationMap:
    """Raises ConversionError for what is no such YAML; the message says what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConversionError(f"--observation-map {path} cannot be read as YAML: {one_line(error)}") from error
    if not isinstance(content, dict) or not set(content) <= set(FIELDS) or "images" not in content:
        found = list(content) if isinstance(content, dict) else content
        raise ConversionError(f"--observation-map {path} holds {found!r:.200}; its fields are {', '.join(FIELDS)}.")
    images, state = content["images"], content.get("state") or []
    state, instruction = [state] if isinstance(state, str) else state, content.get("instruction")
    keys = list(images.values()) if isinstance(images, dict) else images
    named = [instruction] if "instruction" in content else []
    for name, value in (("images", keys), ("state", state), ("instruction", named)):
        if not isinstance(value, list) or not all(isinstance(key, str) and key for key in value):
            raise ConversionError(f"--observation-map {path}: {name} must name keys of the client's observation.")
    if not keys or len(set(keys)) < len(keys):
        raise ConversionError(f"--observation-map {path}: images must name each key once, and at least one.")
    return ObservationMap(images, tuple(state), instruction)


def value_at(given: Mapping[str, Any], key: str, is_optional: bool = False) -> Any:
    """The value of a key, or of a path in nested mappings. Raises InputError where there is none and must be one."""
    if key in given:
        return given[key]
    value: Any = given
    for part in key.split("/"):
        if not isinstance(value, Mapping) or part not in value:
            if is_optional:
                return None
            raise InputError(f"the observation has no {key!r}; it holds {sorted(map(str, given))}.")
        value = value[part]
    return value


def joined(parts: list[Any]) -> np.ndarray:
    """One vector of several, each (n,) or a number. Raises InputError for parts that are no numbers."""
    try:
        return np.concatenate([np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in parts])
    except (TypeError, ValueError) as error:
        raise InputError(f"the parts of the state cannot be joined to one vector of numbers: {error}.") from error
