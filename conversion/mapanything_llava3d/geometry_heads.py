"""Attention heads of MapAnything's transformer over all views, which no shape shows."""

from collections.abc import Mapping
from typing import Any

CHANNELS = 64  # of a head of every published MapAnything
SOME_WIDTH = "geometric_model.info_sharing.self_attention_blocks.0.norm1.weight"


def sharing_heads(published: Mapping[str, Any]) -> int | None:
    """How many, where MapAnything's config.json says it."""
    return ((published.get("info_sharing_config") or {}).get("module_args") or {}).get("num_heads")


def has_usual_heads(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether heads of 64 channels fit the transformer's width. shapes: by the names that the model has."""
    return shapes.get(SOME_WIDTH, (0,))[0] % CHANNELS == 0
