"""Tiny vision towers and text encoders of every kind that a composed VLA may have."""

from tiny_configs import BLOCK, TOWER
from tiny_text_models import tiny_text_config
from transformers import AutoConfig

TOWER = {**TOWER, "patch_size": 16}
STAGES = {"hidden_sizes": [8, 24], "depths": [1, 1]}
SWIN = {"image_size": 28, "patch_size": 2, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 7}
PYRAMID = {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "num_attention_heads": [1, 2]}
PYRAMID |= {"hidden_sizes": [8, 24], "mlp_ratios": [2, 2]}
TOWERS = {  # the number of tokens of a view of 64 pixels, and the fields of the config
    "beit": (17, {**TOWER, "use_absolute_position_embeddings": True}),
    "bit": (64, {**STAGES, "embedding_size": 8, "num_groups": 4}),
    "clip_vision_model": (17, TOWER),
    "convnext": (64, {**STAGES, "num_stages": 2}),
    "convnextv2": (64, {**STAGES, "num_stages": 2}),
    "data2vec-vision": (17, TOWER),
    "deit": (18, TOWER),
    "dinov2": (17, {**TOWER, "mlp_ratio": 2}),
    "dinov2_with_registers": (19, {**TOWER, "mlp_ratio": 2, "num_register_tokens": 2}),
    "dinov3_convnext": (5, {"hidden_sizes": [8, 8, 16, 24], "depths": [1, 1, 1, 1]}),
    "dinov3_vit": (20, {**TOWER, "num_register_tokens": 3}),
    "focalnet": (256, {**STAGES, "patch_size": 2, "embed_dim": 12}),
    "hiera": (64, {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2], "num_query_pool": 1}),
    "ijepa": (16, TOWER),
    "poolformer": (64, {**STAGES, "num_encoder_blocks": 2, "mlp_ratio": 2.0}),
    "pvt_v2": (64, PYRAMID),
    "regnet": (64, {**STAGES, "embedding_size": 8, "groups_width": 8}),
    "resnet": (64, {**STAGES, "embedding_size": 8, "layer_type": "basic"}),
    "segformer": (64, PYRAMID),
    "siglip_vision_model": (16, TOWER),
    "swin": (256, SWIN),
    "swinv2": (256, SWIN),
    "vit": (17, TOWER),
    "vit_msn": (17, TOWER),
    "vitdet": (16, {**TOWER, "pretrain_image_size": 64, "window_block_indices": []}),
}

T5 = {"d_model": 32, "d_ff": 48, "d_kv": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 300}
TEXTS = {
    **dict.fromkeys(("t5", "mt5", "umt5"), T5),
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2, "vocab_size": 300},
    "bert": {"hidden_size": 32, **BLOCK, "vocab_size": 300, "max_position_embeddings": 64},
}


def tower_config(kind):
    """For views of 64 pixels, where the tower has a size."""
    size = getattr(AutoConfig.for_model(kind), "image_size", None)
    size = {} if size is None else {"image_size": 64 if isinstance(size, int) else [64, 64]}
    return AutoConfig.for_model(kind, **{**TOWERS[kind][1], **size})


def encoder_config(kind):
    return AutoConfig.for_model(kind, **TEXTS[kind]) if kind in TEXTS else tiny_text_config(kind)
