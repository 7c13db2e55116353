"""The action experts of LLaVA-3D at work: the one that is joined to the language model, the DiT head, or the one
feeding the other.

All of them learn the velocity `noise - actions` over time 1 to 0 (`flow_matching.py`); the DiT head counts time the
other way, and is converted here.
"""

from typing import NamedTuple

import torch
from torch import nn

from ..flow_matching import check_share, interpolate
from ..flow_matching_action_expert import FlowMatchingActionExpert
from ..flow_sampling import FlowStep, followed_flow
from ..loss_items import ActionTargets
from ..ode_sampling import OdeSampling, asked_progress, integrate
from ..sampled_actions import repeated
from .dit_action_head import DiTActionHead
from .dit_sampling import dit_times, followed_dit
from .llava3d_with_action_expert import LLaVA3DWithActionExpertModel, read_prefix
from .null_condition import chosen_guidance


class ActionParts(NamedTuple):
    """What a model makes actions with: its language model's stack, and experts, of which those that it has not are
    `None`.

    Attributes:
        causal: tokens of the prefix see what is before them, else all.
        network, expert: the stack with the expert joined to it, and the flow matching around them.
        head: the DiT head, which reads the states of the stack's layers.
        projector: makes action features for the head of the joined expert's states, where there are both.
    """

    stack: nn.Module
    causal: bool
    network: LLaVA3DWithActionExpertModel | None
    expert: FlowMatchingActionExpert | None
    head: DiTActionHead | None
    projector: nn.Module | None


def action_loss(
    parts: ActionParts,
    prefix_embs: torch.Tensor,
    attention_mask: torch.Tensor | None,
    state: torch.Tensor | None,
    targets: ActionTargets,
    stop_grad: bool,
    embodiment_id: torch.LongTensor | None = None,
) -> torch.Tensor:
    """The flow-matching loss, a scalar in float32.

    prefix_embs: (batch, length, hidden_size); attention_mask: (batch, length), 0 on padding; state: (batch, state_dim)
    or (batch, 1, state_dim), where the model takes one; stop_grad: the loss has no gradient in the prefix;
    embodiment_id: (batch,), where there are several embodiments.
    """
    if parts.projector is not None:
        return fused_dit_loss(parts, prefix_embs, attention_mask, state, targets, stop_grad, embodiment_id)
    actions, time, noise, *counted = targets
    if parts.head is None:
        given = actions, state, attention_mask, None, time, noise, stop_grad, *counted, embodiment_id
        return parts.expert.compute_loss(prefix_embs, *given)
    if time is not None:
        check_share(time)  # before it is the head's, which a message would name
        time = 1 - time
    with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_grad):
        states, _ = read_prefix(parts.stack, prefix_embs, attention_mask, parts.causal, keep=False)
    return parts.head.compute_loss(states, actions, state, attention_mask, time, noise, *counted, embodiment_id)


def fused_dit_loss(
    parts: ActionParts,
    prefix_embs: torch.Tensor,
    attention_mask: torch.Tensor | None,
    state: torch.Tensor | None,
    targets: ActionTargets,
    stop_grad: bool,
    embodiment_id: torch.LongTensor | None,
) -> torch.Tensor:
    """As `action_loss`: the mean of the two experts', over one pass of the prefix and the same noisy actions."""
    expert, head, actions, counted = parts.expert, parts.head, targets.actions, targets[3:]
    noise, time = expert.checked_or_drawn(prefix_embs, actions, targets.noise, targets.time, targets.items)
    noisy = interpolate(actions, noise, time)
    suffix = expert.embed_suffix(noisy, time, state, embodiment_id)
    with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_grad):
        states, cache = parts.network.run_prefix(prefix_embs, attention_mask)
    velocity, action_states = expert.read(parts.network.run_suffix(suffix, cache), embodiment_id)
    features = parts.projector(action_states)
    given = state, attention_mask, features, embodiment_id
    dit_velocity = -head.velocity(states, noisy, head.bucket(1 - time), *given)
    losses = expert.loss(velocity, actions, noise, time, *counted), head.loss(dit_velocity, actions, noise, *counted)
    return sum(losses) / 2


def sample_actions(
    parts: ActionParts,
    prefix_embs: torch.Tensor,
    attention_mask: torch.Tensor | None,
    state: torch.Tensor | None,
    ode: OdeSampling | int,
    noise: torch.Tensor | None,
    num_samples: int | None = None,
    guidance_scale: float | None = None,
    embodiment_id: torch.LongTensor | None = None,
) -> torch.Tensor:
    """Normalised actions (batch, num_action_chunks, action_dim), float32, or with `num_samples` (batch, num_samples,
    num_action_chunks, action_dim); the prefix runs once whatever the number of steps and samples. ode: also a number of
    Euler steps; the other arguments are as in the model's `predict_action`."""
    ode = OdeSampling(ode) if isinstance(ode, int) else ode
    check_state(parts, state, len(prefix_embs), embodiment_id)
    noise = checked_or_drawn_noise(parts, prefix_embs, noise, num_samples)
    scale = chosen_scale(parts, guidance_scale)
    return followed_actions(parts, prefix_embs, attention_mask, state, ode, noise, scale, embodiment_id)


def check_state(
    parts: ActionParts, state: torch.Tensor | None, batch: int, embodiment_id: torch.LongTensor | None
) -> None:
    """Refuse a state or embodiments that an expert does not take, or lacks (InputError)."""
    for expert in (parts.expert, parts.head):
        if expert is not None:
            expert.check_state(state, batch, embodiment_id)


def checked_or_drawn_noise(
    parts: ActionParts, like: torch.Tensor, noise: torch.Tensor | None, num_samples: int | None
) -> torch.Tensor:
    """(batch, num_action_chunks, action_dim), or (batch, num_samples, num_action_chunks, action_dim), for as many rows
    as `like` has."""
    return (parts.expert or parts.head).checked_or_drawn_noise(like, noise, num_samples)


def chosen_scale(parts: ActionParts, guidance_scale: float | None) -> float:
    """Of the guidance, which a DiT head alone has; 1 is none."""
    is_guided = parts.head is not None and parts.projector is None
    return chosen_guidance(parts.head.config, guidance_scale) if is_guided else 1.0


def followed_actions(
    parts: ActionParts,
    prefix_embs: torch.Tensor,
    attention_mask: torch.Tensor | None,
    state: torch.Tensor | None,
    ode: OdeSampling,
    noise: torch.Tensor,
    scale: float,
    embodiment_id: torch.LongTensor | None,
) -> torch.Tensor:
    """As `sample_actions`, of arguments that are checked, and noise that is drawn, of whose shape the actions are."""
    if parts.projector is not None:
        return followed_fused(parts, prefix_embs, attention_mask, state, ode, noise, embodiment_id)
    if parts.head is None:
        given = prefix_embs, state, attention_mask, None, noise, ode, embodiment_id
        return followed_flow(parts.expert, *given)
    states, _ = read_prefix(parts.stack, prefix_embs, attention_mask, parts.causal, keep=False)
    return followed_dit(parts.head, states, state, attention_mask, noise, ode, scale, embodiment_id)


def followed_fused(
    parts: ActionParts,
    prefix_embs: torch.Tensor,
    attention_mask: torch.Tensor | None,
    state: torch.Tensor | None,
    ode: OdeSampling,
    noise: torch.Tensor,
    embodiment_id: torch.LongTensor | None,
) -> torch.Tensor:
    """As `followed_actions`, along the head's velocity over the features of the joined expert."""
    head, places = parts.head, asked_progress(*ode)
    count, start = (1, noise) if noise.dim() == 3 else (noise.shape[1], noise.flatten(0, 1))
    states, cache = parts.network.run_prefix(prefix_embs, attention_mask)
    rows = repeated(state, count), None, None, repeated(embodiment_id, count)
    step = FlowStep(parts.expert, cache.shared(count), *rows, places, count)
    context = head.prepare_context(states, state, attention_mask, True, embodiment_id).repeated(count)
    times = dit_times(head, places, noise.device)

    def velocity(actions: torch.Tensor, progress: float) -> torch.Tensor:
        features = parts.projector(step(actions, progress)[1])
        return -head.velocity_in(context, actions, times[progress], features)

    return integrate(velocity, start, *ode).view(noise.shape)
