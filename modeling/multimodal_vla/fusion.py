"""Where vision, text and robot state of a composed VLA meet: in one sequence (early, film), or behind it (late)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..film import FiLM, modulate
from ..learned_tokens import LearnedTokens
from ..loss_items import IGNORED
from ..masking import masked_mean
from ..modules import floating_dtype
from .language_model_rules import check_places
from .multimodal_inputs import Prompt, TokenSequence
from .perceiver_resampler import PerceiverResampler
from .text_pooling import pooled_text
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
    """

    backbone: nn.Module
    projector: nn.Module | None
    film: FiLM | None
    state_projector: nn.Module | None
    action_queries: LearnedTokens | None
    query_attention: PerceiverResampler | None
    late_projector: nn.Module | None

    def state_tokens(self, state: torch.Tensor | None) -> list[torch.Tensor]:
        """The state (batch, state_dim) as a token (batch, 1, hidden_size), or nothing where there is none."""
        if state is None:
            return []
        return [self.state_projector(state.to(floating_dtype(self.state_projector))).unsqueeze(1)]


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
    """Everything in one sequence (early, film, cross_attention); see `fuse`."""
    queries = [] if parts.action_queries is None else [parts.action_queries(len(prompt.input_ids))]
    written = torch.zeros_like(prompt.real) if labels is None else (labels != IGNORED).cumsum(dim=1) > 0
    behind = [*parts.state_tokens(state), *queries]
    sequence = early_sequence(*parts[:3], prompt, behind, written, answer_mask, config.text_pooling)
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
    tokens, seen = vision_tokens(parts.backbone, parts.projector, prompt)
    text = pooled_text(text_states, sequence.real, config.text_pooling or "last")
    joined = torch.cat([masked_mean(tokens, seen), text, *parts.state_tokens(state)], dim=1)
    if parts.late_projector is not None:
        joined = F.gelu(parts.late_projector(joined.flatten(1))).unsqueeze(1) + parts.action_queries(len(joined))
    return joined, None, text_states


def early_sequence(
    backbone: nn.Module,
    projector: nn.Module | None,
    film: FiLM | None,
    prompt: Prompt,
    behind: Sequence[torch.Tensor] = (),
    written: torch.Tensor | None = None,
    answer_mask: torch.Tensor | None = None,
    text_pooling: str | None = None,
) -> TokenSequence:
    """Vision, text and further tokens in one sequence.

    A VLM with its own projector puts images in the place of their tokens; otherwise vision tokens come first, and
    image tokens are hidden.

    Args:
        behind: further tokens, (batch, tokens, hidden_size) each: state, queries.
        written: (batch, length) bool, text that is being written.
        answer_mask: (batch, length), 1 on tokens that the modulation of vision tokens must not know.
        text_pooling: of the config, for the modulation.
    """
    embeds, real, scale = backbone.embed(prompt.input_ids), prompt.real, backbone.input_scale
    is_text = real & ~prompt.is_image if answer_mask is None else real & ~prompt.is_image & (answer_mask == 0)
    condition = None if film is None else text_condition(backbone, embeds, is_text, text_pooling)
    before, own_places = [], backbone.has_image_tokens and projector is None
    if own_places and film is not None:
        placed = modulated(film, backbone.placed_features(prompt), condition)
        embeds = torch.where(prompt.is_image.unsqueeze(-1), (placed / scale).to(embeds.dtype), embeds)
    elif not own_places and prompt.pixel_values is not None:
        tokens, seen = vision_tokens(backbone, projector, prompt)
        tokens = tokens if film is None else modulated(film, tokens, condition)
        before, real = [tokens], torch.cat([seen, real & ~prompt.is_image], dim=1)
    start, length = (before[0].shape[1] if before else 0), embeds.shape[1]
    added = real.new_ones(len(real), sum(tokens.shape[1] for tokens in behind))
    before, behind = ([(one / scale).to(embeds.dtype) for one in tokens] for tokens in (before, behind))
    return TokenSequence(
        embeds=torch.cat([*before, embeds, *behind], dim=1),
        real=torch.cat([real, added], dim=1),
        text=slice(start, start + length),
        prompt=prompt if own_places else None,
        reads_images=own_places and film is None and prompt.pixel_values is not None,
        written=None if written is None else F.pad(written, (start, added.shape[1])),
        num_added=added.shape[1],
    )


def prompt_sequence(parts: FusionParts, config: MultimodalVLAConfig, prompt: Prompt) -> TokenSequence:
    """What text is written behind; with late fusion the language model sees no image."""
    late = config.fusion == "late"
    options = {"text_pooling": config.text_pooling}
    sequence = text_sequence(parts.backbone, prompt) if late else early_sequence(*parts[:3], prompt, **options)
    check_places(sequence.embeds, config.text_part)
    return sequence


def text_sequence(backbone: nn.Module, prompt: Prompt) -> TokenSequence:
    """The text alone, as late fusion reads it."""
    return TokenSequence(backbone.embed(prompt.input_ids), prompt.real & ~prompt.is_image)


def text_condition(
    backbone: nn.Module, embeds: torch.Tensor, is_text: torch.Tensor, pooling: str | None
) -> torch.Tensor:
    """(batch, hidden_size), what stands for the text: pooled states of it read alone, or the mean of its embeddings.

    embeds: (batch, length, hidden_size); is_text: (batch, length) bool.
    """
    if pooling is None:
        return masked_mean(embeds * backbone.input_scale, is_text).squeeze(1)
    return pooled_text(backbone.run(TokenSequence(embeds, is_text)), is_text, pooling).squeeze(1)


def modulated(film: FiLM, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """Vision tokens (batch, tokens, hidden_size), scaled and shifted by what stands for the text."""
    return modulate(tokens, *film(condition.to(floating_dtype(film))))
