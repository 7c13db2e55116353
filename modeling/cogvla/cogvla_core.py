"""The core of a prediction, see prediction_core.py: from an observation as tensors to actions in robot units.

All heads, views and layers of different lengths, all steps of a diffusion head and all tokens that are written one by
one are inside; it asks no device for a number.
"""

from typing import NamedTuple

import torch
from torch import nn

from ..action_normalization import in_robot_units
from ..finite_predictions import is_whole
from ..masking import check_mask
from .action_decoding import DecodedActions, decode_at_once, decode_one_by_one, denoise
from .action_sequence import right_padded, with_action_block, with_prompt_end
from .cogvla_core_inputs import CogVLACoreInputs, CogVLACoreOptions
from .cogvla_inputs import Observation


class CogVLAPrediction(NamedTuple):
    """What the core computes; see `CogVLAActionOutput` and `DecodedActions`, whose fields these are.

    Attributes:
        actions, normalized: those of a row without text are NaN.
        hidden_states, moe_ratios, kept_vision_tokens, token_ids: `None` without `details`.
        finite: what else is to be finite, (batch,) bool by name.
        whole: see `is_whole`; `None` where nobody asks.
    """

    actions: torch.Tensor
    normalized: torch.Tensor
    entropy: torch.Tensor | None
    hidden_states: torch.Tensor | None
    moe_ratios: torch.Tensor | None
    kept_vision_tokens: dict[int, torch.Tensor] | None
    token_ids: torch.Tensor | None
    finite: dict[str, torch.Tensor]
    whole: torch.Tensor | None


def predicted(model: nn.Module, inputs: CogVLACoreInputs, options: CogVLACoreOptions) -> CogVLAPrediction:
    """The prediction of a `CogVLAForActionPrediction`."""
    real, ids = right_padded(check_mask(inputs.input_ids, inputs.attention_mask), inputs.input_ids)
    seen = Observation(ids, real, inputs.pixel_values, inputs.state)
    decoded, moe_ratios = decoded_actions(model, seen, inputs, options)
    has_text = real[:, :1].view(-1, *[1] * (decoded.normalized.dim() - 1))
    normalized = decoded.normalized.masked_fill(~has_text, float("nan"))  # nobody has to ask for rows of padding
    actions = in_robot_units(normalized, inputs.terms, options.normalization_type)
    whole = None
    if options.check_finite:
        given = {"pixel_values": inputs.pixel_values, "state": inputs.state, "noise": inputs.noise}
        whole = is_whole({"actions": actions, **decoded.finite}, given)
    details = (decoded.hidden_states, moe_ratios, decoded.kept_vision_tokens, decoded.token_ids)
    details = details if options.details else (None,) * len(details)
    return CogVLAPrediction(actions, normalized, decoded.entropy, *details, decoded.finite, whole)


def decoded_actions(
    model: nn.Module, seen: Observation, inputs: CogVLACoreInputs, options: CogVLACoreOptions
) -> tuple[DecodedActions, torch.Tensor | None]:
    """What the head makes of an observation, and the weights of the towers."""
    config, language_model, samples = model.config, model.language_model, options.num_samples
    ids, real = with_prompt_end(seen.input_ids, seen.real, config.prompt_end_token_id)
    if config.action_attention == "causal":
        observed = Observation(ids, real, seen.pixel_values, seen.state)
        prompt, moe_ratios = model.prompt_inputs(observed, config.stop_token_id)
        decoded = decode_one_by_one(config, language_model, prompt, real, samples, inputs.exponentials)
        return decoded, moe_ratios
    sequence = with_action_block(ids, real, config.num_action_tokens, config.stop_token_id)
    averaged = sequence.real & ~sequence.is_action
    read, moe_ratios = model.action_inputs(seen, sequence, averaged, config.num_action_tokens)
    if config.action_head != "diffusion":
        parts = language_model, model.action_head
        return decode_at_once(config, *parts, read, samples, inputs.exponentials), moe_ratios
    parts = language_model, model.action_head, model.noisy_action_projector
    steps = options.num_inference_steps
    return denoise(config, *parts, read, sequence, inputs.noise, steps, samples), moe_ratios
