"""The configs of tiny models of every family, which all tests share; published layouts are those of examples/."""

import copy

from vlahub import (
    AlpamayoR1Config,
    CogVLAConfig,
    CogVLAVisionConfig,
    MapAnythingLlava3DConfig,
    MultimodalVLAConfig,
)
from vlahub.configuration.known_fields import in_own_words

IMAGE_SIZE = 28
PROMPT_END = 190


def made(kind, defaults, changes):
    """A config of `defaults` with changes, each by any of its words."""
    return kind(**{**in_own_words(kind, defaults), **in_own_words(kind, changes)})


def bounds(size, low=-1.0, high=2.0):
    """Statistics of `size` dimensions."""
    return {"q01": [low] * size, "q99": [high] * size}


# ---- CogVLA

COGVLA_STATISTICS = {
    "tiny": {
        "action": {"q01": [-1.0, -0.5, 0.0], "q99": [1.0, 2.0, 0.5], "mask": [True, True, False]},
        "proprio": bounds(4, high=1.0),
    }
}


def cogvla_config(**overrides):
    """Two views, a state, four layers; fields of `text_config` are changed one by one."""
    text = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 320,
        "max_position_embeddings": 256,
        **overrides.pop("text_config", {}),
    }
    tower = {"intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": IMAGE_SIZE}
    fields = {
        "featurizer_config": CogVLAVisionConfig(hidden_size=16, num_registers=2, **tower),
        "fused_featurizer_config": CogVLAVisionConfig(
            hidden_size=24, num_registers=0, has_class_token=False, has_layer_scale=False, **tower
        ),
        "num_images_in_input": 2,
        "num_vision_aggr": 3,
        "num_action_chunks": 2,
        "action_dim": 3,
        "state_dim": 4,
        "norm_stats": COGVLA_STATISTICS,
        "n_action_bins": 64,
        "pad_to_multiple_of": 64,
        "num_diffusion_steps": 4,
        "prompt_end_token_id": PROMPT_END,
        "stop_token_id": 2,
        "pad_token_id": 0,
    }
    return made(CogVLAConfig, {"text_config": text, **fields}, overrides)


# ---- LLaVA-3D

LLAVA3D_SIZES = {
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": IMAGE_SIZE,
        "patch_size": 14,
    },
    "text_config": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 40,
    },
    "geometry_config": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": IMAGE_SIZE,
        "info_sharing_hidden_size": 20,
        "info_sharing_num_hidden_layers": 2,
        "info_sharing_num_attention_heads": 2,
        "info_sharing_intermediate_size": 32,
    },
}


def llava3d_config(text_config=None, **fields):
    """One chunk of four actions; fields of `text_config` are changed one by one."""
    text = {**LLAVA3D_SIZES["text_config"], **(text_config or {})}
    sizes = {**LLAVA3D_SIZES, "text_config": text, "image_token_id": 40, "num_action_chunks": 4}
    return made(MapAnythingLlava3DConfig, sizes, fields)


# ---- composed models

WIDTH, CHUNK, DIM, STATE, VOCABULARY = 32, 4, 3, 4, 300
BLOCK = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
GEMMA = {"model_type": "gemma", "hidden_size": WIDTH, **BLOCK, "num_key_value_heads": 1, "head_dim": 16}
GEMMA |= {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
LLAMA = {"model_type": "llama", "hidden_size": WIDTH, **BLOCK, "vocab_size": VOCABULARY}
TOWER = {"hidden_size": 24, **BLOCK, "image_size": IMAGE_SIZE, "patch_size": 14}
SIGLIP = {"model_type": "siglip_vision_model", **TOWER}
COMPOSED = {
    "action_dim": DIM,
    "num_action_chunks": CHUNK,
    "num_action_bins": 32,
    "num_latents": 5,
    "use_state": True,
    "state_dim": STATE,
    "norm_stats": {
        "a": {
            "action": {"q01": [-1.0, -2.0, -3.0], "q99": [1.0, 2.0, 5.0]},
            "proprio": bounds(STATE, high=1.0),
        }
    },
    "num_inference_steps": 3,
    "expert_config": {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 2},
}


def composed_config(**fields):
    """A SigLIP and a Gemma, unless `vlm_config` or others are given."""
    backbones = {"vision_config": SIGLIP, "text_config": GEMMA}
    return made(MultimodalVLAConfig, COMPOSED | ({} if "vlm_config" in fields else backbones), fields)


# ---- Alpamayo-R1


def alpamayo_config(case, **fields):
    """That of a golden case of the expert."""
    settings = copy.deepcopy(case.config)
    parts = {"vlm_config": settings.pop("vlm"), **settings.pop("expect"), "pad_token_id": 300}
    return made(AlpamayoR1Config, parts | settings, fields)
