"""Where vision, text and robot state of a composed VLA meet: in one sequence (early, film), in layers of the language
model (gated_cross_attention), or behind it (late)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..film import FiLM
from ..learned_tokens import LearnedTokens
from ..loss_items import IGNORED
from ..masking import masked_mean
from ..modules import floating_dtype
from .gated_cross_attention import GatedLayers
from .language_model_rules import check_places
from .multimodal_inputs import Prompt, TokenSequence
from .perceiver_resampler import PerceiverResampler
from .text_pooling import pooled_text
from .token_sequences import early_sequence, joined_sequence, text_embedding, text_sequence
from .tower_conditioning import TowerConditioning
from .vision_tokens import vision_tokens


class FusionParts(NamedTuple):
    """The modules of a composed VLA that lead to what its head reads; those that its config did not choose are `None`.

    Attributes:
        backbone: a `ComposedBackbone` or a `VLMBackbone`.
        projector: from vision features to tokens; a VLM may have its own instead.
        film: scales and shifts vision tokens.
        state_projector: from the robot's state to a token.
        action_queries: learned tokens whose states the head reads.
        query_attention: learned tokens that look at the states, instead.
        late_projector: joins what late fusion pooled.
        tower_conditioning: what is done inside of the vision towers, one each.
        gated_layers: before layers of the language model, to look at vision tokens.
        text_pooling: of the config, which states of the text stand for it.
    """

    backbone: nn.Module
    projector: nn.Module | None
    film: FiLM | None
    state_projector: nn.Module | None
    action_queries: LearnedTokens | None
    query_attention: PerceiverResampler | None
    late_projector: nn.Module | None
    tower_conditioning: Sequence[TowerConditioning] | None = None
    gated_layers: GatedLayers | None = None
    text_pooling: str | None = None

    def state_tokens(self, state: torch.Tensor | None) -> list[torch.Tensor]:
        """The state (batch, state_dim) as a token (batch, 1, hidden_size), or nothing where there is none."""
        if state is None:
            return []
        return [self.state_projector(state.to(floating_dtype(self.state_projector))).unsqueeze(1)]

    def for_text(self) -> "FusionParts":
        """The same without what stands behind the text, of which the text knows nothing."""
        return self._replace(action_queries=None, query_attention=None, late_projector=None)


def make_queries(
    config: MultimodalVLAConfig,
) -> tuple[LearnedTokens | None, PerceiverResampler | None, nn.Module | None]:
    """`action_queries`, `query_attention` and `late_projector` of `FusionParts`."""
    width, action_queries, query_attention, late_projector = config.hidden_size, None, None, None
    if config.fusion == "cross_attention":
        resampler = config.num_queries, config.num_resampler_layers, config.num_resampler_heads
        query_attention = PerceiverResampler(width, width, *resampler)
    elif config.num_queries:
        action_queries = LearnedTokens(config.num_queries, width)
    if config.fusion == "late" and config.num_queries:
        late_projector = nn.Linear((3 if config.use_state else 2) * width, width)
    return action_queries, query_attention, late_projector


def fuse(
    parts: FusionParts,
    config: MultimodalVLAConfig,
    prompt: Prompt,
    state: torch.Tensor | None,
    labels: torch.LongTensor | None = None,
    answer_mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """What the head reads, (batch, tokens, hidden_size), which of it is real (`None`: all), states of the text.

    Args:
        state: (batch, state_dim), checked.
        labels: (batch, length); from the first on that is not -100 the text is being written.
        answer_mask: (batch, length), 1 on tokens that the modulation of vision tokens must not know.

    Raises:
        InputError: there are no images, images of other samples, or more tokens than the language model has places.
    """
    if prompt.pixel_values is None:
        raise InputError("pixel_values is missing.")
    if config.fusion == "late":
        return fuse_late(parts, config, prompt, state)
    return fuse_early(parts, config, prompt, state, labels, answer_mask)


def fuse_early(
    parts: FusionParts,
    config: MultimodalVLAConfig,
    prompt: Prompt,
    state: torch.Tensor | None,
    labels: torch.LongTensor | None,
    answer_mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Everything in one sequence (early, film, cross_attention), or the pictures beside it (gated_cross_attention); see
    `fuse`."""
    queries = [] if parts.action_queries is None else [parts.action_queries(prompt.input_ids)]
    written = torch.zeros_like(prompt.real) if labels is None else (labels != IGNORED).cumsum(dim=1) > 0
    behind = [*parts.state_tokens(state), *queries]
    sequence = sequence_with_images(parts, prompt, behind, written, answer_mask)
    check_places(sequence.embeds, config.text_part)
    states = parts.backbone.run(sequence)
    text_states = states[:, sequence.text]
    if parts.query_attention is not None:
        return parts.query_attention(states, sequence.real), None, text_states
    if queries:
        return states[:, -config.num_queries :], None, text_states
    return states, sequence.real, text_states


def fuse_late(
    parts: FusionParts, config: MultimodalVLAConfig, prompt: Prompt, state: torch.Tensor | None
) -> tuple[torch.Tensor, None, torch.Tensor]:
    """Vision and text meet in the head alone: the mean of the one, pooled states of the other."""
    sequence = prompt_sequence(parts, config, prompt)
    text_states = parts.backbone.run(sequence)
    condition = text_embedding(parts.backbone, parts.backbone.embed(prompt.input_ids), prompt)
    tokens, seen = vision_tokens(parts.backbone, parts.projector, prompt, condition, parts.tower_conditioning)
    text = pooled_text(text_states, sequence.real, parts.text_pooling or "last")
    joined = torch.cat([masked_mean(tokens, seen), text, *parts.state_tokens(state)], dim=1)
    if parts.late_projector is not None:
        joined = F.gelu(parts.late_projector(joined.flatten(1))).unsqueeze(1) + parts.action_queries(joined)
    return joined, None, text_states


def sequence_with_images(
    parts: FusionParts,
    prompt: Prompt,
    behind: Sequence[torch.Tensor] = (),
    written: torch.Tensor | None = None,
    answer_mask: torch.Tensor | None = None,
) -> TokenSequence:
    """What the language model reads, images in the sequence or beside it; arguments as of `early_sequence`."""
    if parts.gated_layers is not None:
        return gated_sequence(parts, prompt, behind, written, answer_mask)
    options = parts.tower_conditioning, parts.text_pooling
    return early_sequence(*parts[:3], prompt, behind, written, answer_mask, *options)


def gated_sequence(
    parts: FusionParts,
    prompt: Prompt,
    behind: Sequence[torch.Tensor],
    written: torch.Tensor | None,
    answer_mask: torch.Tensor | None,
) -> TokenSequence:
    """Text and further tokens in one sequence, and beside it what layers see of the images; see `early_sequence`."""
    backbone = parts.backbone
    embeds = backbone.embed(prompt.input_ids)
    sequence = joined_sequence(backbone, [], embeds, behind, prompt.real, written)
    if prompt.pixel_values is None:
        return sequence
    condition = text_embedding(backbone, embeds, prompt, answer_mask)
    tokens, _ = vision_tokens(backbone, parts.projector, prompt, condition, parts.tower_conditioning)
    return sequence._replace(seen=parts.gated_layers(tokens))


def prompt_sequence(parts: FusionParts, config: MultimodalVLAConfig, prompt: Prompt) -> TokenSequence:
    """What text is written behind; with late fusion the language model sees no image."""
    late = config.fusion == "late"
    sequence = text_sequence(parts.backbone, prompt) if late else sequence_with_images(parts, prompt)
    check_places(sequence.embeds, config.text_part)
    return sequence
