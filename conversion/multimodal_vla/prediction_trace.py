"""What a composed VLA looked at in a prediction, and how well the instruction says what its views show."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import nn

from ...configuration.multimodal_vla.head_facts import HEAD_FACTS
from ...configuration.multimodal_vla.tower_facts import BLOCK_NAMES
from ...modeling.multimodal_vla.tower_conditioning import num_blocks
from ..predictions.flow_path import flow_path
from ..predictions.patch_attention import patch_attention
from ..predictions.prediction_trace import Asked, PatchAttention, PredictionTrace, on_host, predicted
from ..predictions.recorded_calls import Call, recorded_calls
from ..predictions.shown_views import given_views, rgb_of

READERS = {"query": ("q_proj", "query"), "key": ("k_proj", "key")}  # in an attention of a tower, on the lines


def traced_composed(model: Any, processor: Any, asked: Asked) -> PredictionTrace:
    """The prediction, with attention of aggregation tokens, weights of two vision towers, the way of a flow head and
    the grounding score, as far as the model has them."""
    with recorded_calls(watched_modules(model)) as calls:
        drawn = predicted(model, asked)
    given, ratios, noisy = given_views(processor, asked.images, asked.text), calls.get("ratios"), calls.get("noisy")
    seen = seen_views(processor, asked, len(given))
    return PredictionTrace(
        drawn,
        given if seen is None else seen,
        as_seen=seen is not None,
        attention=attention_of_tokens(model, asked, calls) if model.config.use_aggr else (),
        encoders=encoders_of(model),
        encoder_weights=None if ratios is None else np.repeat(on_host(ratios[0][:1]), len(given), axis=0),
        path=None if noisy is None else flow_path(model, asked, noisy, drawn),
        grounding=grounding_of(model, processor, asked),
    )


def watched_modules(model: Any) -> dict[str, tuple[Any, Callable[[Call], Any]]]:
    """The modules to watch, and what of their calls: see `recorded_calls`."""
    watched = {}
    if model.config.vision_aggregate_type == "moe":
        watched["ratios"] = model.projector, lambda call: call.output[1]
    if HEAD_FACTS[model.config.action_head].has_draws:
        watched["noisy"] = model.action_head.action_in_proj, lambda call: call.args[0]
    if model.config.use_aggr:
        for number, tower in enumerate(model.backbone.towers):
            for part, names in READERS.items():
                watched[f"{part} {number}"] = (
                    named_inside(last_attention(model, tower), names),
                    lambda call: call.output,
                )
    return watched


def last_attention(model: Any, tower: nn.Module) -> nn.Module:
    """Of the last block that runs."""
    tower = getattr(tower, "vision_model", tower)  # a level of SigLIP's on 4.57
    names = BLOCK_NAMES[tower.config.model_type]
    blocks = tower.get_submodule(names.blocks)
    return blocks[num_blocks(tower.config, model.config.vision_feature_layer) - 1].get_submodule(names.attention)


def named_inside(attention: nn.Module, names: tuple[str, ...]) -> nn.Module:
    """The layer of an attention that has one of some names, whatever it is inside of."""
    return next(layer for path, layer in attention.named_modules() if path.rsplit(".", 1)[-1] in names)


def attention_of_tokens(model: Any, asked: Asked, calls: Mapping[str, list[Any]]) -> tuple[PatchAttention, ...]:
    """Of each tower, in its last block that runs."""
    height, width = asked.inputs["pixel_values"].shape[-2:]
    found = []
    for number, (name, tower) in enumerate(zip(encoders_of(model), model.config.towers.values(), strict=True)):
        query, key = (calls[f"{part} {number}"][0] for part in READERS)
        grid = height // tower.patch_size, width // tower.patch_size
        found.append(patch_attention(name, query, key, tower.num_attention_heads, model.config.num_vision_aggr, grid))
    return tuple(found)


def encoders_of(model: Any) -> tuple[str, ...]:
    """Names of the vision towers, none of those inside of a VLM."""
    return tuple(tower.model_type.removesuffix("_vision_model") for tower in model.config.towers.values())


def seen_views(processor: Any, asked: Asked, count: int) -> list[np.ndarray] | None:
    """As the first vision tower sees them; `None` where the model reads patches, tiles of views, or unknown units."""
    pixels, images = asked.inputs["pixel_values"], processor.image_processor
    own = images.own_image_processor() if hasattr(images, "own_image_processor") else images
    terms = getattr(own, "image_mean", None), getattr(own, "image_std", None)
    if pixels.dim() != 5 or pixels.shape[:2] != (1, count) or None in terms:
        return None
    return rgb_of(pixels[0, :, :3], *terms)


def grounding_of(model: Any, processor: Any, asked: Asked) -> np.ndarray | None:
    """(views,); `None` where the vision backbone has no text tower, or the processor no tokenizer of it."""
    if not model.backbone.has_two_towers or processor.grounding_text is None:
        return None
    inputs = processor(images=asked.images, text=asked.text, grounding=True).to(model.device)
    return on_host(model.grounding_score(**inputs)[0])
