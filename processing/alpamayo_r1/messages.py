"""Messages of a chat, as the published scripts of Alpamayo-R1 write them: text and images by turns.

Published form: NVlabs/alpamayo, helper.py (`create_message`), and the chat template of Qwen3-VL.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...configuration.vla_errors import InputError
from .camera_labels import labels_before, read_indices, warn_of_unnamed
from .driving_prompt import IMAGE_TOKEN
from .route_and_question import ROUTE
from .special_tokens import TRAJ_TOKEN

# What Qwen3-VL's own template writes for such messages.
CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

Message = Mapping[str, Any]


def text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


class SceneMessage(NamedTuple):
    """frames: of a scene; labels: what stands before each, empty for none; system: the system's line."""

    frames: Sequence[Any]
    labels: Sequence[str]
    system: str

    def written(self, text: str, answer_start: str) -> list[dict[str, Any]]:
        """The chat with this text behind the images, up to where the answer begins."""
        user: list[dict[str, Any]] = []
        for frame, label in zip(self.frames, self.labels or [""] * len(self.frames), strict=True):
            user += [text_part(label)] if label else []
            user.append({"type": "image", "image": frame})
        return [
            {"role": "system", "content": [text_part(self.system)]},
            {"role": "user", "content": [*user, text_part(text)]},
            {"role": "assistant", "content": [text_part(answer_start)]},
        ]


def driving_text(num_history_tokens: int, nav_text: str | None, request: str) -> str:
    """What stands behind the images of a scene."""
    path = TRAJ_TOKEN["history_start"] + TRAJ_TOKEN["history"] * num_history_tokens + TRAJ_TOKEN["history_end"]
    return path + ("" if nav_text is None else nav_text.join(ROUTE)) + request


def published_frames(frames: Any) -> list[Any]:
    """Frames (images, 3, height, width), or in a list. Raises InputError for another number of dimensions."""
    if getattr(frames, "ndim", 4) != 4:
        raise InputError(f"frames has shape {tuple(frames.shape)}; (images, 3, height, width) is needed.")
    return list(frames)


def published_labels(
    frames: Sequence[Any], camera_indices: Any, num_frames_per_camera: int, by_default: bool
) -> list[str]:
    """What stands before each frame, empty without `camera_indices`; by_default: the model was trained with that.

    Raises:
        InputError: the frames are more or fewer than so many of each camera.
    """
    (indices,) = read_indices(camera_indices, 1)
    if indices is None:
        if by_default:
            warn_of_unnamed()
        return []
    if len(frames) != len(indices) * num_frames_per_camera:
        raise InputError(
            f"frames holds {len(frames)} images; {num_frames_per_camera} (num_frames_per_camera) of each of "
            f"{len(indices)} cameras are needed."
        )
    return labels_before(indices, [num_frames_per_camera] * len(indices))


def images_of(messages: Sequence[Message]) -> list[Any]:
    """The images of a chat in order. Raises InputError for a part that is neither text nor an image."""
    found = []
    for message in messages:
        content = message["content"]
        for part in [] if isinstance(content, str) else content:
            kind = part.get("type")
            if kind == "image" and "image" in part:
                found.append(part["image"])
            elif kind != "text" or "text" not in part:
                raise InputError(
                    f"a message holds {dict(part)!r:.80}; a part is {{'type': 'text', 'text': ...}} or "
                    "{'type': 'image', 'image': ...}."
                )
    return found


def with_image_tokens(text: str, tokens_per_image: Sequence[int]) -> str:
    """The text with as many image tokens for each image as the model makes of it, in place of one.

    Raises:
        InputError: the text has another number of image tokens than there are images.
    """
    pieces = text.split(IMAGE_TOKEN)
    if len(pieces) - 1 != len(tokens_per_image):
        raise InputError(
            f"the messages write {len(pieces) - 1} image tokens and hold {len(tokens_per_image)} images: leave "
            f"{IMAGE_TOKEN!r} out of the texts."
        )
    expanded = [IMAGE_TOKEN * count + piece for count, piece in zip(tokens_per_image, pieces[1:], strict=True)]
    return "".join([pieces[0], *expanded])
