"""All steps of Alpamayo-R1's expert and the drive that they end in, as one core over the keys and values of texts.

Samples of a prompt are denoised side by side: their action tokens are queries of one attention, over the prompt's keys
once, the keys of all texts, and their own. The mask keeps samples apart. What does not change from step to step (mask,
positions, the keys of texts in one piece) is made before the first.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ..decoder_layer_pass import rms_norm, without_gradients
from ..modules import floating_dtype
from ..ode_sampling import OdeSampling
from ..prediction_core import run_core
from ..shared_prefix_attention import KeysValues
from ..stack_passes import PrefixCache
from .expert_velocity import ExpertParts, velocity_over
from .rollout import Rollout
from .text_keys import TextKeys
from .text_layer import can_run_in_parts, run_in_parts, turning


class DriveStart(NamedTuple):
    """What trajectories begin with; rows are texts, those of a prompt one behind the other.

    Attributes:
        noise: (rows, waypoints, 2).
        real: (batch, prompt) bool, what the expert sees of prompts.
        lengths: (rows,), tokens of each text that it sees.
        first: (rows,), position of the first action token.
        speed, height: (rows,), in m/s and metres.
    """

    noise: torch.Tensor
    real: torch.Tensor
    lengths: torch.LongTensor
    first: torch.LongTensor
    speed: torch.Tensor
    height: torch.Tensor


class Drive(NamedTuple):
    """(rows, waypoints, 2) normalised actions, (rows, waypoints, 3) metres and (rows, waypoints, 3, 3), float32."""

    actions: torch.Tensor
    pred_xyz: torch.Tensor
    pred_rot: torch.Tensor


def driven(
    model: nn.Module,
    rollout: Rollout,
    history: tuple[torch.Tensor, torch.Tensor],
    noise: torch.Tensor,
    ode: OdeSampling,
) -> Drive:
    """What an `AlpamayoR1` draws behind texts; history: (batch, steps, 3) and (batch, steps, 3, 3)."""
    prompt, (xyz, rot) = rollout.prompt, history
    real = prompt.real if model.config.mask_prompt_padding else torch.ones_like(prompt.real)
    start = (prompt.last_position + 1, model.action_space.last_speed(xyz, rot), xyz[:, -1, 2])
    first, speed, height = (prompt.repeated(each) for each in start)
    read = rollout.lengths.clamp(max=rollout.read)
    inputs = DriveStart(noise, real, read, first + rollout.lengths, speed, height)
    if can_share(model, noise, prompt.keys):
        return run_core(model, drive, inputs, ode, prompt.keys)
    return followed(model, inputs, ode, velocity_of_rows(model, inputs, prompt.keys, rollout.read))


def drive(model: nn.Module, inputs: DriveStart, ode: OdeSampling, keys: TextKeys) -> Drive:
    """Core: from noise to poses. The keys of texts are read, and not written."""
    return followed(model, inputs, ode, velocity_in_parts(model, inputs, keys))


def followed(model: nn.Module, inputs: DriveStart, ode: OdeSampling, velocity: Callable[..., torch.Tensor]) -> Drive:
    steps, solver, spacing = ode
    options = {"inference_step": steps, "ode_solver": solver, "ode_spacing": spacing, "noise": inputs.noise}
    actions = model.diffusion.sample(len(inputs.noise), velocity, inputs.noise.device, **options)
    return Drive(actions, *model.action_space.drive(actions, inputs.speed, inputs.height))


def can_share(model: nn.Module, noise: torch.Tensor, keys: TextKeys) -> bool:
    """Whether the expert is its stock layers in their parts, over keys of its own dtype."""
    expert, dtype = model.expert, floating_dtype(model.action_out_proj)
    is_plain = expert.config._attn_implementation == "sdpa" and all(can_run_in_parts(each) for each in expert.layers)
    return is_plain and without_gradients(noise) and keys.prompt[0][0].dtype == dtype


def velocity_of_rows(model: nn.Module, inputs: DriveStart, keys: TextKeys, columns: int) -> Callable[..., torch.Tensor]:
    """See `velocity_over`: by the stock layers with all that is hooked to them; each text has its prompt's keys.

    columns: of texts that have keys.
    """
    samples, text = len(inputs.noise) // len(inputs.real), PrefixCache(inputs.real.shape[1] + columns)
    for shared, own in zip(*keys, strict=True):
        pairs = [
            (prompt.repeat_interleave(samples, dim=0), new[:, :, :columns])
            for prompt, new in zip(shared, own, strict=True)
        ]
        text.append(*(torch.cat(pair, dim=2) for pair in pairs))
    real = inputs.real.repeat_interleave(samples, dim=0)
    seen = torch.cat([real, seen_of_texts(inputs, columns)], dim=1)
    return velocity_over(text, seen, inputs.first, inputs.noise.shape[1], model.expert_parts)


def seen_of_texts(inputs: DriveStart, columns: int) -> torch.Tensor:
    """(rows, columns) bool."""
    return torch.arange(columns, device=inputs.lengths.device) < inputs.lengths[:, None]


def velocity_in_parts(model: nn.Module, inputs: DriveStart, keys: TextKeys) -> Callable[..., torch.Tensor]:
    """`velocity(x, t)`, as of `velocity_over`."""
    parts: ExpertParts = model.expert_parts
    batch, (rows, tokens) = len(inputs.real), inputs.noise.shape[:2]
    dtype, samples = keys.prompt[0][0].dtype, rows // batch
    groups = parts.expert.config.num_attention_heads // keys.prompt[0][0].shape[1]
    written = seen_of_texts(inputs, keys.written[0][0].shape[2])
    bias = shared_bias(inputs, written, parts.causal, groups, dtype)
    positions = (inputs.first[:, None] + torch.arange(tokens, device=inputs.first.device))[None].expand(3, -1, -1)
    rotary = turning(parts.expert.rotary_emb(inputs.noise.new_empty(1, dtype=dtype), positions))
    joined = [joined_keys(prompt, written, samples, tokens) for prompt, written in zip(*keys, strict=True)]

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        states = parts.action_in_proj(x, t)
        for layer, kept in zip(parts.expert.layers, joined, strict=True):

            def attend(queries, new_keys, new_values, layer=layer, kept=kept):
                for memory, new in zip(kept, (new_keys, new_values), strict=True):
                    behind = memory[:, :, memory.shape[2] - samples * tokens :].unflatten(2, (samples, tokens))
                    behind.copy_(new.unflatten(0, (batch, samples)).transpose(1, 2))
                return side_by_side(queries, kept, bias, samples, layer.self_attn.scaling)

            states = run_in_parts(layer, states, rotary, attend)
        return parts.action_out_proj(rms_norm(parts.expert.norm, states))

    return velocity


def joined_keys(prompt: KeysValues, written: KeysValues, samples: int, tokens: int) -> KeysValues:
    """Keys and values of a prompt, its texts and its action tokens, (batch, key heads, all of them, head_dim).

    The places of action tokens, the last, are to be written.
    """
    found = []
    for shared, own in zip(prompt, written, strict=True):
        texts = own.unflatten(0, (-1, samples)).transpose(1, 2).flatten(2, 3)
        found.append(torch.cat([shared, texts, shared.new_empty(*shared.shape[:2], samples * tokens, own.shape[3])], 2))
    return tuple(found)


def shared_bias(
    inputs: DriveStart, written: torch.Tensor, causal: bool, groups: int, dtype: torch.dtype
) -> torch.Tensor:
    """What is added to scores: 0 where an action token looks, minus infinity elsewhere.

    A token sees the prompt, its own text as far as written (rows, room) is true, and the tokens of its own trajectory.
    groups: query heads of a key head. Returns (batch, 1, groups * samples * tokens, keys), keys as of `joined_keys`.
    """
    batch, (rows, tokens) = len(inputs.real), inputs.noise.shape[:2]
    samples = rows // batch
    own = torch.eye(samples, dtype=torch.bool, device=written.device)
    texts = (own[None, :, :, None] & written.unflatten(0, (batch, 1, samples))).flatten(2)
    block = torch.ones(tokens, tokens, dtype=torch.bool, device=written.device)
    block = own[:, None, :, None] & (block.tril() if causal else block)[None, :, None, :]
    seen = torch.cat(
        [
            inputs.real[:, None, None].expand(-1, samples, tokens, -1),
            texts[:, :, None].expand(-1, -1, tokens, -1),
            block.flatten(2)[None].expand(batch, -1, -1, -1),
        ],
        dim=-1,
    )
    bias = torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, float("-inf")).flatten(1, 2)
    return bias.repeat(1, groups, 1)[:, None]


def side_by_side(
    queries: torch.Tensor, kept: KeysValues, bias: torch.Tensor, samples: int, scaling: float
) -> torch.Tensor:
    """Attention of all samples in one, over keys that are in memory once; bias: of `shared_bias`.

    queries: (batch * samples, heads, tokens, head_dim); kept: of `joined_keys`. Query heads that share a key head are
    rows of one matrix. Returns (batch * samples, tokens, heads * head_dim).
    """
    tokens, key_heads = queries.shape[2], kept[0].shape[1]
    apart = queries.unflatten(0, (-1, samples)).unflatten(2, (key_heads, -1))  # batch, samples, key heads, groups, ...
    together = apart.permute(0, 2, 3, 1, 4, 5).flatten(2, 4)
    mixed = F.scaled_dot_product_attention(together, *kept, attn_mask=bias, scale=scaling)
    apart = mixed.unflatten(2, (-1, samples, tokens)).permute(0, 3, 4, 1, 2, 5)
    return apart.flatten(3).flatten(0, 1)
