"""Conversations as OpenVLA's training code writes them, for a base model without a chat template of its own.

Published form: openvla/openvla, prismatic/models/backbones/llm/prompting/base_prompter.py (`PurePromptBuilder`).
"""

from collections.abc import Sequence

from ...configuration.vla_errors import InputError
from ..chat_turns import Turn


def turn_pieces(turns: Sequence[Turn], template: str, end: str) -> tuple[list[str], list[str]]:
    """What stands around the texts of a conversation, one more than texts, and the texts.

    Each instruction is put into the template; an answer follows its "Out:" and is closed by the end token. Where nobody
    answered, the published code writes a space for an answer.

    Args:
        turns: of user and assistant, the last of them the user's; the assistant speaks only behind the user.
        template: with one "{instruction}" in it.
        end: the tokenizer's end token.

    Raises:
        InputError: another order or another role.
    """
    before, behind = template.split("{instruction}")
    pieces, texts, is_answered = [""], [], True
    for role, text in turns:
        if role == "user":
            if not is_answered:
                pieces[-1] += f"  {end}"
            pieces, texts, is_answered = [*pieces[:-1], pieces[-1] + before, behind], [*texts, text], False
        elif role == "assistant" and not is_answered:
            pieces, texts, is_answered = [*pieces[:-1], pieces[-1] + " ", end], [*texts, text.strip() or " "], True
        else:
            raise InputError(
                f"history has a turn of role={role!r} where the prompt of OpenVLA has none: the user begins, an "
                "assistant's turn follows one of the user, and there is no other role."
            )
    return pieces, texts
