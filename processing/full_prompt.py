"""A family's whole prompt where only an instruction was asked for: recognised, so that it is not wrapped once more."""

import re

LONG_HEAD = 3  # words that nobody begins an instruction with by chance


def instruction_of(text: str, head: str, tail: str, images: str = "") -> str:
    """The instruction in a text that is a whole prompt; any other text as it is.

    A prompt is recognised letter by letter, and with other case and whitespace as well; behind a head of several words
    the end of the tail may be missing, or all of it.

    Args:
        head, tail: what the template has before and after the instruction; the head may hold "{images}".
        images: a regular expression for what stands there, which may be nothing.
    """
    parts = head.split("{images}")
    words = "".join(parts).split()
    if not words and not tail.strip():
        return text
    exact = images.join(map(re.escape, parts))
    found = re.fullmatch(f"{exact}(.*){re.escape(tail)}", text, re.DOTALL)
    if found:
        return found[1]
    loose = rf"\s*{images}\s*".join(r"\s+".join(map(re.escape, part.split())) for part in parts)
    ending = r"\s*" + r"\s*".join(map(re.escape, tail.split()))
    if len(words) >= LONG_HEAD:
        ending = ""
        for word in reversed(tail.split()):
            ending = rf"(?:\s*{re.escape(word)}{ending})?"
    found = re.fullmatch(rf"\s*{loose}\s*(.*?){ending}\s*", text, re.DOTALL | re.IGNORECASE)
    return found[1] if found else text
