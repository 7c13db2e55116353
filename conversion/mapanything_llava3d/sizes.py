"""Sizes of the parts of a LLaVA-3D checkpoint, from their tensors; a config.json adds what no shape shows."""

import math
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from ...configuration.mapanything_llava3d.configuration_mapanything import (
    MapAnythingGeometryConfig,
    infer_geometry_config,
)
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ..tensors.collected import Collected
from ..tensors.plan import Fact
from .geometry_heads import CHANNELS, SOME_WIDTH, has_usual_heads, sharing_heads

LANGUAGE_TYPES = {"llama": "llama", "llava_llama": "llama", "mistral": "mistral", "llava_mistral": "mistral"}
LANGUAGE_FIELDS = (
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "attention_bias",
    "attention_dropout",
    "mlp_bias",
    "sliding_window",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "tie_word_embeddings",
)
VISION_FIELDS = ("num_attention_heads", "hidden_act", "layer_norm_eps", "attention_dropout")
DECODER = "language_model.model.model."
TOWER = "vision_tower.vision_model."
EXPERT = "language_model_with_expert.expert."
DIT = "dit_action_head."


def language_fields(published: Mapping[str, Any], collected: Collected) -> dict[str, Any]:
    """Fields of the language model's config.

    Raises:
        ConversionError: it is neither Llama nor Mistral, or its config.json is that of another.
    """
    model_type = published.get("model_type", "llama")
    if model_type not in LANGUAGE_TYPES:
        known = ", ".join(LANGUAGE_TYPES)
        raise ConversionError(f"the language model's model_type is {model_type!r}; supported are {known}.")
    vocab_size, width = collected.shape(f"{DECODER}embed_tokens.weight")
    sizes = {"hidden_size": width, **stack_sizes(collected, DECODER)}
    check_sizes("language model", published, sizes)
    fields = {name: published[name] for name in LANGUAGE_FIELDS if name in published}
    return {"model_type": LANGUAGE_TYPES[model_type], "vocab_size": vocab_size, **sizes, **fields}


def stack_sizes(collected: Collected, prefix: str) -> dict[str, int]:
    """Of a stack of decoder layers."""
    return {
        "num_hidden_layers": collected.num_layers(f"{prefix}layers."),
        "intermediate_size": collected.shape(f"{prefix}layers.0.mlp.up_proj.weight")[0],
    }


def expert_fields(collected: Collected) -> dict[str, int]:
    """What differs between the expert's stack and the language model's."""
    width = collected.shape(f"{EXPERT}norm.weight")[0]
    return {"hidden_size": width, **stack_sizes(collected, EXPERT)}


def vision_fields(published: Mapping[str, Any], collected: Collected) -> dict[str, Any]:
    """Fields of a `SiglipVisionConfig`. The image size follows from the position table; the published one decides how
    much is left at the edges."""
    width, _, patch_size, _ = collected.shape(f"{TOWER}embeddings.patch_embedding.weight")
    side = math.isqrt(collected.shape(f"{TOWER}embeddings.position_embedding.weight")[0])
    said = published.get("image_size")
    sizes = {
        "hidden_size": width,
        "patch_size": patch_size,
        "num_hidden_layers": collected.num_layers(f"{TOWER}encoder.layers."),
        "intermediate_size": collected.shape(f"{TOWER}encoder.layers.0.mlp.fc1.weight")[0],
    }
    check_sizes("vision tower", published, sizes)
    image_size = said if said and said // patch_size == side else side * patch_size
    fields = {name: published[name] for name in VISION_FIELDS if name in published}
    return {"image_size": image_size, **sizes, **fields}


def geometry_config(published: Mapping[str, Any], collected: Collected) -> MapAnythingGeometryConfig:
    """published: config.json of MapAnything, which may be empty: heads have 64 channels unless it says otherwise.

    Raises:
        ConversionError: they cannot have 64.
    """
    prefix = "geometric_model."
    shapes = {name: collected.shape(name) for name in collected.candidates if name.startswith(prefix)}
    heads = sharing_heads(published)
    if heads is None and not has_usual_heads(shapes):
        raise ConversionError(
            f"the geometry branch's transformer over all views is {shapes[SOME_WIDTH][0]} wide, which is no number of "
            f"heads of {CHANNELS} channels, and nothing says its heads: pass --geometry DIR, a MapAnything whose "
            "config.json does (info_sharing_config.module_args.num_heads)."
        )
    shapes = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return infer_geometry_config(shapes, info_sharing_num_attention_heads=heads)


def dit_fields(collected: Collected) -> dict[str, Any]:
    """Of the DiT head."""
    names = collected.candidates
    decoder = collected.shape(f"{DIT}action_decoder.layer1.weight")
    future_tokens, width = collected.shape(f"{DIT}future_tokens.weight")
    projection = f"{DIT}model.proj_out_2.weight"
    has_projection = projection in names and collected.shape(projection)[0] == decoder[1]
    fields = {
        "num_hidden_layers": collected.num_layers(f"{DIT}model.transformer_blocks."),
        "num_future_tokens": future_tokens,
        "mlp_hidden_dim": decoder[0],
        "output_projection": "adaln" if has_projection else "none",
        "output_dim": decoder[1],
        "add_pos_embed": f"{DIT}position_embedding.weight" in names,
    }
    if decoder[1] != width and not has_projection:
        raise ConversionError(f"the action decoder reads {decoder[1]} numbers, the blocks of the DiT head are {width}.")
    if fields["add_pos_embed"]:
        fields["max_seq_len"] = collected.shape(f"{DIT}position_embedding.weight")[0]
    return fields


def check_sizes(part: str, published: Mapping[str, Any], found: Mapping[str, int]) -> None:
    for name, value in found.items():
        if published.get(name, value) != value:
            raise ConversionError(
                f"config.json says {name}={published[name]} of the {part}, but its tensors say {value}: do they belong "
                "together?"
            )


def stack_size_text(config: PretrainedConfig) -> str:
    """A tower or stack in a few words."""
    return f"{config.hidden_size} wide, {config.num_hidden_layers} layers, {config.num_attention_heads} heads"


def described_parts(config: MapAnythingLlava3DConfig) -> list[Fact]:
    """The parts of the model in a line each."""
    parts = {"vision_tower": config.vision_config, "language_model": config.text_config}
    if config.use_geometric_branch:
        parts["geometric_model"] = config.geometry_config
    if config.has_deep_fusion:
        parts["expert"] = config.expert_config
    if config.has_dit:
        parts["dit_action_head"] = config.dit_config
    return [Fact(name, stack_size_text(part), "from tensors and configs") for name, part in parts.items()]
