"""A small untrained model of every family with its processor, for the demonstration datasets; nothing is downloaded.

python examples/tiny_models.py FAMILY FOLDER
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tiny_alpamayo import TinyAlpamayo
from tiny_scene import TASKS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

import vlahub
from vlahub.conversion.cli import main as vlahub_command

SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
TOWER = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWER |= {"image_size": 56, "patch_size": 14}
BEGIN = {"initializer_range": 0.1}  # at this width the usual 0.02 takes long to learn from
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<end>"]
PROMPT = "In : What action should the robot take to ? Out :"
ROBOT = {"action_dim": 7}
CHUNKS, STATE, VIEWS = 4, 8, 2


def make_tokenizer(instructions: Iterable[str] = tuple(task for task, *_ in TASKS)) -> PreTrainedTokenizerFast:
    """One token a word of the prompts; `<s>` begins a text."""
    words = dict.fromkeys([*SPECIAL, *PROMPT.split(), *" ".join(instructions).split()])
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def make_cogvla(folder: Path, **fields) -> None:
    tower = {name: value for name, value in TOWER.items() if name != "hidden_size"}
    siglip = {"num_registers": 0, "has_class_token": False, "has_layer_scale": False}
    config = vlahub.CogVLAConfig(
        text_config={**SIZES, **BEGIN, "vocab_size": 64 + 256 + 64, "max_position_embeddings": 256},
        featurizer_config=vlahub.CogVLAVisionConfig(hidden_size=32, num_registers=2, **tower),
        fused_featurizer_config=vlahub.CogVLAVisionConfig(hidden_size=48, **siglip, **tower),
        **{"num_vision_aggr": 8, "num_images_in_input": VIEWS, "num_action_chunks": CHUNKS, "state_dim": STATE}
        | {"prompt_end_token_id": 4, "stop_token_id": 2, "pad_token_id": 3, **ROBOT, **fields},
    )
    images = vlahub.CogVLAImageProcessor(image_sizes=(56, 56), evaluation_size=56, num_images_in_input=VIEWS)
    vlahub.CogVLAForActionPrediction(config).save_pretrained(folder)
    vlahub.CogVLAProcessor(images, make_tokenizer(), state_dim=STATE).save_pretrained(folder)


def make_llava3d(folder: Path, **fields) -> None:
    processor = vlahub.MapAnythingLlava3DProcessor(
        vlahub.MapAnythingLlava3DImageProcessor(size={"height": 56, "width": 56}), make_tokenizer(), state_dim=STATE
    )
    geometry = {**TOWER, **{f"info_sharing_{name}": size for name, size in TOWER.items() if "size" not in name}}
    geometry |= {"info_sharing_hidden_size": 48, "info_sharing_intermediate_size": 96}
    config = vlahub.MapAnythingLlava3DConfig(
        vision_config=TOWER,
        text_config={**SIZES, **BEGIN, "model_type": "mistral", "num_key_value_heads": 2, "vocab_size": 64},
        geometry_config=geometry,
        **{"num_action_chunks": CHUNKS, "use_state": True, "state_dim": STATE, "expert_hidden_size": 64}
        | {"image_token_id": processor.image_token_id, **ROBOT, **fields},
    )
    vlahub.MapAnythingLlava3DForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def make_composed(folder: Path, **fields) -> None:
    text = {"model_type": "gemma", **SIZES, **BEGIN, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 320}
    config = vlahub.MultimodalVLAConfig(
        **{"vision_config": {"model_type": "siglip_vision_model", **TOWER}, "text_config": text}
        | {"freeze_vision_tower": False, "action_head": "mlp", "num_action_chunks": CHUNKS}
        | {"use_state": True, "state_dim": STATE, **ROBOT, **fields},
    )
    vlahub.MultimodalVLAForActionPrediction(config).save_pretrained(folder)
    vlahub.MultimodalVLAProcessor.for_config(config, make_tokenizer()).save_pretrained(folder)


def make_alpamayo(folder: Path, **fields) -> None:
    """A published one, converted for its tokenizer and tokens; then a new model with a wider expert."""
    with tempfile.TemporaryDirectory() as parts:
        TinyAlpamayo().write(Path(parts))
        sources = [f"{parts}/published", str(folder), "--vlm", f"{parts}/vlm", "--dtype", "float32", "--quiet"]
        if vlahub_command(["convert", *sources]):
            raise SystemExit("the tiny Alpamayo-R1 could not be converted")
    published = vlahub.AlpamayoR1Config.from_pretrained(folder).to_dict()
    published["vlm_config"]["text_config"]["initializer_range"] = 0.3  # its output embeddings stay as they are in LoRA
    expert = {**published["expert_config"], "hidden_size": 64, "intermediate_size": 128, **BEGIN}
    projection = {**published["action_in_proj_cfg"], "hidden_size": 128, "num_fourier_feats": 20}
    config = vlahub.AlpamayoR1Config(
        **{**published, "expert_config": expert, "action_in_proj_cfg": projection, **fields}
    )
    vlahub.AlpamayoR1(config).save_pretrained(folder)


MAKERS: dict[str, Callable[..., None]] = {
    "cogvla": make_cogvla,
    "mapanything_llava3d": make_llava3d,
    "multimodal_vla": make_composed,
    "alpamayo_r1": make_alpamayo,
}


def write_model(family: str, folder: Path, seed: int = 0, **fields) -> None:
    """Write model and processor of a family; fields: of its config, in place of those here."""
    torch.manual_seed(seed)
    MAKERS[family](folder, **fields)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in MAKERS:
        sys.exit(f"{__doc__}\nfamilies: {', '.join(MAKERS)}")
    write_model(sys.argv[1], Path(sys.argv[2]))
