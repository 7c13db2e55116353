"""Defaults of the processor of composed VLAs by model type: prompts, image tokens, pixel statistics.

Published prompts: Salesforce/blip2-opt-2.7b (its model card; transformers' processor puts image tokens before the begin
token), google/paligemma-3b-pt-224 (transformers, models/paligemma/processing_paligemma.py),
llava-hf/llava-1.5-7b-hf (its model card), Qwen/Qwen2.5-VL-7B-Instruct and Qwen/Qwen3-VL-8B-Instruct (their chat
templates, a single turn without a system text).
"""

from typing import Any

from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

from ...configuration.multimodal_vla.backbone_facts import READS_PATCHES
from ...configuration.vla_errors import ConfigError
from ..image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
from .image_processing_multimodal_vla import MultimodalVLAImageProcessor
from .image_processing_tower import TowerImageProcessor
from .vlm_defaults import GIVE_PROMPT, OWN_PROCESSORS, image_token_id_of

# By the model type of the VLM.
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
PROMPT_TEMPLATES = {
    "blip-2": "{images}{begin}Question: {instruction} Answer:",
    "paligemma": "{images}<bos>{instruction}\n",
    "llava": "USER: {images}\n{instruction} ASSISTANT:",
    **dict.fromkeys(QWEN, "<|im_start|>user\n{images}{instruction}<|im_end|>\n<|im_start|>assistant\n"),
}
IMAGE_FORMATS = dict.fromkeys(QWEN, "<|vision_start|>{image}<|vision_end|>")
ADD_SPECIAL_TOKENS = {"llava": True}  # the tokenizer writes Llama's begin token, the template does not
QWEN_PIXELS = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280}

# By the model type of the vision tower (of Qwen's, that of the VLM): mean and deviation of pixels in 0..1, as weights
# of that kind were published: not always those of transformers' image processor without settings (a DeiT's, a BiT's).
# A `vit` is Google's; DINO's have ImageNet's.
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
CLIP = OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
IMAGENET = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
MEAN_AND_STD = {
    **dict.fromkeys(("beit", "bit", "data2vec-vision", "ijepa", "siglip", "siglip2", "vit"), HALF),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe"), HALF),
    **dict.fromkeys(("blip", "blip_2", "clip", "qwen2_vl", "qwen2_5_vl"), CLIP),
    **dict.fromkeys(("deit", "vit_msn", "dinov2", "dinov2_with_registers", "dinov3_vit", "dinov3_convnext"), IMAGENET),
    **dict.fromkeys(("convnext", "convnextv2", "focalnet", "hiera", "poolformer", "pvt", "pvt_v2"), IMAGENET),
    **dict.fromkeys(("regnet", "resnet", "segformer", "swin", "swinv2", "vitdet"), IMAGENET),
}
WITH_CLASS_TOKEN = ("clip", "vit", "dinov2")


def image_processor_of(config: Any, overrides: dict[str, Any]) -> Any:
    """The image processor of a model's vision tower; takes its own arguments out of `overrides`."""
    vlm = config.vlm_config
    vision = config.vision_config if vlm is None else vlm.vision_config
    if vlm is not None and type(vlm).model_type in QWEN:
        kind, tower = AlpamayoR1ImageProcessor, type(vlm).model_type
        settings = QWEN_PIXELS | {
            "patch_size": vision.patch_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "merge_size": vision.spatial_merge_size,
        }
    elif (patched := getattr(vision, "vision_config", vision)).model_type in READS_PATCHES:
        given = {name: overrides.pop(name) for name in TowerImageProcessor.arguments if name in overrides}
        sizes = {"patch_size": patched.patch_size, "max_num_patches": patched.num_patches}
        return TowerImageProcessor.of_settings({"image_processor_type": "Siglip2ImageProcessor", **sizes}, **given)
    else:
        kind, tower = MultimodalVLAImageProcessor, tower_type(vision)
        settings = {"size": size_of_pictures(config.image_size)}
        if (second_tower := getattr(config, "second_vision_config", None)) is not None:
            settings |= mean_and_std(tower_type(second_tower), "second_image_mean", "second_image_std", overrides)
    settings |= mean_and_std(tower, "image_mean", "image_std", overrides)
    given = {argument: overrides.pop(argument) for argument in kind.arguments if argument in overrides}
    return kind(**{**settings, **given})


def mean_and_std(tower: str, mean: str, std: str, given: dict[str, Any]) -> dict[str, Any]:
    """By the names that they have as arguments. Raises ConfigError for a kind of which none are known nor given."""
    if tower not in MEAN_AND_STD and not {mean, std} <= set(given):
        raise ConfigError(
            f"of vision towers of the kind {tower!r} it is not known with which mean and deviation of pixels they were "
            f"published; pass {mean} and {std}, or take MultimodalVLAProcessor.from_backbones, which reads the tower's "
            "preprocessor_config.json."
        )
    return dict(zip((mean, std), MEAN_AND_STD.get(tower, (None, None)), strict=True))


def size_of_pictures(image_size: Any) -> dict[str, int]:
    """height and width; 224 pixels where the vision tower has no size of its own, as convolutions have none."""
    height, width = image_size if isinstance(image_size, (list, tuple)) else (image_size or 224,) * 2
    return {"height": height, "width": width}


def vlm_prompt(config: Any, tokenizer: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The prompt's arguments for a VLM, as far as they are not given."""
    kind = type(config.vlm_config).model_type  # 4.57.1 gives a Qwen-VL's own attribute that of its language model
    if kind not in PROMPT_TEMPLATES and not {"prompt_template", "image_seq_length"} <= set(given):
        raise ConfigError(
            f"vlm_config.model_type={kind!r} has no default prompt; {GIVE_PROMPT}, and image_seq_length. Defaults are "
            f"there for {', '.join([*PROMPT_TEMPLATES, *OWN_PROCESSORS])}."
        )
    template = PROMPT_TEMPLATES.get(kind)
    settings = {
        "prompt_template": template and template.replace("{begin}", tokenizer.bos_token or ""),
        "image_format": IMAGE_FORMATS.get(kind, "{image}"),
        "add_special_tokens": ADD_SPECIAL_TOKENS.get(kind, False),
    }
    if "image_token" not in given:
        settings["image_token"] = image_token_of(config.vlm_config, tokenizer)
    if kind not in QWEN and "image_seq_length" not in given:
        settings["image_seq_length"] = image_seq_length_of(config)
    return settings


def image_token_of(vlm_config: Any, tokenizer: Any) -> str:
    """The name that the tokenizer has for the VLM's image token. Raises ConfigError where it has none."""
    index = image_token_id_of(vlm_config)
    token = None if index is None else tokenizer.convert_ids_to_tokens(index)
    if token is None:
        raise ConfigError(f"the tokenizer has no token with vlm_config.image_token_id={index}; is it the VLM's?")
    return token


def image_seq_length_of(config: Any) -> int:
    """Image tokens of one view: the patches, in LLaVA the class token unless it is dropped; in BLIP-2 the queries."""
    vlm = config.vlm_config
    patches = (config.image_size // vlm.vision_config.patch_size) ** 2
    if type(vlm).model_type == "blip-2":
        return vlm.num_query_tokens
    if type(vlm).model_type != "llava":
        return patches
    dropped = vlm.vision_feature_select_strategy == "default"
    return patches + (tower_type(vlm.vision_config) in WITH_CLASS_TOKEN) - dropped


def tower_type(vision_config: Any) -> str:
    """Model type of a vision tower, the same for the tower alone and for the model it is a part of."""
    return vision_config.model_type.removesuffix("_vision_model")
