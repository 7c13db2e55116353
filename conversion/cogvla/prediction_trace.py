"""What a CogVLA, OpenVLA-OFT or OpenVLA looked at in a prediction, read off its modules by hooks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..predictions.patch_attention import patch_attention
from ..predictions.prediction_trace import (
    Asked,
    KeptTokens,
    PatchAttention,
    PredictionTrace,
    on_host,
    path_of,
    predicted,
)
from ..predictions.recorded_calls import Call, recorded_calls
from ..predictions.shown_views import rgb_of

ENCODERS = {"featurizer": "DINOv2", "fused_featurizer": "SigLIP"}  # as the published towers are


def traced_cogvla(model: Any, processor: Any, asked: Asked) -> PredictionTrace:
    """The prediction, with attention of aggregation tokens, tokens kept by pruning, weights of the encoders and the way
    of a diffusion head, as far as the model has them."""
    config = model.config
    with recorded_calls(watched_modules(model)) as calls:
        drawn = predicted(model, asked)
    ratios, views = calls.get("ratios"), config.num_images_in_input
    return PredictionTrace(
        drawn,
        seen_views(processor, asked.inputs["pixel_values"]),
        attention=tuple(attention_in(model, tower, calls[tower][0]) for tower in ENCODERS if tower in calls),
        kept=kept_tokens(config, calls["kept"]) if "kept" in calls else None,
        encoders=tuple(ENCODERS.values()),
        encoder_weights=np.repeat(on_host(ratios[0][:1]), views, axis=0) if ratios else None,
        path=path_of(model, asked, calls["noisy"], drawn) if "noisy" in calls else None,
    )


def watched_modules(model: Any) -> dict[str, tuple[Any, Callable[[Call], Any]]]:
    """The modules to watch, and what of their calls: see `recorded_calls`.

    Only such are watched as a prediction calls the same way with hooks and without: the answer stays bit by bit the
    same.
    """
    config, watched = model.config, {}
    if config.use_aggr:
        for tower in ENCODERS:
            last = getattr(model.vision_backbone, tower).blocks[-1]
            watched[tower] = last.attn.qkv, lambda call: call.output
    if config.lfp_keep_ratios:
        layer = model.language_model.model.layers[min(config.lfp_keep_ratios)]
        watched["kept"] = layer, lambda call: call.kwargs.get("pruning")  # later layers report into it, too
    if config.vision_aggregate_type == "moe":
        watched["ratios"] = model.moe_aggregator, lambda call: call.output[1]
    if config.action_head == "diffusion":
        watched["noisy"] = model.noisy_action_projector, lambda call: call.args[0]
    return watched


def seen_views(processor: Any, pixel_values: torch.Tensor) -> list[np.ndarray]:
    """As the first tower sees them; pixel_values: (1, 6 * views, height, width)."""
    images = processor.image_processor
    return rgb_of(pixel_values[0].unflatten(0, (-1, 6))[:, :3], images.means[0], images.stds[0])


def attention_in(model: Any, tower: str, qkv: torch.Tensor) -> PatchAttention:
    """In the last block of a tower; qkv: (views, tokens, 3 * hidden_size)."""
    attention = getattr(model.vision_backbone, tower).blocks[-1].attn
    side = round(getattr(model.config, f"{tower}_config").num_patches ** 0.5)
    query, key, _ = qkv.chunk(3, dim=-1)
    count = model.config.num_vision_aggr
    return patch_attention(ENCODERS[tower], query, key, attention.num_heads, count, (side, side))


def kept_tokens(config: Any, passes: list[Any]) -> KeptTokens:
    """Of the first row in the last pass over images.

    passes: the `Pruning` of each, see `token_pruning.py`; `None` of those over one more token alone.
    """
    views, kept = config.num_images_in_input, {}
    pruning = [found for found in passes if found is not None][-1]
    for layer, places in sorted(pruning.kept.items()):
        is_kept = np.zeros(config.num_vision_tokens, dtype=bool)
        is_kept[places[0].cpu().numpy()] = True
        kept[layer] = is_kept.reshape(views, -1)
    side = round(config.featurizer_config.num_patches**0.5)
    return KeptTokens(kept, config.text_config.num_hidden_layers, None if config.use_aggr else (side, side))
