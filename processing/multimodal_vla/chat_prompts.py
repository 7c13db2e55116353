"""The prompt of a VLM out of its chat template: a single turn of the user with images and an instruction."""

from typing import Any

from ...configuration.vla_errors import ConfigError

INSTRUCTION = "{instruction}"
GIVE_BOTH = "give prompt_template and image_format"


def chat_prompt(tokenizer: Any, chat_template: str, image_token: str) -> tuple[str, str]:
    """`prompt_template` and `image_format` as a `MultimodalVLAProcessor` has them.

    Args:
        tokenizer: the VLM's; its special tokens are in the template.
        chat_template: in Jinja.
        image_token: what the template writes for an image.

    Raises:
        ConfigError: the template writes something else for images, or writes each in another way.
    """
    one, two = (rendered(tokenizer, chat_template, count) for count in (1, 2))
    size, place = len(two) - len(one), one.find(image_token)
    least = max(place + len(image_token) - size, 0)
    for start in range(place, least - 1, -1) if place >= 0 else ():
        view = one[start : start + size]
        if image_token in view and one[:start] + view + one[start:] == two and INSTRUCTION in one:
            template = one[:start] + "{images}" + one[start + size :]
            return template, view.replace(image_token, "{image}")
    raise ConfigError(
        f"the chat template does not write {image_token!r} for each image in one way ({one!r}); {GIVE_BOTH}."
    )


def rendered(tokenizer: Any, chat_template: str, num_images: int) -> str:
    """The text of one turn, up to where the model answers."""
    content = [{"type": "image"}] * num_images + [{"type": "text", "text": INSTRUCTION}]
    turn = [{"role": "user", "content": content}]
    try:
        return tokenizer.apply_chat_template(
            turn, chat_template=chat_template, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # whatever a template raises
        raise ConfigError(f"the chat template cannot write a turn with images ({error}); {GIVE_BOTH}.") from error
