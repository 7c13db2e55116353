"""A small untrained model of each robot family with its processor, that can learn the drawn board in half a minute."""

import sys
from pathlib import Path

import torch
from drawn_board import INSTRUCTIONS, PIXELS

import vlahub

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tiny_models import BEGIN, make_tokenizer

CHUNKS = 2
STACK = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
PATCHES = {"image_size": PIXELS, "patch_size": 8}  # a block is as large as a patch
ROBOT = {"action_dim": 2, "num_action_chunks": CHUNKS, "state_dim": 2}


def make_cogvla(folder: Path, **fields) -> None:
    """With all that CogVLA adds: FiLM, aggregation tokens, weighed towers, pruned tokens."""
    tower = {"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, **PATCHES}
    siglip = {"num_registers": 0, "has_class_token": False, "has_layer_scale": False}
    config = vlahub.CogVLAConfig(
        text_config={**STACK, **BEGIN, "vocab_size": 64 + 256 + 64, "max_position_embeddings": 256},
        featurizer_config=vlahub.CogVLAVisionConfig(num_registers=2, **tower),
        fused_featurizer_config=vlahub.CogVLAVisionConfig(**siglip, **tower),
        **{"num_vision_aggr": 16, "prompt_end_token_id": 4, "stop_token_id": 2, "pad_token_id": 3, **ROBOT, **fields},
    )
    images = vlahub.CogVLAImageProcessor(image_sizes=(PIXELS, PIXELS), evaluation_size=PIXELS)
    vlahub.CogVLAForActionPrediction(config).save_pretrained(folder)
    vlahub.CogVLAProcessor(images, tokenizer(), state_dim=2).save_pretrained(folder)


def make_llava3d(folder: Path, **fields) -> None:
    """Geometry branch, a deep-fusion expert, flow matching."""
    images = vlahub.MapAnythingLlava3DImageProcessor(size={"height": PIXELS, "width": PIXELS}, patch_size=8)
    processor = vlahub.MapAnythingLlava3DProcessor(images, tokenizer(), state_dim=2)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = vlahub.MapAnythingLlava3DConfig(
        vision_config={**STACK, **PATCHES},
        text_config={**STACK, **BEGIN, "model_type": "mistral", "num_key_value_heads": 2, "vocab_size": 64},
        geometry_config={**sizes, **PATCHES, **{f"info_sharing_{name}": size for name, size in sizes.items()}},
        **{"use_state": True, "expert_hidden_size": 64, "image_token_id": processor.image_token_id, **ROBOT, **fields},
    )
    vlahub.MapAnythingLlava3DForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def make_composed(folder: Path, **fields) -> None:
    """A SigLIP and a Gemma in one sequence, a regression head."""
    text = {"model_type": "gemma", **STACK, **BEGIN, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 320}
    config = vlahub.MultimodalVLAConfig(
        vision_config={"model_type": "siglip_vision_model", **STACK, **PATCHES},
        text_config=text,
        **{"freeze_vision_tower": False, "use_state": True, "action_head": "mlp", **ROBOT, **fields},
    )
    vlahub.MultimodalVLAForActionPrediction(config).save_pretrained(folder)
    vlahub.MultimodalVLAProcessor.for_config(config, tokenizer()).save_pretrained(folder)


def tokenizer():
    return make_tokenizer(INSTRUCTIONS.values())


MAKERS = {"cogvla": make_cogvla, "mapanything_llava3d": make_llava3d, "multimodal_vla": make_composed}


def write_model(family: str, folder: Path, seed: int = 0, **fields) -> None:
    """Write model and processor of a family; fields: of its config, in place of those here."""
    torch.manual_seed(seed)
    MAKERS[family](folder, **fields)
