"""Trajectories of Alpamayo-R1 from noise, over texts that were just written: all steps of the expert as one core.

The expert's tokens see keys and values where the text left them (`text_keys.py`): those of a prompt are in memory once,
whatever the number of its samples, and the expert's own are put behind those of the text, anew in each step.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from ..masking import mask_for
from ..modules import floating_dtype
from ..ode_sampling import OdeSampling
from ..prediction_core import run_core
from ..shared_prefix_attention import prefix_bias, shared_prefix_attention
from ..stack_passes import PrefixCache, run_suffix
from .expert_velocity import ExpertParts, positions_behind
from .guided_velocity import mixed
from .navigation_guidance import Unguided, halves
from .rollout import Prompt, Rollout
from .text_keys import TextKeys
from .text_layer import can_run_in_parts, run_in_parts, turning

BYTES_AT_ONCE = 2**31  # of scores in one layer; 6 samples of the release have 0.2 GB
Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Noise(NamedTuple):
    """What trajectories are made of, beside keys and values.

    Attributes:
        noise: (rows, waypoints, 2), where they start.
        real: (batch, prompt) bool, what of the prompts the expert sees.
        lengths: (rows,), tokens of each text that have keys and values.
        first: (rows,), position of the first token of the expert.
        speed, z: (rows,), m/s along the path at its start, and the height of the last pose.
    """

    noise: torch.Tensor
    real: torch.Tensor
    lengths: torch.LongTensor
    first: torch.LongTensor
    speed: torch.Tensor
    z: torch.Tensor


class GuidedNoise(NamedTuple):
    """What trajectories are made of over texts with navigation and without; routed: (rows,) bool, whose have any."""

    guided: Noise
    unguided: Noise
    routed: torch.Tensor


class Steps(NamedTuple):
    """How trajectories are made: see `OdeSampling`; weight: of guidance, `None` without; together: both passes of a
    step as one batch."""

    ode: OdeSampling
    weight: float | None = None
    together: bool = True


class Drive(NamedTuple):
    """Normalised actions (rows, waypoints, 2), and the poses that they lead along: (rows, waypoints, 3) and (rows,
    waypoints, 3, 3)."""

    actions: torch.Tensor
    xyz: torch.Tensor
    rot: torch.Tensor


def driven(
    model: nn.Module,
    rollout: Rollout,
    noise: torch.Tensor,
    ode: OdeSampling,
    history: tuple[torch.Tensor, torch.Tensor],
    unguided: Unguided | None = None,
) -> Drive:
    """Actions and poses behind accepted texts.

    model: an `AlpamayoR1`; noise: (rows, waypoints, 2), float32; history: (batch, steps, 3) and (batch, steps, 3, 3).
    """
    prompt, lengths = rollout.prompt, rollout.lengths
    start = prompt.repeated(model.action_space.last_speed(*history)), prompt.repeated(history[0][:, -1, 2])
    read = lengths.clamp(max=rollout.read)
    real = prompt.real if model.config.mask_prompt_padding else torch.ones_like(prompt.real)
    guided = Noise(noise, real, read, first_position(prompt, lengths), *start)
    if unguided is None:
        return run_core(model, drive, guided, Steps(ode), prompt.keys)
    routed = prompt.repeated(unguided.routed)
    first, read = first_position(unguided.prompt, lengths), torch.where(routed, lengths, read)
    real = torch.where(unguided.routed[:, None], unguided.prompt.real, real)
    alone = guided._replace(real=real, lengths=read, first=first)
    steps = Steps(ode, unguided.weight, fit_together(model.expert_parts, noise, unguided.keys))
    return run_core(model, drive_guided, GuidedNoise(guided, alone, routed), steps, unguided.keys)


def first_position(prompt: Prompt, lengths: torch.LongTensor) -> torch.LongTensor:
    """(rows,), of the expert's first token, behind texts of these lengths."""
    return prompt.repeated(prompt.last_position) + 1 + lengths


def drive(model: nn.Module, inputs: Noise, options: Steps, keys: TextKeys) -> Drive:
    """Core: all steps from noise to actions, and the path that these lead along."""
    return along(model, inputs, options.ode, velocity_of(model.expert_parts, inputs, keys))


def drive_guided(model: nn.Module, inputs: GuidedNoise, options: Steps, keys: TextKeys) -> Drive:
    """Core: as `drive`, by two velocities of each step; keys: of both halves."""
    return along(model, inputs.guided, options.ode, guided_by(model.expert_parts, inputs, options, keys))


def along(model: nn.Module, inputs: Noise, ode: OdeSampling, velocity: Velocity) -> Drive:
    """Follow a velocity from noise to actions, and these to poses."""
    steps, solver, spacing = ode
    given = {"inference_step": steps, "ode_solver": solver, "ode_spacing": spacing, "noise": inputs.noise}
    given["use_classifier_free_guidance"] = False  # that of a text is in the velocity
    actions = model.diffusion.sample(len(inputs.noise), velocity, inputs.noise.device, **given)
    return Drive(actions, *model.action_space.drive(actions, inputs.speed, inputs.z))


def guided_by(parts: ExpertParts, inputs: GuidedNoise, options: Steps, keys: TextKeys) -> Velocity:
    """`velocity(x, t)` of rows with navigation mixed, and of those without their own."""
    guided, unguided, routed = inputs
    if options.weight == 0:  # rows without navigation have the same prompt twice
        return velocity_of(parts, unguided, halves(keys)[1])
    if options.together:
        both = velocity_of(parts, Noise(*(torch.cat(pair) for pair in zip(guided, unguided, strict=True))), keys)

        def two(x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return both(torch.cat([x, x]), torch.cat([t, t])).chunk(2)
    else:
        of_keys = zip((guided, unguided), halves(keys), strict=True)
        alone = [velocity_of(parts, *each) for each in of_keys]

        def two(x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(one(x, t) for one in alone)

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with_route, without = two(x, t)
        return torch.where(routed[:, None, None], mixed(with_route, without, options.weight), with_route.float())

    return velocity


def fit_together(parts: ExpertParts, noise: torch.Tensor, keys: TextKeys) -> bool:
    """Whether scores of attention of both passes of a step, float32, are no more than `BYTES_AT_ONCE`."""
    rows, tokens, _ = noise.shape
    length = keys.prompt[0][0].shape[2] + keys.written[0][0].shape[2]
    return 4 * 2 * rows * parts.expert.config.num_attention_heads * tokens * length <= BYTES_AT_ONCE


def velocity_of(parts: ExpertParts, inputs: Noise, keys: TextKeys):
    """`velocity(x, t)`: noisy actions (rows, waypoints, 2) and times (rows, 1, 1) -> velocities like x."""
    tokens, dtype = inputs.noise.shape[1], floating_dtype(parts.action_out_proj)
    rotary = parts.expert.rotary_emb(inputs.noise.new_empty(1, dtype=dtype), positions_behind(inputs.first, tokens))
    seen = own_tokens(inputs, keys, parts.causal)
    if all(can_run_in_parts(layer) for layer in parts.expert.layers):
        run = in_parts(parts, keys, prefix_bias(inputs.real, seen.unflatten(0, (len(inputs.real), -1))), rotary)
    else:
        run = as_they_are(parts, keys, inputs.real, seen, rotary, dtype)

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return parts.action_out_proj(parts.expert.norm(run(parts.action_in_proj(x, t))))

    return velocity


def own_tokens(inputs: Noise, keys: TextKeys, causal: bool) -> torch.Tensor:
    """(rows, waypoints, text + waypoints) bool: a row's text up to its end, and the expert's tokens that it sees."""
    rows, tokens = inputs.noise.shape[:2]
    places = torch.arange(keys.written[0][0].shape[2] - tokens, device=inputs.noise.device)
    text = (places < inputs.lengths[:, None])[:, None].expand(-1, tokens, -1)
    block = text.new_ones(tokens, tokens)
    return torch.cat([text, (block.tril() if causal else block).expand(rows, -1, -1)], dim=2)


def in_parts(parts: ExpertParts, keys: TextKeys, bias: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]):
    """The expert's layers, (rows, waypoints, hidden_size) -> like it; samples of a prompt share its keys."""
    turned = turning(rotary)

    def run(states: torch.Tensor) -> torch.Tensor:
        for layer, prompt, written in zip(parts.expert.layers, keys.prompt, keys.written, strict=True):

            def attend(queries, new_keys, new_values, layer=layer, prompt=prompt, written=written):
                for memory, new in zip(written, (new_keys, new_values), strict=True):
                    memory[:, :, -new.shape[2] :] = new
                return shared_prefix_attention(queries, prompt, written, bias, layer.self_attn.scaling)

            states = run_in_parts(layer, states, turned, attend)
        return states

    return run


def as_they_are(
    parts: ExpertParts,
    keys: TextKeys,
    real: torch.Tensor,
    seen: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    dtype: torch.dtype,
):
    """As `in_parts`, by the stock layers with all that is hooked to them; every row has a copy of its prompt's keys."""
    tokens, samples = seen.shape[1], len(seen) // len(real)
    prompt = real.repeat_interleave(samples, dim=0)[:, None].expand(-1, tokens, -1)
    mask = mask_for(parts.expert.config._attn_implementation, torch.cat([prompt, seen], dim=2), dtype)
    text = repeated_text(keys, samples, tokens)
    return lambda states: run_suffix(parts.expert.layers, states, mask, rotary, text)


def repeated_text(keys: TextKeys, samples: int, tokens: int) -> PrefixCache:
    """Keys and values of whole texts, (rows, heads, prompt and text, size), without the expert's."""
    length = keys.written[0][0].shape[2] - tokens
    kept = PrefixCache(keys.prompt[0][0].shape[2] + length)
    for shared, own in zip(*keys, strict=True):
        pairs = zip(shared, own, strict=True)
        kept.append(
            *(torch.cat([one.repeat_interleave(samples, dim=0), new[:, :, :length]], dim=2) for one, new in pairs)
        )
    return kept
