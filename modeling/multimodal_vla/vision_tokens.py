"""From the features of a composed VLA's vision backbone to tokens of its language model's width."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ..mlp import MLP
from ..moe_aggregator import MoEAggregator
from ..prismatic_projector import PrismaticProjector
from .multimodal_inputs import Prompt, check_samples
from .perceiver_resampler import PerceiverResampler
from .qformer_projector import QFormerProjector
from .token_learner import TokenLearner
from .tower_conditioning import Conditions, TowerConditioning

JOINING = (PerceiverResampler, QFormerProjector, TokenLearner)  # each of their tokens is of all features


def make_projector(config: MultimodalVLAConfig) -> nn.Module | None:
    """From vision features to tokens of the language model; `None` where the VLM's own is used."""
    if config.vision_aggregate_type == "moe":
        return MoEAggregator(*(tower.hidden_size for tower in config.towers.values()), config.hidden_size)
    widths = config.vision_hidden_size, config.hidden_size
    resampler = config.num_latents, config.num_resampler_layers, config.num_resampler_heads
    if config.projector_type == "linear":
        return nn.Linear(*widths)
    if config.projector_type == "mlp":
        return MLP(*widths)
    if config.projector_type == "prismatic":
        return PrismaticProjector(*widths)
    if config.projector_type == "token_learner":
        return TokenLearner(*widths, config.num_latents)
    if config.projector_type == "perceiver":
        return PerceiverResampler(*widths, *resampler)
    if config.projector_type == "qformer":
        return QFormerProjector(*widths, *resampler)
    return None


def vision_tokens(
    backbone: nn.Module,
    projector: nn.Module | None,
    prompt: Prompt,
    embedding: torch.Tensor | None = None,
    tower_conditioning: Sequence[TowerConditioning] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected features (batch, tokens, hidden_size), and which of them are real, (batch, tokens) bool.

    Args:
        embedding: (batch, hidden_size), the mean embedding of the instruction, which drives FiLM inside of the towers
            and weighs two of them.
        tower_conditioning: one for each tower; `None`: nothing is done inside of them.

    Raises:
        InputError: there are images of more or fewer samples than the prompt has.
    """
    inside = {} if tower_conditioning is None else {"conditions": Conditions(tower_conditioning, embedding)}
    features = backbone.image_features(prompt, **inside)
    check_samples(len(features), prompt)
    if isinstance(features, torch.Tensor):
        real = backbone.real_features(prompt)
        tokens = features if projector is None else projected(backbone, projector, features, embedding, real)
        if real is None or isinstance(projector, JOINING):
            real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return tokens, real
    rows = features if projector is None else [projector(one[None])[0] for one in features]
    lengths = torch.tensor([len(one) for one in rows], device=rows[0].device)
    tokens = pad_sequence(rows, batch_first=True)
    return tokens, torch.arange(tokens.shape[1], device=lengths.device) < lengths[:, None]


def projected(
    backbone: nn.Module,
    projector: nn.Module,
    features: torch.Tensor,
    embedding: torch.Tensor | None,
    real: torch.Tensor | None,
) -> torch.Tensor:
    """(batch, tokens, hidden_size), of features (batch, tokens, width); arguments as in `vision_tokens`.

    real: (batch, tokens) bool, false on padding; `None`: all are features.
    """
    if isinstance(projector, JOINING):
        return projector(features, real)
    if not backbone.weighs_towers:
        return projector(features)
    widths = [tower.config.hidden_size for tower in backbone.towers]
    tokens, _ = projector(*features.split(widths, dim=-1), embedding.to(features.dtype))
    return tokens
