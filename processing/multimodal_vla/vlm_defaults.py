"""Defaults of VLMs whose own processor prepares prompts and images: a row a model type.

Prompts without a chat template are those of the published checkpoints' model cards and chat templates (google/gemma-3,
OpenGVLab/InternVL3-hf, HuggingFaceM4/Idefics3, HuggingFaceTB/SmolVLM2, llava-hf/llava-v1.6-mistral-7b-hf,
llava-hf/llava-onevision-qwen2, mistral-community/pixtral-12b, CohereLabs/aya-vision, llava-hf/vip-llava-7b-hf); begin
tokens are the tokenizer's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

GIVE_PROMPT = "give prompt_template, with '{images}' and '{instruction}' in it"
# Pixels in 0..1, where a VLM was trained with others than its image processor's defaults.
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CLIP = {"image_mean": list(OPENAI_CLIP_MEAN), "image_std": list(OPENAI_CLIP_STD)}
JANUS_TOKENS = 576
IMAGENET = {"image_mean": list(IMAGENET_DEFAULT_MEAN), "image_std": list(IMAGENET_DEFAULT_STD)}


class OwnProcessor(NamedTuple):
    """Of one model type, for a caller who has the VLM's tokenizer alone.

    Attributes:
        processor, image_processor: classes of transformers, the latter without its backend.
        settings, image_settings: their arguments, of the VLM's config.
        prompt_template, image_format: see `MultimodalVLAProcessor`; for a VLM without a chat template.
        placeholder: attribute of the processor that is written for an image.
    """

    processor: str
    image_processor: str
    settings: Callable[[Any], dict[str, Any]]
    image_settings: Callable[[Any], dict[str, Any]]
    prompt_template: str
    image_format: str = "{image}"
    placeholder: str = "image_token"


def square(size: int | list[int]) -> dict[str, int]:
    """height and width of images."""
    height, width = (size, size) if isinstance(size, int) else size
    return {"height": height, "width": width}


def split_images(vlm: Any) -> dict[str, Any]:
    """Idefics 3 cuts a picture, enlarged to four tiles at most along a side, into tiles of the tower's size."""
    size = vlm.vision_config.image_size
    return {"size": {"longest_edge": 4 * size}, "max_image_size": {"longest_edge": size}}


def tokens_of_tile(vlm: Any) -> dict[str, Any]:
    """Image tokens of a tile behind the pixel shuffle of Idefics 3."""
    side = vlm.vision_config.image_size // vlm.vision_config.patch_size
    return {"image_seq_len": side**2 // vlm.scale_factor**2}


def merged_patches(vlm: Any) -> dict[str, Any]:
    """Pixtral's patches, and how many of them along a side become a token."""
    return {"patch_size": vlm.vision_config.patch_size, "spatial_merge_size": getattr(vlm, "spatial_merge_size", 1)}


PIXTRAL = OwnProcessor(
    "PixtralProcessor",
    "PixtralImageProcessor",
    merged_patches,
    lambda vlm: {
        "patch_size": square(vlm.vision_config.patch_size),
        "size": {"longest_edge": vlm.vision_config.image_size},
    },
    "[INST]{images}{instruction}[/INST]",
)
IDEFICS3 = OwnProcessor(
    "Idefics3Processor",
    "Idefics3ImageProcessor",
    tokens_of_tile,
    split_images,
    "User:{images}{instruction}<end_of_utterance>\nAssistant:",
)
CHATML = "<|im_start|>user\n{images}{instruction}<|im_end|>\n<|im_start|>assistant\n"
COHERE = (
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{images}{instruction}<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
)


def tokens_of_square(vlm: Any) -> dict[str, Any]:
    """Image tokens of a view, one for each patch."""
    return {"num_image_tokens": (vlm.vision_config.image_size // vlm.vision_config.patch_size) ** 2}


def janus_tokens(vlm: Any) -> dict[str, Any]:
    """The same of Janus, whose processor on 4.57 knows no other number than that of the published models."""
    found = tokens_of_square(vlm)
    return {} if found["num_image_tokens"] == JANUS_TOKENS else found


OWN_PROCESSORS = {
    "aya_vision": OwnProcessor(
        "AyaVisionProcessor",
        "GotOcr2ImageProcessor",
        lambda vlm: {
            "patch_size": vlm.vision_config.patch_size,
            "img_size": vlm.vision_config.image_size,
            "downsample_factor": vlm.downsample_factor,
        },
        lambda vlm: {"size": square(vlm.vision_config.image_size), **HALF},
        COHERE,
    ),
    "cohere2_vision": OwnProcessor(
        "Cohere2VisionProcessor",
        "Cohere2VisionImageProcessor",
        lambda vlm: {},
        lambda vlm: {
            "size": square(vlm.vision_config.image_size),
            # what Cohere calls so is the tokens of a tile along a side
            "patch_size": vlm.vision_config.image_size // vlm.vision_config.patch_size // vlm.downsample_factor,
        },
        COHERE,
    ),
    "deepseek_vl": OwnProcessor(
        "DeepseekVLProcessor",
        "DeepseekVLImageProcessor",
        tokens_of_square,
        lambda vlm: {"size": square(vlm.vision_config.image_size), **CLIP},
        "User: {images}{instruction}\n\nAssistant:",
    ),
    "gemma3": OwnProcessor(
        "Gemma3Processor",
        "Gemma3ImageProcessor",
        lambda vlm: {"image_seq_length": vlm.mm_tokens_per_image},
        lambda vlm: {"size": square(vlm.vision_config.image_size)},
        "<start_of_turn>user\n{images}{instruction}<end_of_turn>\n<start_of_turn>model\n",
        placeholder="boi_token",
    ),
    "glm4v": OwnProcessor(
        "Glm4vProcessor",
        "Glm4vImageProcessor",
        lambda vlm: {},
        lambda vlm: {
            "patch_size": vlm.vision_config.patch_size,
            "temporal_patch_size": vlm.vision_config.temporal_patch_size,
            "merge_size": vlm.vision_config.spatial_merge_size,
        },
        "[gMASK]<sop><|user|>\n{images}{instruction}<|assistant|>\n",
        image_format="<|begin_of_image|>{image}<|end_of_image|>",
    ),
    "idefics3": IDEFICS3,
    "internvl": OwnProcessor(
        "InternVLProcessor",
        "GotOcr2ImageProcessor",
        lambda vlm: {"image_seq_length": vlm.image_seq_length},
        lambda vlm: {"size": square(vlm.vision_config.image_size), **IMAGENET},
        CHATML,
        image_format="{image}\n",
    ),
    "janus": OwnProcessor(
        "JanusProcessor",
        "JanusImageProcessor",
        janus_tokens,
        lambda vlm: {"size": square(vlm.vision_config.image_size), **HALF},
        "<|User|>: {images}{instruction}\n\n<|Assistant|>:",
        image_format="{image}\n",
    ),
    "llava_next": OwnProcessor(
        "LlavaNextProcessor",
        "LlavaNextImageProcessor",
        lambda vlm: {
            "patch_size": vlm.vision_config.patch_size,
            "vision_feature_select_strategy": vlm.vision_feature_select_strategy,
            "num_additional_image_tokens": int(vlm.vision_config.model_type.startswith("clip")),
        },
        lambda vlm: {
            "size": {"shortest_edge": vlm.vision_config.image_size},
            "crop_size": square(vlm.vision_config.image_size),
            "image_grid_pinpoints": vlm.image_grid_pinpoints,
        },
        "[INST] {images}{instruction} [/INST]",
        image_format="{image}\n",
    ),
    "llava_onevision": OwnProcessor(
        "LlavaOnevisionProcessor",
        "LlavaOnevisionImageProcessor",
        lambda vlm: {
            "num_image_tokens": (vlm.vision_config.image_size // vlm.vision_config.patch_size) ** 2,
            "vision_feature_select_strategy": vlm.vision_feature_select_strategy,
            "vision_aspect_ratio": vlm.vision_aspect_ratio,
        },
        lambda vlm: {
            "size": square(vlm.vision_config.image_size),
            "image_grid_pinpoints": vlm.image_grid_pinpoints,
            **HALF,
        },
        "<|im_start|>user {images}\n{instruction}<|im_end|><|im_start|>assistant\n",
    ),
    "llama4": OwnProcessor(
        "Llama4Processor",
        "Llama4ImageProcessor",
        lambda vlm: {
            "patch_size": vlm.vision_config.patch_size,
            "pixel_shuffle_ratio": vlm.vision_config.pixel_shuffle_ratio,
        },
        lambda vlm: {"size": square(vlm.vision_config.image_size), **HALF},
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\n{images}{instruction}<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n",
        placeholder="fake_image_token",
    ),
    "minicpmv4_6": OwnProcessor(
        "MiniCPMV4_6Processor",
        "MiniCPMV4_6ImageProcessor",
        lambda vlm: {},
        lambda vlm: {"patch_size": vlm.vision_config.patch_size, "downsample_mode": vlm.downsample_mode},
        CHATML,
        image_format="{image}\n",
    ),
    "mistral3": PIXTRAL,
    "mllama": OwnProcessor(
        "MllamaProcessor",
        "MllamaImageProcessor",
        lambda vlm: {},
        lambda vlm: {
            "size": square(vlm.vision_config.image_size),
            "max_image_tiles": vlm.vision_config.max_num_tiles,
            **CLIP,
        },
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{images}{instruction}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "smolvlm": IDEFICS3._replace(
        processor="SmolVLMProcessor",
        image_processor="SmolVLMImageProcessor",
        prompt_template="<|im_start|>User:{images}{instruction}<end_of_utterance>\nAssistant:",
    ),
    "vipllava": OwnProcessor(
        "LlavaProcessor",
        "CLIPImageProcessor",
        lambda vlm: {
            "patch_size": vlm.vision_config.patch_size,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
        lambda vlm: {
            "size": {"shortest_edge": vlm.vision_config.image_size},
            "crop_size": square(vlm.vision_config.image_size),
        },
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions.###Human: {images}{instruction}###Assistant:",
        image_format="{image}\n",
    ),
}


def own_processor_row(vlm_config: Any) -> OwnProcessor | None:
    """The row of a VLM; `None`: this package prepares its prompts and images itself."""
    if getattr(getattr(vlm_config, "vision_config", None), "model_type", None) == "pixtral":
        return PIXTRAL
    return OWN_PROCESSORS.get(type(vlm_config).model_type)


def image_token_id_of(vlm_config: Any) -> int | None:
    """Under either of its names; `None`: there is none."""
    index = getattr(vlm_config, "image_token_id", None)
    return getattr(vlm_config, "image_token_index", None) if index is None else index
