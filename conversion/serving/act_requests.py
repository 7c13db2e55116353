"""`POST /act`: what a request asks, by which of three forms, and how its answer looks.

| form | known by | answer |
| --- | --- | --- |
| OpenVLA | `image` | one action, as json-numpy |
| OpenVLA-OFT | `full_image` | the chunk, a list of actions as json-numpy |
| plain | `images` | an object with `actions`, lists of numbers |
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError
from .action_sessions import checked_session
from .client_observations import mapped, observation_of_openvla, read_images
from .json_values import encoded, image_of, json_object, unpacked, value_of
from .limits import Limits, ReadImage
from .observation_map import ObservationMap
from .served_policy import ServedPolicy


@dataclass(frozen=True)
class Act:
    """A request that was read.

    Attributes:
        observation: for `Policy.prepared`.
        answer: makes the response of what was predicted: a chunk, or the one action of a session in its place.
        session: `None` for a client that takes whole chunks.
        begins: whether an episode of the session begins.
    """

    observation: dict[str, Any]
    answer: Callable[[Any, dict[str, Any]], Any]
    session: str | None = None
    begins: bool = False


def read_act(body: bytes, policy: ServedPolicy, limits: Limits, by: ObservationMap | None) -> Act:
    """A body of JSON in one of the forms.

    Raises:
        InputError: it is in none of them, or holds what cannot be read; the message names the field.
    """
    payload, is_double = unpacked(json_object(body))
    fields = {name: value_of(value) for name, value in payload.items() if value is not None}
    session, begins = fields.pop("session", None), fields.pop("reset", False)
    if session is not None:
        checked_session(session)
    if not isinstance(begins, bool) or (begins and session is None):
        raise InputError(f"reset is {begins!r:.80}; true begins an episode of the session that the request names.")

    def read(value: Any, where: str) -> np.ndarray:
        return image_of(value, where, limits)

    if not policy.has_actions and (session is not None or form_of(fields) is not plain):
        raise InputError("this model drives, and has no actions of a robot: ask by images and ego_history_xyz.")
    form = form_of(fields)
    observation = observation_of(fields, policy, limits.counting(read), by)
    return Act(observation, partial(double, form) if is_double else form, session, begins)


def observation_of(
    fields: dict[str, Any], policy: ServedPolicy, read: ReadImage, by: ObservationMap | None
) -> dict[str, Any]:
    """Raises InputError, see `read_act`."""
    if by is not None:
        return mapped(fields, by, read)
    if form_of(fields) is not plain:
        return observation_of_openvla(fields, policy, read)
    return fields | ({"images": read_images(fields["images"], read)} if "images" in fields else {})


def form_of(fields: dict[str, Any]) -> Callable[[Any, dict[str, Any]], Any]:
    """How the answer of a request looks, by what it holds."""
    if "image" in fields:
        return one_action
    return list_of_actions if "full_image" in fields else plain


def one_action(value: np.ndarray, said: dict[str, Any]) -> Any:
    return encoded(value[0])


def list_of_actions(value: np.ndarray, said: dict[str, Any]) -> Any:
    return [encoded(action) for action in value]


def plain(value: Any, said: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in value.items()} | said
    return {"actions": value.tolist(), **said}


def double(form: Callable, value: Any, said: dict[str, Any]) -> str:
    """The answer as text of JSON, which is sent as JSON once more."""
    return json.dumps(form(value, said), allow_nan=False)
