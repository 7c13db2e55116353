"""The observations of published clients, with their own keys, as the one form that a policy takes.

Keys of OpenVLA: `image`, `instruction`, `unnorm_key` (vla-scripts/deploy.py); of OpenVLA-OFT: `full_image`, keys with
"wrist", `state`, `instruction` (experiments/robot/openvla_utils.py); of openpi: `observation/image`,
`observation/wrist_image`, `observation/state`, `prompt` (LIBERO), `observation/joint_position` and
`observation/gripper_position` (DROID), `images/...` and `state` (ALOHA).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError
from .limits import ReadImage
from .observation_map import INSTRUCTIONS, ObservationMap, joined
from .observed_views import views_of
from .served_policy import ServedPolicy

CHOICES = ("unnorm_key", "advantage", "embodiment_id", "seed")  # that any client may add
PREFIXES = ("observation.images.", "observation/images/", "observation/", "observation.", "images/")
STATES = ("state", "observation/state", "observation.state")
DROID_STATE = ("observation/joint_position", "observation/gripper_position")
MAIN = {"image": "OpenVLA", "full_image": "OpenVLA-OFT"}


def mapped(given: Mapping[str, Any], by: ObservationMap, read: ReadImage) -> dict[str, Any]:
    """As `--observation-map` says."""
    found = by.observation(given)
    return {**chosen(given), **found, "images": read_images(found["images"], read)}


def observation_of_openvla(given: Mapping[str, Any], policy: ServedPolicy, read: ReadImage) -> dict[str, Any]:
    """Of OpenVLA and OpenVLA-OFT. A model without a state does without, as the published server.

    Raises:
        InputError: a field is unknown, or which image is which view is not known.
    """
    images = {name: image for name, image in given.items() if name in MAIN or "wrist" in name}
    if set(MAIN) <= set(images):
        raise InputError("the request holds image and full_image; give one of them.")
    known = {*images, *CHOICES, "state", "instruction"}
    if unknown := sorted(set(given) - known):
        raise InputError(f"the request holds {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
    views = views_of(read_images(images, read), policy.view_names, is_ordered=True)
    state = given.get("state") if policy.state_dim else None
    return {**chosen(given), "images": views, "state": state, "instruction": given.get("instruction")}


def observation_of_openpi(given: Mapping[str, Any], policy: ServedPolicy, read: ReadImage) -> dict[str, Any]:
    """Of openpi's clients, by the usual keys; other keys need `--observation-map`.

    Raises:
        InputError: a key is unknown, or which image is which view is not known.
    """
    rest = {str(name): value for name, value in given.items()}
    images = {f"images/{name}": image for name, image in as_mapping(rest.pop("images", None)).items()}
    choices = {name: rest.pop(name) for name in CHOICES if name in rest}
    texts = [rest.pop(name) for name in INSTRUCTIONS if name in rest]
    states = [rest.pop(name) for name in STATES if name in rest]
    if all(name in rest for name in DROID_STATE):
        states.append(joined([rest.pop(name) for name in DROID_STATE]))
    if len(texts) > 1 or len(states) > 1:
        raise InputError(f"the observation holds {sorted(map(str, given))}: more than one instruction or state.")
    images |= {name: rest.pop(name) for name in list(rest) if "image" in name.lower() and name.startswith(PREFIXES)}
    if rest:
        raise InputError(f"the observation holds {sorted(rest)}, unknown here: --observation-map says what is what.")
    named = {without_prefix(name): image for name, image in images.items()}
    if len(named) < len(images):
        raise InputError(f"the observation holds one image under two names: {sorted(images)}.")
    views = views_of(read_images(named, read), policy.view_names)
    state = states[0] if states and policy.state_dim else None
    return {**choices, "images": views, "state": state, "instruction": texts[0] if texts else None}


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in CHOICES if name in given}


def read_images(images: Any, read: ReadImage) -> Any:
    """Each image read, in a dict or list, or of a stack (..., height, width, 3); a camera may be a list of frames."""
    if isinstance(images, Mapping):
        return {str(name): read_views(image, f"image {name!r}", read) for name, image in images.items()}
    if isinstance(images, (list, tuple, np.ndarray)):
        return [read_views(image, f"image {i}", read) for i, image in enumerate(images)]
    raise InputError(f"images is a {type(images).__name__}; a list, or an object by the names of views, is needed.")


def read_views(image: Any, where: str, read: ReadImage) -> Any:
    """An image, or a list of frames of one camera."""
    if isinstance(image, list) or getattr(image, "ndim", 3) == 4:
        return [read(frame, f"{where}, frame {i}") for i, frame in enumerate(image)]
    return read(image, where)


def as_mapping(images: Any) -> Mapping[str, Any]:
    if images is None:
        return {}
    if not isinstance(images, Mapping):
        raise InputError(f"images is a {type(images).__name__}; a mapping of name to image is needed.")
    return images


def without_prefix(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
