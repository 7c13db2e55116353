"""Parts of a composed VLA that are there only where its config chose them."""

from torch import nn

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ..projectors import MLP
from .composed_backbone import ComposedBackbone
from .perceiver_resampler import PerceiverResampler
from .qformer_projector import QFormerProjector
from .vlm_backbone import VLMBackbone


def make_backbone(config: MultimodalVLAConfig) -> nn.Module:
    """The backbone that the config describes, with new weights."""
    if config.vlm_config is None:
        return ComposedBackbone(config)
    return VLMBackbone(config)


def make_projector(config: MultimodalVLAConfig) -> nn.Module | None:
    """From vision features to tokens of the language model; `None` where the VLM's own is used."""
    widths = config.vision_hidden_size, config.hidden_size
    resampler = config.num_latents, config.num_resampler_layers, config.num_resampler_heads
    if config.projector_type == "linear":
        return nn.Linear(*widths)
    if config.projector_type == "mlp":
        return MLP(*widths)
    if config.projector_type == "perceiver":
        return PerceiverResampler(*widths, *resampler)
    if config.projector_type == "qformer":
        return QFormerProjector(*widths, *resampler)
    return None
