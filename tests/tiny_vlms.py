"""Tiny VLMs of transformers with random weights, and their real processors around tiny tokenizers: a builder a type.

`TINY_VLMS[model_type]` is the builder; it returns the VLM's config (a dict) and its processor. Pictures of any size may
be given; those that a VLM cuts into tiles are cut at 28 pixels.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from vlahub.processing.multimodal_vla.image_processing_vlm import made, without_parts, without_videos
from vlahub.processing.multimodal_vla.own_classes_of_vlms import image_processor_class, processor_class

SENTENCES = "pick up put the red green bowl cube on in to left right : here is an image"
WORDS = [*SENTENCES.split(), "user", "assistant", "User", "Assistant"]
NAMES = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
VOCABULARY = 160
SIZE = 28
NEWER = not transformers.__version__.startswith("4.")
BLOCK = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {"hidden_size": 32, **BLOCK, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": VOCABULARY}
TEXT |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {"model_type": "llama", **TEXT}
TOWER = {"hidden_size": 24, **BLOCK, "image_size": SIZE, "patch_size": 14}
CLIP = {"model_type": "clip_vision_model", **TOWER, "num_hidden_layers": 3}
SIGLIP = {"model_type": "siglip_vision_model", **TOWER}
GRID = [[SIZE, 2 * SIZE], [2 * SIZE, SIZE], [2 * SIZE, 2 * SIZE]]
SQUARE = {"height": SIZE, "width": SIZE}


def tokenizer_with(*tokens: str, **named: str) -> PreTrainedTokenizerFast:
    """A tokenizer of words, special tokens, and those that are attributes of it by a name (`image_token="<image>"`)."""
    words = [*NAMES.values(), *WORDS]
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    model.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        model_input_names=["input_ids", "attention_mask"],
        extra_special_tokens=named,
        **NAMES,
    )
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    return tokenizer


def processor_of(kind: str, image_kind: str, tokenizer: Any, image_settings: dict, **settings: Any) -> Any:
    """The processor `kind` of transformers without its videos, around an image processor of PIL."""
    images = made(image_processor_class(image_kind, use_torchvision=False), image_settings)
    own = without_videos(processor_class(kind))
    return own(image_processor=images, tokenizer=tokenizer, **without_parts(own, images), **settings)


def aya_vision():
    tokenizer = tokenizer_with("<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "TILE", "TILE_GLOBAL")
    config = {"text_config": {"model_type": "cohere2", **TEXT}, "vision_config": SIGLIP, "downsample_factor": 1}
    config |= {"image_token_index": tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>")}
    images = {"size": SQUARE, "max_patches": 4}
    return config, processor_of(
        "AyaVisionProcessor", "GotOcr2ImageProcessor", tokenizer, images, patch_size=14, img_size=SIZE
    )


def gemma3():
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = tokenizer_with("<start_of_turn>", "<end_of_turn>", **named)
    layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}
    index = tokenizer.convert_tokens_to_ids
    config = {"text_config": {"model_type": "gemma3_text", **TEXT, **layers}, "vision_config": SIGLIP}
    config |= {"mm_tokens_per_image": 4, "boi_token_index": index("<start_of_image>")}
    config |= {"eoi_token_index": index("<end_of_image>"), "image_token_index": index("<image_soft_token>")}
    return config, processor_of(
        "Gemma3Processor", "Gemma3ImageProcessor", tokenizer, {"size": SQUARE}, image_seq_length=4
    )


def idefics3(kind="idefics3"):
    tags = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
    tokenizer = tokenizer_with(
        "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *tags, "<|im_start|>"
    )
    config = {
        "text_config": {**LLAMA, "vocab_size": VOCABULARY},
        "vision_config": {"model_type": f"{kind}_vision", **TOWER},
        "scale_factor": 2,
        "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        "pad_token_id": 0,
    }
    images = {"size": {"longest_edge": 2 * SIZE}, "max_image_size": {"longest_edge": SIZE}}
    return config, processor_of("Idefics3Processor", "Idefics3ImageProcessor", tokenizer, images, image_seq_len=1)


def smolvlm():
    """With the processor of Idefics 3, which writes the same, and without its packages (num2words, torchvision)."""
    config, processor = idefics3("smolvlm")
    images, settings = processor.image_processor.to_dict(), {"image_seq_len": 1}
    return config, processor_of("SmolVLMProcessor", "SmolVLMImageProcessor", processor.tokenizer, images, **settings)


def internvl():
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", **named, video_token="<video>")
    text = {**TEXT, "model_type": "qwen2"}
    vision = {"model_type": "internvl_vision", **TOWER, "image_size": [SIZE, SIZE], "patch_size": [14, 14]}
    config = {"text_config": text, "vision_config": vision, "downsample_ratio": 0.5, "image_seq_length": 1}
    config |= {"image_token_id": tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")}
    images = {"size": SQUARE, "max_patches": 4}
    return config, processor_of("InternVLProcessor", "GotOcr2ImageProcessor", tokenizer, images, image_seq_length=1)


def llava_next():
    tokenizer = tokenizer_with("<image>", "[INST]", "[/INST]")
    config = {"text_config": LLAMA, "vision_config": CLIP, "image_grid_pinpoints": GRID}
    config |= {"image_token_index": tokenizer.convert_tokens_to_ids("<image>")}
    images = {"size": {"shortest_edge": SIZE}, "crop_size": SQUARE, "image_grid_pinpoints": GRID}
    settings = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return config, processor_of("LlavaNextProcessor", "LlavaNextImageProcessor", tokenizer, images, **settings)


def llava_onevision():
    tokenizer = tokenizer_with("<image>", "<video>", "<|im_start|>", "<|im_end|>")
    config = {"text_config": {**TEXT, "model_type": "qwen2"}, "vision_config": SIGLIP, "image_grid_pinpoints": GRID}
    config |= {"image_token_index": tokenizer.convert_tokens_to_ids("<image>"), "vision_feature_layer": -1}
    config |= {"video_token_index": tokenizer.convert_tokens_to_ids("<video>")}
    config |= {"vision_feature_select_strategy": "full"}
    images = {"size": SQUARE, "image_grid_pinpoints": GRID}
    settings = {"num_image_tokens": 4, "vision_feature_select_strategy": "full"}
    name = "LlavaOnevision"
    return config, processor_of(f"{name}Processor", f"{name}ImageProcessor", tokenizer, images, **settings)


def mistral_tokenizer():
    return tokenizer_with("[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]")


def mistral3():
    tokenizer = mistral_tokenizer()
    vision = {"model_type": "pixtral", **TOWER, "image_size": 2 * SIZE, "head_dim": 12}
    config = {"text_config": {"model_type": "mistral", **TEXT}, "vision_config": vision, "spatial_merge_size": 2}
    config |= {"image_token_index": tokenizer.convert_tokens_to_ids("[IMG]"), "vision_feature_layer": -1}
    images = {"patch_size": {"height": 14, "width": 14}, "size": {"longest_edge": 2 * SIZE}}
    settings = {"patch_size": 14, "spatial_merge_size": 2}
    return config, processor_of("PixtralProcessor", "PixtralImageProcessor", tokenizer, images, **settings)


def pixtral():
    config, processor = mistral3()
    del config["spatial_merge_size"]
    config |= {"model_type": "llava", "vision_feature_select_strategy": "full"}
    processor.spatial_merge_size = 1
    return config, processor


def vipllava():
    tokenizer = tokenizer_with("<image>")
    config = {"text_config": LLAMA, "vision_config": CLIP, "vision_feature_layers": [-2, -1]}
    config |= {"image_token_index": tokenizer.convert_tokens_to_ids("<image>")}
    images = {"size": {"shortest_edge": SIZE}, "crop_size": SQUARE}
    settings = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return config, processor_of("LlavaProcessor", "CLIPImageProcessor", tokenizer, images, **settings)


def deepseek_vl():
    tokenizer = tokenizer_with("User:", "Assistant:", image_token="<image_placeholder>")
    config = {"text_config": LLAMA, "vision_config": SIGLIP}
    config |= {"image_token_id": tokenizer.convert_tokens_to_ids("<image_placeholder>")}
    images = {"size": SQUARE, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return config, processor_of(
        "DeepseekVLProcessor", "DeepseekVLImageProcessor", tokenizer, images, num_image_tokens=4
    )


def janus():
    named = {"image_token": "<image_placeholder>", "boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = tokenizer_with("<|User|>:", "<|Assistant|>:", **named)
    vision = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2.0}
    vision |= {"image_size": 48, "patch_size": 2, "projection_dim": 32}  # 576 tokens: 4.57 knows no other number
    codes = {"embed_dim": 4, "num_embeddings": 8, "latent_channels": 32, "base_channels": 32, "num_res_blocks": 1}
    codes |= {"channel_multiplier": [1, 1], "projection_dim": 32, "image_token_embed_dim": 32}
    config = {"text_config": LLAMA, "vision_config": vision, "vq_config": codes}
    config |= {"image_token_id": tokenizer.convert_tokens_to_ids("<image_placeholder>")}
    images = {"size": {"height": 48, "width": 48}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return config, processor_of("JanusProcessor", "JanusImageProcessor", tokenizer, images)


def glm4v():
    tokens = ["<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"]
    tokenizer = tokenizer_with(*tokens, "<|user|>", "<|assistant|>", image_token="<|image|>", video_token="<|video|>")
    text = {**TEXT, "model_type": "glm4v_text", "partial_rotary_factor": 0.5}
    text |= {"rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1]}}
    del text["head_dim"]
    vision = {"hidden_size": 24, "depth": 2, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 32}
    vision |= {"image_size": 4 * SIZE, "patch_size": 14, "spatial_merge_size": 2}
    index = tokenizer.convert_tokens_to_ids
    config = {"text_config": text, "vision_config": vision, "image_token_id": index("<|image|>")}
    config |= {"video_token_id": index("<|video|>"), "image_start_token_id": index(tokens[0])}
    config |= {"image_end_token_id": index(tokens[1]), "video_start_token_id": index(tokens[2])}
    config |= {"video_end_token_id": index(tokens[3])}
    images = {"size": {"shortest_edge": 28 * 28 * 2, "longest_edge": 28 * 28 * 16}}
    return config, processor_of("Glm4vProcessor", "Glm4vImageProcessor", tokenizer, images)


def qwen3_vl_moe():
    tokens = ["<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = tokenizer_with(*tokens, image_token="<|image_pad|>", video_token="<|video_pad|>")
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = {**TEXT, "model_type": "qwen3_vl_moe_text", "rope_scaling": rope, "moe_intermediate_size": 24}
    text |= {"num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": []}
    vision = {"hidden_size": 24, "depth": 2, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 32}
    vision |= {"patch_size": 14, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    index = tokenizer.convert_tokens_to_ids
    config = {"text_config": text, "vision_config": vision, "image_token_id": index("<|image_pad|>")}
    config |= {"video_token_id": index("<|video_pad|>"), "vision_start_token_id": index(tokens[0])}
    config |= {"vision_end_token_id": index(tokens[1])}
    images = {"size": {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 8}, "patch_size": 14}
    return config, processor_of("Qwen3VLProcessor", "Qwen2VLImageProcessor", tokenizer, images)


def mllama():
    tokens = ["<|python_tag|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    fill = [f"<|reserved_{i}|>" for i in range(VOCABULARY - len(tokenizer_with(*tokens)))]
    tokenizer = tokenizer_with(*tokens, *fill, "<|image|>")  # behind the vocabulary: embeddings have eight rows more
    text = {**TEXT, "model_type": "mllama_text_model", "num_hidden_layers": 4, "cross_attention_layers": [1, 3]}
    if NEWER:
        text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    else:
        text |= {"rope_scaling": {"rope_type": "default"}, "rope_theta": 1e4}
    del text["head_dim"]
    vision = {"hidden_size": 24, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2}
    vision |= {"intermediate_size": 48, "image_size": SIZE, "patch_size": 14, "max_num_tiles": 4}
    vision |= {"intermediate_layers_indices": [0], "vision_output_dim": 48}
    vision |= {"supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]}
    config = {"text_config": text, "vision_config": vision}
    config |= {"image_token_index": tokenizer.convert_tokens_to_ids("<|image|>")}
    return config, processor_of("MllamaProcessor", "MllamaImageProcessor", tokenizer, {"size": SQUARE})


def blip_2():
    """With its tokenizer alone: its processor knows one picture a prompt."""
    tokenizer = tokenizer_with("<image>")
    text = {"model_type": "opt", "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"word_embed_proj_dim": 32, "vocab_size": VOCABULARY, "max_position_embeddings": 128, "pad_token_id": 0}
    vision = {**TOWER, "initializer_range": 0.02}
    qformer = {"hidden_size": 24, **BLOCK, "cross_attention_frequency": 1}
    config = {"text_config": text, "vision_config": vision, "qformer_config": qformer, "num_query_tokens": 3}
    return config | {"image_token_index": tokenizer.convert_tokens_to_ids("<image>")}, tokenizer


def llama4():
    """Without its processor, which needs torchvision on both lines."""
    tokenizer = llama4_tokenizer()
    text = {**TEXT, "model_type": "llama4_text", "intermediate_size_mlp": 48, "num_local_experts": 2}
    text |= {"moe_layers": [1], "attention_chunk_size": 64, "no_rope_layers": [1, 0]}
    vision = {**TOWER, "vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32}
    vision |= {"intermediate_size": 96, "pixel_shuffle_ratio": 0.5, "image_size": 2 * SIZE}
    config = {"text_config": text, "vision_config": vision}
    return config | {"image_token_index": tokenizer.convert_tokens_to_ids("<|patch|>")}, None


def llama4_tokenizer():
    return tokenizer_with("<|image_start|>", "<|image_end|>", "<|image|>", "<|patch|>", "<|header_start|>", "<|eot|>")


def minicpmv4_6():
    parts = ("image", "video", "image_start", "image_end", "slice_start", "slice_end", "image_id_start", "image_id_end")
    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", **{f"{part}_token": f"<|{part}|>" for part in parts})
    text = {**TEXT, "model_type": "qwen3_5_text", "num_key_value_heads": 1, "linear_num_key_heads": 2}
    text |= {"linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
    text |= {"layer_types": ["linear_attention", "full_attention"], "tie_word_embeddings": False}
    vision = {**TOWER, "image_size": 4 * SIZE, "insert_layer_id": 0}
    config = {"text_config": text, "vision_config": vision, "insert_layer_id": 0}
    config |= {"image_token_id": tokenizer.image_token_id, "video_token_id": tokenizer.video_token_id}
    images = {"max_slice_nums": 2, "scale_resolution": 2 * SIZE, "patch_size": 14}
    return config, processor_of("MiniCPMV4_6Processor", "MiniCPMV4_6ImageProcessor", tokenizer, images)


TINY_VLMS: dict[str, Callable[[], tuple[dict[str, Any], Any]]] = {
    builder.__name__.replace("blip_2", "blip-2"): builder
    for builder in (
        *(aya_vision, gemma3, idefics3, internvl, llava_next, llava_onevision, mistral3, pixtral, smolvlm, vipllava),
        *(blip_2, deepseek_vl, glm4v, janus, llama4, mllama, qwen3_vl_moe),
        *((minicpmv4_6,) if NEWER else ()),
    )
}


def tiny_vlm(kind: str) -> tuple[dict[str, Any], Any]:
    """The config of a VLM, with its `model_type`, and its processor."""
    config, processor = TINY_VLMS[kind]()
    return {"model_type": kind, **config}, processor


def layout_of(vlm_config: Any, samples: list, texts: list[str], side: str) -> dict:
    """Inputs of a VLM with a Pixtral tower as they are documented, where its processor cannot be had.

    Pictures of any size, filled up to the largest, beside their `image_sizes`; a token for each merged patch, a break
    behind each of its rows and an end behind the picture.
    """
    if vlm_config.model_type == "llama4":
        return llama4_layout(vlm_config, samples, texts, side)
    merged = 14 * getattr(vlm_config, "spatial_merge_size", 1)
    tokenizer = mistral_tokenizer()
    sizes = [[(len(v) // merged * merged, v.shape[1] // merged * merged) for v in views] for views in samples]
    rows = []
    for views, text in zip(sizes, texts, strict=True):
        grids = [("[IMG]" * (width // merged) + "[IMG_BREAK]") * (height // merged) for height, width in views]
        pictures = "".join(grid.removesuffix("[IMG_BREAK]") + "[IMG_END]" for grid in grids)
        rows.append(f"[INST]{pictures}{text}[/INST]")
    flat = [size for views in sizes for size in views]
    pixels = torch.zeros(len(flat), 3, *(max(size) for size in zip(*flat, strict=True)))
    for place, (height, width), view in zip(pixels, flat, [v for views in samples for v in views], strict=True):
        place[:, :height, :width] = torch.from_numpy(view[:height, :width].copy()).permute(2, 0, 1) / 127.5 - 1
    found = tokenizer(rows, padding=True, padding_side=side, return_tensors="pt")
    return {**found, "pixel_values": pixels, "image_sizes": torch.tensor(flat)}


def llama4_layout(vlm_config: Any, samples: list, texts: list[str], side: str) -> dict:
    """The same of Llama 4: each picture is one tile of the tower's size, four patches of which are a token."""
    size, tokenizer = vlm_config.vision_config.image_size, llama4_tokenizer()
    view = "<|image_start|><|image|>" + "<|patch|>" * (size // 28) ** 2 + "<|image_end|>"
    rows = [f"<|header_start|> {view * len(views)} {text} <|eot|>" for views, text in zip(samples, texts, strict=True)]
    pixels = [torch.from_numpy(v[:size, :size].copy()).permute(2, 0, 1) / 127.5 - 1 for views in samples for v in views]
    pixels = [F.interpolate(one[None], (size, size))[0] for one in pixels]
    return {
        **tokenizer(rows, padding=True, padding_side=side, return_tensors="pt"),
        "pixel_values": torch.stack(pixels),
    }
