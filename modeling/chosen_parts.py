"""Parts of a composed VLA that are there only where its config chose them."""

import importlib
from typing import Any

from torch import nn

from ..configuration.configuration_multimodal_vla import MultimodalVLAConfig


def part(file: str, name: str) -> Any:
    """A class or function of a file that only some choices need. A checkpoint carries the files of its own choices."""
    return getattr(importlib.import_module(f".{file}", __package__), name)


def make_backbone(config: MultimodalVLAConfig) -> nn.Module:
    """The backbone that the config describes, with new weights."""
    if config.vlm_config is None:
        return part("composed_backbone", "ComposedBackbone")(config)
    return part("vlm_backbone", "VLMBackbone")(config)


def make_projector(config: MultimodalVLAConfig) -> nn.Module | None:
    """From vision features to tokens of the language model; `None` where the VLM's own is used."""
    widths = config.vision_hidden_size, config.hidden_size
    resampler = config.num_latents, config.num_resampler_layers, config.num_resampler_heads
    if config.projector_type == "linear":
        return nn.Linear(*widths)
    if config.projector_type == "mlp":
        return part("projectors", "MLPProjector")(*widths)
    if config.projector_type == "perceiver":
        return part("perceiver_resampler", "PerceiverResampler")(*widths, *resampler)
    if config.projector_type == "qformer":
        return part("qformer_projector", "QFormerProjector")(*widths, *resampler)
    return None
