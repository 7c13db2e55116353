"""Instructions: every script and control character, special tokens, images' placeholders, whole prompts, any length."""

from collections import Counter
from pathlib import Path
from random import Random

from ..robots import asked, processors
from ..target import Target, keep, kept

PARTS = (
    *(
        "pick up the block",
        " ",
        "\n",
        "\t",
        "?",
        "",
        "\x00",
        "\x1b[31m",
        "\r\n",
        "\u202e",
        "\u200b",
        "\ufeff",
        "\u2028",
    ),
    *("\ud800", "\udfff", "é", "e\u0301", "\U0001f916\U0001f3fd", "積み木", "كتلة", "ﬀ", "İ", "\U0010ffff", "\uffff"),
    *("<image>", "<unk>", "</s>", "<s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<bos>", "[INST]"),
    *(
        "<|vision_start|>",
        "<|traj_history|>",
        "<|cot_start|>",
        "<i0>",
        "<i2999>",
        "{instruction}",
        "{images}",
        "{",
        "%s",
    ),
    *(
        "In: What action should the robot take to",
        "Out:",
        "USER:",
        "ASSISTANT:",
        "<im_patch>",
        "\\",
        "\\u0041",
        "'",
        '"',
    ),
)
OTHERS = (None, 5, 1.5, b"pick", [], [""], ["a", "b"], {"text": "a"}, True, ["a", None], ("a",), object)


class Prompts(Target):
    name, slice = "prompts", 120

    def prepare(self, folder: Path) -> None:
        self.processors = processors(folder)
        self.plain = {name: special(each, asked(each, "pick up the block")) for name, each in self.processors.items()}

    def change(self, random: Random, folder: Path) -> str:
        name = random.choice(list(self.processors))
        text = drawn(random)
        keep((name, text), folder)
        return f"{name}: {text!r:.200}"

    def run(self, folder: Path, output: Path) -> None:
        """No text becomes a special token, and all ids are of the vocabulary."""
        name, text = kept(folder)
        processor = self.processors[name]
        found = asked(processor, text)
        ids = found["input_ids"]
        assert ids.min() >= 0 and ids.max() < len(processor.tokenizer) + 4096, (ids.min(), ids.max())
        if isinstance(text, str) and len(ids) == 1:
            assert special(processor, found) == self.plain[name], "a text became special tokens"


def special(processor, inputs) -> Counter:
    """How many special tokens of which kind a prompt has."""
    added = set(processor.tokenizer.get_added_vocab().values()) - {processor.tokenizer.unk_token_id}
    return Counter(token for token in inputs["input_ids"][0].tolist() if token in added)


def drawn(random: Random):
    """A text as a rule."""
    if random.random() < 0.08:
        return random.choice(OTHERS)
    text = "".join(random.choice(PARTS) for _ in range(random.randrange(1, 9)))
    if random.random() < 0.1:
        text *= random.choice((30, 300))
    if random.random() < 0.2:
        text += "".join(chr(random.randrange(0x110000)) for _ in range(random.randrange(1, 30)))
    return text
