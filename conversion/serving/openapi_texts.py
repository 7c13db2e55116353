"""What the OpenAPI page says of a server, beyond the names of its routes."""

from typing import Any

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
}
SAID = {key: {"type": "string"} for key in ("type", "message", "request_id")}
ERROR = {"type": "object", "properties": {"error": {"type": "object", "properties": SAID}}}
REASONS = {
    400: "the observation does not fit",
    401: "no token, or another",
    404: "no such model",
    413: "too large",
    500: "the prediction failed",
    503: "too many requests wait",
    504: "no answer in time",
}
ACT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "properties": FIELDS}}},
    },
    "responses": {
        str(status): {"description": reason, "content": {"application/json": {"schema": ERROR}}}
        for status, reason in REASONS.items()
    },
}
