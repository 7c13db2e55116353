"""The tiny tokenizer of the golden cases of Alpamayo-R1 and 1.5, a processor over it, and scenes for both."""

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from vlahub.processing.alpamayo_r1.processing_alpamayo_r1 import AlpamayoR1Processor
from vlahub.processing.alpamayo_r1.special_tokens import add_trajectory_tokens
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor

# The tokenizer of the golden case: bytes, these merges, and the tokens that Qwen adds.
MERGES = (
    "Ġ a,Ġ t,h e,i n,u t,Ġt he,a n,i s,Ġ d,in g,a t,c e,r e,s s,t an,Ġ s,is tan,a d,c t,e e,e r,i v,l e,n d,o f,o n,"
    "o u,o w,o ut,p ut,r iv,Ġa nd,Ġd riv,at e,ss istan,ee p,out put,Ġdriv ing,ssistan t,- t,- of,K eep,Y ou,a f"
)
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
HISTORY_VALUES = {"num_bins": 60}
VALUES, FIRST_HISTORY_VALUE = 160, 426
PIXELS = {"min_pixels": 1024, "max_pixels": 8192}


def tiny_tokenizer(added):
    """added: tokens of the base, in their order."""
    merges = [tuple(merge.split()) for merge in MERGES.split(",")]
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=token[1] == "|") for token in added])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def make_processor(tokenizer, add_special_tokens=True, images=PIXELS, later_names=False, **settings):
    add_trajectory_tokens(tokenizer, VALUES, add_special_tokens, later_names)
    first = {"history_token_config": HISTORY_VALUES, "history_token_start_idx": FIRST_HISTORY_VALUE}
    return AlpamayoR1Processor(AlpamayoR1ImageProcessor(**images), tokenizer, **{**first, **settings})


def frames(count=2, height=60, width=90, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (count, 3, height, width)).astype(np.uint8)


def history(seed=0, poses=16):
    """A path that ends at the origin, heading along x, and its rotations, (poses, 3) and (poses, 3, 3)."""
    random = np.random.RandomState(seed)
    xyz = np.cumsum(random.uniform(-1, 2, (poses, 3)), axis=0)
    yaw = np.cumsum(random.uniform(-0.1, 0.1, poses))
    zero, one = np.zeros(poses), np.ones(poses)
    rot = np.stack([np.cos(yaw), -np.sin(yaw), zero, np.sin(yaw), np.cos(yaw), zero, zero, zero, one], axis=-1)
    rot = rot.reshape(poses, 3, 3)
    return (xyz - xyz[-1]) @ rot[-1], rot[-1].T @ rot


def call(processor, images=None, seed=0, **arguments):
    xyz, rot = history(seed)
    defaults = {"images": frames() if images is None else images, "ego_history_xyz": xyz, "ego_history_rot": rot}
    return processor(**{**defaults, **arguments})
