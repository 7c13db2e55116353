"""Trajectories of Alpamayo-R1 from noise, over texts that were just written: all steps of the expert as one core.

The expert's tokens see keys and values where the text left them (`text_keys.py`): those of a prompt are in memory once,
whatever the number of its samples, and the expert's own are put behind those of the text, anew in each step.
"""

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
from .rollout import Rollout
from .text_keys import TextKeys
from .text_layer import can_run_in_parts, run_in_parts, turning


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
) -> Drive:
    """Actions and poses behind accepted texts.

    model: an `AlpamayoR1`; noise: (rows, waypoints, 2), float32; history: (batch, steps, 3) and (batch, steps, 3, 3).
    """
    prompt, lengths = rollout.prompt, rollout.lengths
    real = prompt.real if model.config.mask_prompt_padding else torch.ones_like(prompt.real)
    first = prompt.repeated(prompt.last_position) + 1 + lengths
    start = prompt.repeated(model.action_space.last_speed(*history)), prompt.repeated(history[0][:, -1, 2])
    read = lengths.clamp(max=rollout.read)
    return run_core(model, drive, Noise(noise, real, read, first, *start), ode, prompt.keys)


def drive(model: nn.Module, inputs: Noise, options: OdeSampling, keys: TextKeys) -> Drive:
    """Core: all steps from noise to actions, and the path that these lead along."""
    velocity = velocity_of(model.expert_parts, inputs, keys)
    steps, solver, spacing = options
    given = {"inference_step": steps, "ode_solver": solver, "ode_spacing": spacing, "noise": inputs.noise}
    actions = model.diffusion.sample(len(inputs.noise), velocity, inputs.noise.device, **given)
    return Drive(actions, *model.action_space.drive(actions, inputs.speed, inputs.z))


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
