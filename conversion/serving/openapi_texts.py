"""What the OpenAPI page says of a server, beyond the names of its routes."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

DESCRIPTION = (
    "Predictions of a vision-language-action checkpoint, for OpenVLA's and OpenVLA-OFT's clients (POST /act) and "
    "openpi's (websocket /)."
)
ARRAY = {"type": "object", "required": ["__numpy__", "dtype", "shape"], "description": "an array as json-numpy"}
IMAGE = {"oneOf": [ARRAY, {"type": "string", "description": "base64 of a PNG or JPEG file"}]}
NUMBERS = {"oneOf": [ARRAY, {"type": "array", "items": {"type": "number"}}]}
FIELDS: dict[str, Any] = {
    "image": {**IMAGE, "description": "OpenVLA: the main camera; the answer is one action"},
    "full_image": {**IMAGE, "description": "OpenVLA-OFT: the main camera; the answer is a list of actions"},
    "wrist_image": {**IMAGE, "description": 'a wrist camera; any name with "wrist"'},
    "images": {"description": "plain: images by the names of views, or in their order", "type": ["object", "array"]},
    "state": {**NUMBERS, "description": "of the robot, in its units"},
    "instruction": {"type": "string"},
    "unnorm_key": {"type": "string", "description": "whose statistics, where there are several"},
    "advantage": {"type": "string"},
    "embodiment_id": {"type": "integer"},
    "seed": {"type": "integer", "description": "of a head that draws"},
    "session": {"type": "string", "description": "one action at a time, of this session's queue"},
    "reset": {"type": "boolean", "description": "an episode of the session begins"},
    "encoded": {"type": "string", "description": "the whole request as text of JSON, alone"},
    "ego_history_xyz": {**NUMBERS, "description": "driving: (steps, 3), metres"},
    "ego_history_rot": {**NUMBERS, "description": "driving: (steps, 3, 3)"},
    "history_frame": {"type": "string", "enum": ["ego", "world"], "description": "driving: of the path"},
    "text": {"type": "string", "description": "driving: in place of the prompt"},
    "num_traj_samples": {"type": "integer", "description": "driving: trajectories of an answer"},
    "max_new_tokens": {"type": "integer", "description": "driving: of the reasoning"},
    "top_k": {"type": "integer", "description": "driving: of the reasoning"},
    "top_p": {"type": "number", "description": "driving: of the reasoning"},
    "temperature": {"type": "number", "description": "driving: of the reasoning"},
}
ANSWER = {
    "anyOf": [
        {**ARRAY, "description": "OpenVLA: one action"},
        {"type": "array", "items": ARRAY, "description": "OpenVLA-OFT: a chunk of actions"},
        {"type": "object", "description": "plain: actions as lists, or what a driving model predicts"},
        {"type": "string", "description": "of `encoded`: one of these as text of JSON"},
    ]
}
SAID = {key: {"type": "string"} for key in ("type", "message", "request_id")}
ERROR = {"type": "object", "properties": {"error": {"type": "object", "properties": SAID}}}
REASONS = {
    400: "the observation does not fit",
    401: "no token, or another",
    403: "a web page of another host asks a server without a token",
    404: "no such model",
    408: "the body did not come in time",
    413: "too large",
    500: "the prediction failed",
    503: "too many requests wait",
    504: "no answer in time",
}


def act_text(blanks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the page says of `POST /act`. blanks: an observation that shows nothing, by the name of its model."""
    examples = {
        name: {"summary": f"{name}: grey images", "value": as_json(blank)} for name, blank in sorted(blanks.items())
    }
    content = {"schema": {"type": "object", "properties": FIELDS}, "examples": examples}
    errors = {
        str(status): {"description": reason, "content": {"application/json": {"schema": ERROR}}}
        for status, reason in REASONS.items()
    }
    answer = {"description": "in the form of the request", "content": {"application/json": {"schema": ANSWER}}}
    return {
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": answer, **errors},
    }


def as_json(value: Any) -> Any:
    """An observation with images as base64 of PNG files and other arrays as lists; without what is not there."""
    if isinstance(value, Mapping):
        return {name: as_json(each) for name, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype != np.uint8:
        return value.tolist()
    file = io.BytesIO()
    Image.fromarray(value).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
