"""Earlier turns of a conversation in a prompt: what was said before the instruction ("no, the red one")."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..configuration.vla_errors import InputError
from .prompts import END, MARK
from .sample_inputs import checked_texts, shown

ROLES = ("system", "user", "assistant")
FORM = 'a string (of the user) or {"role": "user" or "assistant", "content": "..."}'


class Turn(NamedTuple):
    """What one side said."""

    role: str
    text: str


def read_turns(history: Any, batch_size: int) -> list[list[Turn]]:
    """The earlier turns of each sample of a batch, the oldest first; none where `history` is `None`.

    Args:
        history: messages as `apply_chat_template` takes them, `[{"role": "user", "content": "..."}, ...]`, in which a
            string is a turn of the user; for a batch a list of such lists, one for each sample.

    Raises:
        InputError: a turn has another form, holds something else than text or has an unknown role, or the lists are not
            as many as the samples.
    """
    if history is None:
        return [[] for _ in range(batch_size)]
    if not isinstance(history, (list, tuple)):
        raise InputError(f"history is {shown(history)}; a list of turns is needed, each {FORM}.")
    nested = {turns is None or isinstance(turns, (list, tuple)) for turns in history or [[]] * batch_size}
    if len(nested) > 1:
        raise InputError("history mixes turns and lists of turns; give turns for one sample, or a list for each.")
    lists = (history or [[]] * batch_size) if True in nested else [history]
    if len(lists) != batch_size:
        raise InputError(
            f"history holds the turns of {len(lists)} samples, the batch {batch_size}; give a list of turns for each."
        )
    return [[read_turn(turn) for turn in turns or ()] for turns in lists]


def read_turn(turn: Any) -> Turn:
    """One turn as a caller gives it. Raises InputError as `read_turns` does."""
    if isinstance(turn, str):
        return Turn("user", *checked_texts(turn, "history"))
    if not isinstance(turn, Mapping) or set(turn) != {"role", "content"}:
        raise InputError(f"history holds {shown(turn)}; a turn is {FORM}.")
    if turn["role"] not in ROLES:
        raise InputError(f"history has a turn of role={turn['role']!r}; choose from {', '.join(ROLES)}.")
    content = turn["content"]
    if isinstance(content, (list, tuple)):
        content = "".join(text_of(part) for part in content)
    return Turn(turn["role"], *checked_texts(content, "history"))


def text_of(part: Any) -> str:
    """The text of a part of a message. Raises InputError for a part of another type."""
    if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise InputError(
            f"history holds the part {part!r:.80}; earlier turns are text, "
            "{'type': 'text', 'text': ...}: pictures are those of now, given as images."
        )
    return part["text"]


def chat_pieces(tokenizer: Any, template: str | None, turns: Sequence[tuple[str, str, str]]) -> list[str]:
    """What a chat template writes around the texts of a conversation whose answer comes next: one more than turns.

    Args:
        tokenizer: renders the template; its own one where `template` is `None`.
        turns: the role, and what its content has before and after the text, of each.

    Raises:
        InputError: there is no template, or it does not write each of the turns once and in their order.
    """
    template = template or getattr(tokenizer, "chat_template", None)
    if not template:
        raise InputError(
            "history needs a chat template, and this checkpoint has none: give the processor one (processor."
            "chat_template), or say all of it in text."
        )
    contents = [before + f"{MARK}{i}{END}" + after for i, (_, before, after) in enumerate(turns)]
    places, problems = [str(i) for i in range(len(turns))], []
    for is_parts in (False, True):  # templates of language models read strings, some of VLMs only parts
        messages = [
            {"role": turn[0], "content": [{"type": "text", "text": content}] if is_parts else content}
            for turn, content in zip(turns, contents, strict=True)
        ]
        try:
            prompt = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template is a program, and raises what it likes
            problems.append(str(error))
            continue
        pieces = re.split(rf"{MARK}(\d+){END}", prompt)
        if pieces[1::2] == places:
            return pieces[::2]
        problems.append("it does not write each of them once and in their order")
    raise InputError(
        f"the chat template does not take the turns of history and text ({', '.join(turn[0] for turn in turns)}): "
        f"{'; '.join(dict.fromkeys(problems))}."
    )


def around_instruction(pieces: Sequence[str]) -> tuple[str, str]:
    """What a prompt has before and behind its instruction. Raises InputError where it has that several times."""
    if len(pieces) != 2:
        raise InputError(
            f"history needs a prompt_template with '{{instruction}}' once, and it is there {len(pieces) - 1} times."
        )
    return pieces[0], pieces[1]


def without_frame(tokenizer: Any, template: str | None, pieces: Sequence[str]) -> tuple[str, str]:
    """What a prompt has before and behind its instruction, less what the chat template writes there for one turn.

    A prompt that was taken over from the chat template is thus not written twice, and another one stays as it is.
    """
    before, behind = around_instruction(pieces)
    head, tail = chat_pieces(tokenizer, template, [("user", "", "")])
    head = head.removeprefix(getattr(tokenizer, "bos_token", None) or "")  # the tokenizer writes it by itself, or not
    if before.startswith(head) and behind.endswith(tail):
        return before.removeprefix(head), behind.removesuffix(tail)
    return before, behind
