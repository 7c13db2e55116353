"""Tiny models of transformers whose modules have had other names, and what both releases call them."""

import copy

import torch
import transformers
from transformers import AutoConfig, PreTrainedModel

TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
VIT = {**VISION, "mlp_ratio": 2}
PLAIN_TEXT = {k: v for k, v in TEXT.items() if k not in ("num_key_value_heads", "head_dim")}
SIGLIP = {"model_type": "siglip_vision_model", **VISION}
CLIP = {"model_type": "clip_vision_model", **VISION}
PIXTRAL = {"model_type": "pixtral", "head_dim": 8, **VISION}
INTERN = {"model_type": "internvl_vision", **VISION, "image_size": [28, 28], "patch_size": [14, 14]}
SAM = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "mlp_dim": 24,
    "output_channels": 16,
    "global_attn_indexes": [0],
    "window_size": 2,
}
QWEN = {"depth": 2, "num_heads": 2, "patch_size": 14}
QWEN2 = {**QWEN, "embed_dim": 16, "hidden_size": 32}
QWEN25 = {**QWEN, "hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24, "fullatt_block_indexes": [0]}
QWEN3 = {
    **QWEN,
    "hidden_size": 16,
    "out_hidden_size": 32,
    "intermediate_size": 24,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
}
QWEN_IDS = {"image_token_id": 60, "video_token_id": 61, "vision_start_token_id": 62, "vision_end_token_id": 63}
MROPE = {**TEXT, "rope_scaling": {"rope_type": "default", "type": "default", "mrope_section": [1, 1, 2]}}


def image_text(vision: dict, text: str, **more: object) -> dict:
    return {"vision_config": vision, "text_config": {"model_type": text, **TEXT}, "image_token_index": 3, **more}


CONFIGS = {
    "llava": image_text(CLIP, "llama"),
    "llava_next": image_text(CLIP, "llama"),
    "llava_onevision": image_text(SIGLIP, "qwen2"),
    "vipllava": image_text(CLIP, "llama", vision_feature_layers=[-1]),
    "video_llava": image_text(CLIP, "llama", video_token_index=4),
    "paligemma": image_text(SIGLIP, "gemma"),
    "gemma3": image_text(SIGLIP, "gemma3_text", mm_tokens_per_image=4),
    "aya_vision": image_text(SIGLIP, "cohere2"),
    "cohere2_vision": image_text(SIGLIP, "cohere2"),
    "mistral3": image_text(PIXTRAL, "mistral"),
    "internvl": image_text(INTERN, "qwen2"),
    "got_ocr2": image_text(SAM, "qwen2"),
    "idefics3": image_text(VISION, "llama"),
    "smolvlm": image_text(VISION, "llama"),
    "qwen2_vl": {"vision_config": QWEN2, "text_config": MROPE, **QWEN_IDS},
    "qwen2_5_vl": {"vision_config": QWEN25, "text_config": MROPE, **QWEN_IDS},
    "qwen3_vl": {"vision_config": QWEN3, "text_config": MROPE, **QWEN_IDS},
    "siglip_vision_model": VISION,
    "siglip2_vision_model": {**{k: v for k, v in VISION.items() if k != "image_size"}, "num_patches": 4},
    "clip_vision_model": VISION,
    "clip_text_model": PLAIN_TEXT,
    "dinov2": VIT,
    "dinov2_with_registers": VIT,
    "dinov3_vit": VIT,
    "vit": VIT,
    "beit": VIT,
    "deit": VIT,
    "ijepa": VIT,
    "vit_mae": VIT,
    "vit_msn": VIT,
    "gpt_neox": PLAIN_TEXT,
}
CLASSES = {
    "video_llava": "VideoLlavaForConditionalGeneration",
    "siglip_vision_model": "SiglipVisionModel",
    "siglip2_vision_model": "Siglip2VisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "clip_text_model": "CLIPTextModel",
    "gpt_neox": "GPTNeoXForCausalLM",
}

# How names start in transformers 4.57 and in 5.x, where they differ, and what follows the number of a layer.
TOWER = [("model.vision_tower.vision_model.", "model.vision_tower.")]
LAYER = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
VITS = ("vit", "beit", "deit", "ijepa", "vit_mae", "vit_msn")
DINOS = ("dinov2", "dinov2_with_registers")
LLAVAS = (
    "llava",
    "llava_next",
    "llava_onevision",
    "vipllava",
    "paligemma",
    "gemma3",
    "aya_vision",
    "cohere2_vision",
)
STARTS = {
    **dict.fromkeys(LLAVAS, TOWER),
    "video_llava": [(f"model.{tower}_tower.vision_model.", f"model.{tower}_tower.") for tower in ("image", "video")],
    **{f"{name}_vision_model": [("vision_model.", "")] for name in ("siglip", "siglip2", "clip")},
    "clip_text_model": [("text_model.", "")],
    "dinov3_vit": [("layer.", "model.layer.")],
    **{family: [("encoder.layer.", "encoder.layer.")] for family in DINOS},
    **{family: [("encoder.layer.", "layers.")] for family in VITS},
    "gpt_neox": [("embed_out", "lm_head")],
}
# How names started before 4.52, when the language model and its head lay in one module, and since.
OLDEST_STARTS = [
    ("language_model.lm_head", "lm_head"),
    ("language_model.model.", "model.language_model."),
    ("vision_tower.", "model.vision_tower."),
    ("video_tower.", "model.video_tower."),
    ("image_tower.", "model.image_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
]
QWEN_STARTS = [("visual.", "model.visual."), ("model.", "model.language_model.")]
OLDEST = {
    **dict.fromkeys(
        (*LLAVAS[:-1], "video_llava", "mistral3", "internvl", "got_ocr2"),
        OLDEST_STARTS,
    ),
    "qwen2_vl": QWEN_STARTS,
    "qwen2_5_vl": QWEN_STARTS,
}
FIVE = int(transformers.__version__.split(".")[0]) >= 5


def tiny(family: str) -> PreTrainedModel:
    """A model with random weights."""
    config = AutoConfig.for_model(family, **copy.deepcopy(CONFIGS[family]))
    if family in CLASSES:
        return getattr(transformers, CLASSES[family])(config)
    auto = transformers.AutoModelForImageTextToText if "text_config" in CONFIGS[family] else transformers.AutoModel
    return auto.from_config(config)


def linear_layers(model: PreTrainedModel) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


def name_in_4(family: str, name: str) -> str:
    """What transformers 4.57 calls a module of the running release."""
    return moved(name, [(new, old) for old, new in STARTS.get(family, [])], {v: k for k, v in layer(family).items()})


def name_in_5(family: str, name: str) -> str:
    """What transformers 5 calls a module of 4.57."""
    return moved(name, STARTS.get(family, []), layer(family))


def oldest_name(family: str, name: str) -> str:
    """What transformers before 4.52 called a module of 4.57."""
    return moved(name, [(new, old) for old, new in OLDEST[family]], {})


def layer(family: str) -> dict[str, str]:
    if family in DINOS:
        return {name: newer for name, newer in LAYER.items() if name.startswith("attention.")}
    return LAYER if family in VITS else {}


def moved(name: str, starts: list[tuple[str, str]], inner: dict[str, str]) -> str:
    for before, after in starts:
        if name.startswith(before):
            number, dot, rest = name.removeprefix(before).partition(".")
            return f"{after}{number}{dot}{inner.get(rest, rest)}"
    return name
