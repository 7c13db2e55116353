"""From the features of a composed VLA's vision backbone to tokens of its language model's width."""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..mlp import MLP
from .multimodal_inputs import Prompt
from .perceiver_resampler import PerceiverResampler
from .qformer_projector import QFormerProjector


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


def vision_tokens(
    backbone: nn.Module, projector: nn.Module | None, prompt: Prompt
) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected features (batch, tokens, hidden_size), and which of them are real, (batch, tokens) bool.

    Raises:
        InputError: there are images of more or fewer samples than the prompt has.
    """
    features = backbone.image_features(prompt)
    if len(features) != len(prompt.input_ids):
        raise InputError(f"pixel_values holds {len(features)} samples, input_ids {len(prompt.input_ids)}.")
    if isinstance(features, torch.Tensor):
        tokens = features if projector is None else projector(features)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    rows = features if projector is None else [projector(one[None])[0] for one in features]
    lengths = torch.tensor([len(one) for one in rows], device=rows[0].device)
    tokens = pad_sequence(rows, batch_first=True)
    return tokens, torch.arange(tokens.shape[1], device=lengths.device) < lengths[:, None]
