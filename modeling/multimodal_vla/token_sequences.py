"""The one sequence that text, vision and further tokens of a composed VLA become, and what conditions vision tokens."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..film import FiLM, modulate
from ..input_checks import views_of
from ..masking import masked_mean
from ..modules import floating_dtype
from .multimodal_inputs import Prompt, TokenSequence
from .text_pooling import pooled_text
from .tower_conditioning import TowerConditioning
from .vision_tokens import vision_tokens


def early_sequence(
    backbone: nn.Module,
    projector: nn.Module | None,
    film: FiLM | None,
    prompt: Prompt,
    behind: Sequence[torch.Tensor] = (),
    written: torch.Tensor | None = None,
    answer_mask: torch.Tensor | None = None,
    tower_conditioning: Sequence[TowerConditioning] | None = None,
    text_pooling: str | None = None,
) -> TokenSequence:
    """Vision, text and further tokens in one sequence.

    A VLM with its own projector puts images in the place of their tokens; otherwise vision tokens come first, and
    image tokens are hidden.

    Args:
        behind: further tokens, (batch, tokens, hidden_size) each: state, queries.
        written: (batch, length) bool, text that is being written.
        answer_mask: (batch, length), 1 on tokens that the modulation of vision tokens and towers must not know.
        tower_conditioning: what is done inside of the vision towers.
        text_pooling: of the config, for the modulation of vision tokens.
    """
    embeds, real, scale = backbone.embed(prompt.input_ids), prompt.real, backbone.input_scale
    before, own_places = [], backbone.has_image_tokens and projector is None
    if own_places and film is not None:
        condition = text_condition(backbone, embeds, prompt, answer_mask, text_pooling)
        placed = modulated(film, backbone.placed_features(prompt), condition)
        embeds = torch.where(prompt.is_image.unsqueeze(-1), (placed / scale).to(embeds.dtype), embeds)
    elif not own_places and prompt.pixel_values is not None:
        condition = text_embedding(backbone, embeds, prompt, answer_mask)
        tokens, seen = vision_tokens(backbone, projector, prompt, condition, tower_conditioning)
        if film is not None:
            tokens = modulated(film, tokens, text_condition(backbone, embeds, prompt, answer_mask, text_pooling))
        before = [tokens]
        real = torch.cat([seen, real & ~prompt.is_image], dim=1)
    return joined_sequence(backbone, before, embeds, behind, real, written)._replace(
        prompt=prompt if own_places else None,
        reads_images=own_places and film is None and prompt.pixel_values is not None,
    )


def joined_sequence(
    backbone: nn.Module,
    before: Sequence[torch.Tensor],
    embeds: torch.Tensor,
    behind: Sequence[torch.Tensor],
    real: torch.Tensor,
    written: torch.Tensor | None,
) -> TokenSequence:
    """Text (batch, length, hidden_size) with tokens of ours before and behind it; real: of all but those behind."""
    scale, length = backbone.input_scale, embeds.shape[1]
    start = real.shape[1] - length
    added = real.new_ones(len(real), sum(tokens.shape[1] for tokens in behind))
    before, behind = ([(one / scale).to(embeds.dtype) for one in tokens] for tokens in (before, behind))
    return TokenSequence(
        embeds=torch.cat([*before, embeds, *behind], dim=1),
        real=torch.cat([real, added], dim=1),
        text=slice(start, start + length),
        written=None if written is None else F.pad(written, (start, added.shape[1])),
        num_added=added.shape[1],
    )


def text_sequence(backbone: nn.Module, prompt: Prompt) -> TokenSequence:
    """The text alone, as late fusion reads it."""
    return TokenSequence(backbone.embed(prompt.input_ids), prompt.real & ~prompt.is_image)


def text_embedding(
    backbone: nn.Module, embeds: torch.Tensor, prompt: Prompt, answer_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean of the text's embeddings (batch, length, hidden_size), (batch, hidden_size), as the language model
    scales them.

    answer_mask: (batch, length), 1 on tokens that do not count.
    """
    return masked_mean(embeds * backbone.input_scale, text_places(prompt, answer_mask)).squeeze(1)


def text_condition(
    backbone: nn.Module,
    embeds: torch.Tensor,
    prompt: Prompt,
    answer_mask: torch.Tensor | None,
    text_pooling: str | None,
) -> torch.Tensor:
    """What modulates vision tokens, (batch, hidden_size): pooled states of the text read alone, or `text_embedding`."""
    if text_pooling is None:
        return text_embedding(backbone, embeds, prompt, answer_mask)
    places = text_places(prompt, answer_mask)
    return pooled_text(backbone.run(TokenSequence(embeds, places)), places, text_pooling).squeeze(1)


def text_places(prompt: Prompt, answer_mask: torch.Tensor | None) -> torch.Tensor:
    """(batch, length) bool, true on text; answer_mask: (batch, length), 1 on tokens that do not count."""
    is_text = prompt.real & ~prompt.is_image
    return is_text if answer_mask is None else is_text & (answer_mask == 0)


@torch.no_grad()
def moe_ratios(backbone: nn.Module, projector: nn.Module | None, prompt: Prompt) -> torch.Tensor | None:
    """What each of two vision towers weighs for each view, (batch, views, 2) float32, in `vision_tokens`; `None`: they
    are not weighed.

    prompt: without what the action head does not see.
    """
    if not backbone.weighs_towers:
        return None
    condition = text_embedding(backbone, backbone.embed(prompt.input_ids), prompt)
    views = views_of(prompt.pixel_values, channels=3 * len(backbone.towers)).shape[1]
    return projector.ratios(condition.to(floating_dtype(projector)))[:, None].expand(-1, views, -1)


def modulated(film: FiLM, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """Vision tokens (batch, tokens, hidden_size), scaled and shifted by a condition (batch, hidden_size)."""
    return modulate(tokens, *film(condition.to(floating_dtype(film))))
