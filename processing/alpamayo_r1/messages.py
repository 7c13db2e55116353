"""Messages of a chat, as the published scripts of Alpamayo-R1 write them: text and images by turns.

Published form: NVlabs/alpamayo, helper.py (`create_message`), and the chat template of Qwen3-VL.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...configuration.vla_errors import InputError
from .driving_prompt import IMAGE_TOKEN
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


def driving_messages(
    frames: Sequence[Any], system: str, num_history_tokens: int, request: str, answer_start: str
) -> list[dict[str, Any]]:
    """The chat of one scene, up to where the answer begins."""
    path = TRAJ_TOKEN["history_start"] + TRAJ_TOKEN["history"] * num_history_tokens + TRAJ_TOKEN["history_end"]
    images = [{"type": "image", "image": frame} for frame in frames]
    return [
        {"role": "system", "content": [text_part(system)]},
        {"role": "user", "content": [*images, text_part(path + request)]},
        {"role": "assistant", "content": [text_part(answer_start)]},
    ]


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
