"""What CogVLA learns: its action and stop tokens, and actions or the noise in them. See `loss_items.py`."""

import torch
from torch import nn

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_errors import InputError
from ..loss_items import IGNORED, Items, cross_entropy, learnt_steps, weighted_mean
from .action_decoding import one_token_a_number
from .action_sequence import ActionSequence
from .cogvla_inputs import check_actions
from .ddim import add_noise, signal_levels, sinusoidal_embedding
from .pruned_language_model import LanguageModelInputs, with_noise


def token_loss(
    logits: torch.Tensor, labels: torch.Tensor, items: Items | None, sample_weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross entropy; logits: (batch, action tokens + 1, vocabulary); labels: (batch, action tokens + 1); sample_weight:
    (batch,)."""
    return cross_entropy(logits, labels, None if items is None else items["text"], sample_weight)


def action_loss(
    predictions: torch.Tensor,
    target: torch.Tensor,
    action_is_pad: torch.Tensor | None,
    squared: bool,
    items: Items | None,
    sample_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean distance of predictions from target, both (batch, num_action_chunks, action_dim), over the learnt steps.

    sample_weight: (batch,), what the steps of each sample weigh in the mean.
    """
    errors = predictions.float() - target
    errors = errors.square() if squared else errors.abs()
    total = None if items is None else items["action"]
    return weighted_mean(errors.mean(dim=2), learnt_steps(target, action_is_pad, sample_weight), total)


def counted_items(
    config: CogVLAConfig,
    labels: torch.Tensor | None,
    actions: torch.Tensor | None,
    action_is_pad: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    sample_weight: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """What a batch counts in each of its losses; attention_mask: (batch, length), `None` where all is real;
    sample_weight: (batch,), `None` where all weigh alike."""
    items = {}
    if actions is not None:
        items["action"] = learnt_steps(actions, action_is_pad, sample_weight).sum()
    if labels is not None:
        block = config.num_action_tokens + 1  # labels before it are not learnt
        real = torch.ones_like(labels) if attention_mask is None else attention_mask
        place = real.ne(0).flip(1).cumsum(dim=1).flip(1)
        learnt = ((place >= 1) & (place <= block) & (labels != IGNORED)).sum(dim=1).float()
        items["text"] = (learnt if sample_weight is None else learnt * sample_weight.to(learnt)).sum()
    return items


def check_learnable(model: nn.Module, labels: torch.Tensor | None, actions: torch.Tensor | None) -> None:
    """Refuse a step of training in which a continuous head would learn nothing, and the language model tokens alone, or
    in which tokens are learnt by another model than the one that writes them (`why_not_trained` of the config).

    Raises:
        InputError: `model` trains, and there are labels and no actions, or it prunes and writes tokens one by one.
    """
    if model.training and (reason := model.config.why_not_trained):
        raise InputError(reason)
    if model.training and labels is not None and actions is None and model.config.action_head != "discrete":
        raise InputError(
            f"actions is missing: the {model.config.action_head} head learns from them, and labels teach the language "
            "model alone; collator_for(model.config, processor) makes both."
        )


def noised(
    config: CogVLAConfig,
    projector: nn.Module,
    inputs: LanguageModelInputs,
    sequence: ActionSequence,
    actions: torch.Tensor | None,
    noise: torch.Tensor | None,
    timesteps: torch.Tensor | None,
) -> tuple[LanguageModelInputs, torch.Tensor]:
    """Inputs with noise in the actions, and the noise, which is what the diffusion head learns to predict.

    projector: from a number of an action to a token.
    """
    if actions is None:
        raise InputError("actions is missing: the diffusion head learns from noised actions.")
    steps, dtype = config.num_diffusion_steps, inputs.prefix.dtype
    noise = torch.randn_like(actions) if noise is None else check_actions(config, actions, "noise", noise)
    if timesteps is None:
        timesteps = torch.randint(steps, actions.shape[:1], device=actions.device)
    noisy = add_noise(actions, noise, timesteps, signal_levels(steps))
    tokens = projector(one_token_a_number(noisy.to(dtype)))
    time_embeds = sinusoidal_embedding(timesteps, inputs.prefix.shape[-1])
    return with_noise(inputs, sequence, tokens, time_embeds), noise
