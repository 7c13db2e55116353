"""How a card that we wrote is told from one that somebody edited.

A card carries a comment with a hash of its own text: while the two agree nobody has edited it, and it may be renewed.
A second hash says for which config it was written.
"""

import hashlib
import re

from huggingface_hub import ModelCard, ModelCardData

MARK = "<!-- Written by vlahub, which renews this text until it is edited. text: {text}, config: {config} -->"
MARK_PATTERN = re.compile(r"<!-- Written by vlahub\b[^>]*text: ([0-9a-f]{64}), config: ([0-9a-f]{64}|none) -->\n*")
FRONT_MATTER = re.compile(r"^---\n.*?\n---\n", re.DOTALL)
# What transformers uploads where there is no card, in the words of `create_and_tag_model_card`.
TRANSFORMERS_TEXT = (
    "This is the model card of a 🤗 transformers model that has been pushed on the Hub. This model card has been "
    "automatically generated."
)


def stamped_with(text: str, config_hash: str) -> str:
    """The card with the comment that says that it is ours.

    text: with its front matter, stamped before or not.
    config_hash: of what it says about a config, "none" where that is not of one of our families.
    """
    head = f"---\n{ModelCard(text).data.to_yaml()}\n---\n\n"
    body = MARK_PATTERN.sub("", body_of(text)).strip() + "\n"
    mark = MARK.format(text=text_hash(head + body), config=config_hash)
    return f"{head}{mark}\n\n{body}"


def is_unedited(text: str) -> bool:
    """Whether a card is as it was written here, or as transformers writes it where there is none."""
    mark = MARK_PATTERN.search(text)
    return mark[1] == text_hash(text) if mark else is_transformers_own(text)


def is_stamped(text: str) -> bool:
    """Whether a card is one of ours: it has the comment with the hash."""
    return bool(MARK_PATTERN.search(text))


def stamped_again(text: str, changed: str) -> str:
    """A card of ours after a change that is ours, too: the same comment with the new hash."""
    mark = MARK_PATTERN.search(text)
    return changed.replace(mark[1], text_hash(changed)) if mark else changed


def is_transformers_own(text: str) -> bool:
    """Whether a card is the empty one that transformers writes."""
    if TRANSFORMERS_TEXT not in text:
        return False
    template = ModelCard.from_template(ModelCardData(), model_description=TRANSFORMERS_TEXT)
    return normalised(body_of(text)) == normalised(template.text)


def body_of(text: str) -> str:
    """A card without its front matter, which need not be valid."""
    return FRONT_MATTER.sub("", normalised(text) + "\n")


def config_mark(text: str) -> str | None:
    """The hash of the config that a stamped card was written for; `None` for any other card."""
    mark = MARK_PATTERN.search(text)
    return mark[2] if mark else None


def text_hash(text: str) -> str:
    """Of front matter and text without the comment, whatever the ends of lines."""
    return sha256(normalised(MARK_PATTERN.sub("", normalised(text))))


def normalised(text: str) -> str:
    """Without spaces at the ends of lines and of the text."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def sha256(text: str) -> str:
    """Of the text in UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
