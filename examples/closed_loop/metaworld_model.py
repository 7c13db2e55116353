"""A small untrained model for what LeRobot's Meta-World environment gives: one view, and the hand's state.

python examples/closed_loop/metaworld_model.py FOLDER --statistics dataset_statistics.json
"""

import argparse
import json
from pathlib import Path

import torch
from metaworld_scene import TASK_DESCRIPTIONS, TASKS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

import vlahub
from vlahub.data import apply_norm_stats

CHUNKS, SIZE = 4, 64
# Convolutions, for the goal is a ball of two pixels; 16 places of the picture are left after three stages.
VISION = {"model_type": "convnext", "image_size": SIZE, "patch_size": 4, "num_stages": 3, "depths": [1, 1, 1]}
VISION |= {"hidden_sizes": [32, 64, 128], "layer_scale_init_value": 0.5, "initializer_range": 0.05}
TEXT = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 4, "vocab_size": 320, "initializer_range": 0.1}
PIXELS = {"image_mean": (0.49, 0.40, 0.37), "image_std": (0.14, 0.18, 0.19)}  # of these scenes
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="checkpoint to write")
    parser.add_argument("--statistics", type=Path, required=True, help="of the demonstrations, by `vlahub stats`")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_model(arguments.folder, arguments.statistics, arguments.seed)


def write_model(folder: Path, statistics: Path, seed: int = 0) -> None:
    """Model and processor, which move the robot as soon as they are written, if anywhere."""
    torch.manual_seed(seed)
    config = vlahub.MultimodalVLAConfig(
        vision_config=VISION,
        text_config=TEXT,
        action_head="mlp",
        action_dim=4,
        num_action_chunks=CHUNKS,
        use_state=True,
        state_dim=4,
        freeze_vision_tower=False,
    )
    processor = vlahub.MultimodalVLAProcessor.for_config(config, make_tokenizer(), **PIXELS)
    apply_norm_stats(config, processor, json.loads(statistics.read_text()))
    vlahub.MultimodalVLAForActionPrediction(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the instructions."""
    words = dict.fromkeys([*SPECIAL.values(), *" ".join(TASK_DESCRIPTIONS[task] for task in TASKS).split()])
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


if __name__ == "__main__":
    main()
