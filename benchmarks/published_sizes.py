"""The models of the families at the published sizes, and inputs of theirs; and the same much smaller, for a CPU."""

from functools import partial

import torch

from vlahub import (
    AlpamayoR1,
    AlpamayoR1Config,
    CogVLAConfig,
    CogVLAForActionPrediction,
    MapAnythingLlava3DConfig,
    MapAnythingLlava3DForConditionalGeneration,
)

STATISTICS = {"benchmark": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}}}
PROMPT = 40  # tokens; with those of images and history a multiple of 8, so that none is padded to a bucket of 8
IMAGES, GRID = 16, (1, 20, 36)  # of a scene, in patches: 320 by 576 pixels
OFT_FORM = {"use_lfp": False, "use_film": False, "use_aggr": False, "action_attention": "bidirectional"}

SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL_COGVLA = {
    "text_config": {**SMALL, "vocab_size": 32064},
    "featurizer_config": SMALL_TOWER,
    "fused_featurizer_config": {
        **SMALL_TOWER,
        "num_registers": 0,
        "has_class_token": False,
        "has_layer_scale": False,
    },
}
SMALL_LLAVA3D = {
    "text_config": {**SMALL, "vocab_size": 32000},
    "vision_config": {**SMALL_TOWER, "image_size": 224, "patch_size": 14},
    "geometry_config": {
        **SMALL_TOWER,
        "image_size": 224,
        "info_sharing_hidden_size": 32,
        "info_sharing_num_hidden_layers": 2,
        "info_sharing_num_attention_heads": 2,
        "info_sharing_intermediate_size": 48,
    },
}
MARKERS = ("history", "future", "history_start", "future_start", "history_end", "future_end")
SMALL_ALPAMAYO = {
    "vlm_config": {
        "image_token_id": 299,
        "vision_start_token_id": 298,
        "video_token_id": 297,
        "vision_end_token_id": 296,
        "text_config": {
            **SMALL,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "rope_theta": 5e6,
            "rope_scaling": {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True},
        },
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "depth": 2,
            "num_heads": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0],
        },
    },
    "expert_cfg": {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "head_dim": 16},
    "vocab_size": 300,
    "traj_token_start_idx": 100,
    "traj_vocab_size": 160,
    "traj_tokenizer_cfg": {"num_bins": 100},
    "hist_traj_tokenizer_cfg": {"num_bins": 60},
    "traj_token_ids": dict(zip(MARKERS, range(290, 296), strict=True)),
    "action_in_proj_cfg": {"hidden_size": 32, "num_enc_layers": 2, "max_freq": 100.0, "num_fourier_feats": 8},
}


def cogvla(small: bool, **options) -> CogVLAForActionPrediction:
    """Two images, eight actions of seven numbers, L1 head."""
    sizes = SMALL_COGVLA if small else {}
    return CogVLAForActionPrediction(CogVLAConfig(num_images_in_input=2, norm_stats=STATISTICS, **sizes, **options))


def cogvla_inputs(model: CogVLAForActionPrediction, batch: int) -> dict[str, torch.Tensor]:
    return robot_inputs(model, ids(batch, PROMPT), (2, 6))


def llava3d(small: bool) -> MapAnythingLlava3DForConditionalGeneration:
    """Llama 7B and an expert half as wide; with geometry."""
    sizes = SMALL_LLAVA3D if small else {}
    return MapAnythingLlava3DForConditionalGeneration(MapAnythingLlava3DConfig(norm_stats=STATISTICS, **sizes))


def llava3d_inputs(model: MapAnythingLlava3DForConditionalGeneration, batch: int) -> dict[str, torch.Tensor]:
    """256 image tokens and the prompt."""
    image = torch.full((batch, 256), model.config.image_token_id)
    return robot_inputs(model, torch.cat([image, ids(batch, PROMPT)], dim=1), (1, 3))


def robot_inputs(model, input_ids: torch.Tensor, views: tuple[int, int]) -> dict[str, torch.Tensor]:
    """As of a processor, whose prompts have a mask; without one attention would be another kernel than that of graphs,
    which have one in any case."""
    pixels = torch.rand(len(input_ids), *views, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    prompt = {"input_ids": input_ids.to(model.device), "attention_mask": torch.ones_like(input_ids).to(model.device)}
    return prompt | {"pixel_values": pixels.to(model.device, model.dtype)}


def ids(*shape: int, end: int = 29000) -> torch.Tensor:
    return torch.randint(3, end, shape, generator=torch.Generator().manual_seed(0))


def alpamayo(small: bool) -> AlpamayoR1:
    return AlpamayoR1(AlpamayoR1Config(**(SMALL_ALPAMAYO if small else {})))


def scene_sizes(small: bool) -> tuple[int, tuple[int, int, int]]:
    """How many images, and the patches of each."""
    return (2, (1, 4, 8)) if small else (IMAGES, GRID)


def alpamayo_inputs(model: AlpamayoR1, small: bool) -> dict[str, torch.Tensor]:
    """Images, history and text, 3,152 tokens at the published sizes; a car that drives straight on."""
    images, grid = scene_sizes(small)
    config, vlm = model.config, model.config.vlm_config
    image = [vlm.vision_start_token_id] + [vlm.image_token_id] * (grid[1] * grid[2] // 4)
    history = [config.traj_token_ids["history"]] * config.tokens_per_history_traj
    text = ids(-(len(image) * images + len(history)) % 8 + 208, end=config.traj_token_start_idx).tolist()
    xyz = torch.zeros(1, 16, 3)
    xyz[0, :, 0] = torch.linspace(-7.5, 0, 16)
    patches = torch.randn(images * grid[1] * grid[2], 1536, generator=torch.Generator().manual_seed(0))
    prompt = torch.tensor([image * images + history + text], device=model.device)
    return {
        "input_ids": prompt,
        "attention_mask": torch.ones_like(prompt),
        "pixel_values": patches.to(model.device, model.dtype),
        "image_grid_thw": torch.tensor([grid] * images),
        "ego_history_xyz": xyz.to(model.device),
        "ego_history_rot": torch.eye(3, device=model.device).expand(1, 16, 3, 3),
    }


MODELS = {
    "cogvla": cogvla,
    "cogvla without LFP": partial(cogvla, use_lfp=False),
    "cogvla in OFT form": partial(cogvla, **OFT_FORM),
    "llava3d": llava3d,
    "alpamayo": alpamayo,
}
