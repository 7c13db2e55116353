"""Writes a tiny SigLIP and a tiny Gemma with its tokenizer, for composing a VLA without downloads.

python examples/tiny_backbones.py FOLDER

FOLDER/vision and FOLDER/language are what transformers writes of such models; nothing is trained.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast, SiglipVisionConfig, SiglipVisionModel

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = "pick up put the red green blue yellow bowl cube on in to left right"
WORDS = ["<pad>", "<eos>", "<bos>", "<unk>", *TEXT.split()]


def write_backbones(folder: Path, seed: int = 0) -> None:
    """Make `vision` and `language` in a folder."""
    torch.manual_seed(seed)
    SiglipVisionModel(SiglipVisionConfig(**SIZES, image_size=56, patch_size=14)).save_pretrained(folder / "vision")
    config = GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=16, vocab_size=320)
    GemmaForCausalLM(config).save_pretrained(folder / "language")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder / "language")


if __name__ == "__main__":
    write_backbones(Path(sys.argv[1]))
