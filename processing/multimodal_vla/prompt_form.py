"""How a composed VLA's prompt is written: a template, and in that of a VLM the image tokens of its views."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...configuration.language_model_config import check_positive
from ...configuration.vla_errors import ConfigError
from ..chat_turns import Turn, around_instruction, chat_pieces, without_frame

PLACES = re.compile(r"\{(images|instruction)\}.*\{(images|instruction)\}", re.DOTALL)


class PromptForm(NamedTuple):
    """Settings of a `MultimodalVLAProcessor`, under its names."""

    prompt_template: str
    image_token: str | None
    image_format: str

    def check(self, image_processor: Any, tokenizer: Any, image_seq_length: int | None) -> None:
        """Refuse texts that do not fit each other, the image processor or the tokenizer.

        Raises:
            ConfigError: the message names the setting.
        """
        places = self.prompt_template.count("{images}")
        if places != (self.image_token is not None):
            raise ConfigError(
                f"prompt_template={self.prompt_template!r} holds '{{images}}' {places} times; it must be there once "
                f"with an image_token and not at all without one, and image_token={self.image_token!r}."
            )
        if self.image_token is None:
            return
        if not image_processor.makes_prompts and self.image_token not in tokenizer.get_vocab():
            raise ConfigError(f"the tokenizer has no token image_token={self.image_token!r}.")
        if self.image_format.count("{image}") != 1:
            raise ConfigError(f"image_format={self.image_format!r} must hold '{{image}}' once.")
        if not image_processor.makes_patches and not image_processor.makes_prompts:
            check_positive("image_seq_length", image_seq_length)

    def pieces(self, tokens_per_view: Sequence[int]) -> list[str]:
        """What stands before, between and behind the places of the instruction."""
        prompt = self.prompt_template
        if self.image_token is not None:
            views = [self.image_format.replace("{image}", self.image_token * count) for count in tokens_per_view]
            prompt = prompt.replace("{images}", "".join(views))
        return prompt.split("{instruction}")

    def image_pattern(self) -> str:
        """A regular expression for any number of image tokens in any number of views."""
        if self.image_token is None:
            return ""
        before, after = map(re.escape, self.image_format.split("{image}"))
        return rf"(?:{before}(?:{re.escape(self.image_token)})+{after}\s*)*"

    def conversation_pieces(
        self, tokenizer: Any, chat_template: str | None, tokens_per_view: Sequence[int], turns: Sequence[Turn]
    ) -> list[str]:
        """What the chat template writes around the texts of earlier turns and the instruction.

        A VLM's images stand in the last turn, before or behind the instruction as in `prompt_template`; another prompt
        than the template's own is what the last turn says.

        Raises:
            InputError: there is no template that takes the turns, or the instruction has several places.
        """
        if self.image_token is None:
            before, behind = without_frame(tokenizer, chat_template, self.pieces(tokens_per_view))
        else:
            inside = self._replace(prompt_template=PLACES.search(self.prompt_template)[0])
            before, behind = around_instruction(inside.pieces(tokens_per_view))
        said = [*((turn.role, "", "") for turn in turns), ("user", before, behind)]
        return chat_pieces(tokenizer, chat_template, said)
