"""Guidance of Alpamayo's trajectories by navigation: the same text over a prompt with a route and over one without.

Text is written with navigation. Then the prompt without the route is read, and behind it the same text; in each step
the expert sees both, and what navigation changes about the velocity is weighed (`guided_velocity.py`). Published form:
NVlabs/alpamayo1.5, `sample_trajectories_from_data_with_vlm_rollout_cfg_nav`.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ..prediction_core import bucketed, run_core
from .navigation_markers import Route, without_route
from .prompt_pass import PromptInputs
from .prompt_reading import places_of
from .rollout import Prompt, Rollout, prefill
from .text_decoding import NextToken, SameText, all_in_parts, read_same_text, read_token
from .text_keys import TextKeys
from .token_drawing import WrittenText


class Guidance(NamedTuple):
    """weight: of the guided velocity, neither `None` nor 1; prompt: as `PromptInputs`, without navigation."""

    weight: float
    route: Route
    prompt: PromptInputs


class Unguided(NamedTuple):
    """What the expert sees of prompts without navigation.

    Attributes:
        weight: see `Guidance`.
        prompt: whose keys are the second half of `keys`.
        routed: (batch,) bool, whose prompt has navigation.
        keys: of all texts: those of the prompts with navigation, then the same texts over those without.
    """

    weight: float
    prompt: Prompt
    routed: torch.Tensor
    keys: TextKeys


def guidance_of(
    model: nn.Module, scene: dict[str, Any], grid: torch.LongTensor | None, route: Route | None, weight: float | None
) -> Guidance | None:
    """What guides a prediction of this scene (`read_scene`, with its grid), `None` without a route."""
    if route is None:
        return None
    ids, real = without_route(scene["input_ids"], scene["real"], route)
    positions, real = places_of(model.vlm, ids, real.long(), grid)
    return Guidance(float(weight), route, PromptInputs(ids, positions, real, scene["images"]))


def halves(keys: TextKeys) -> tuple[TextKeys, TextKeys]:
    """Keys of twice as many prompts as views of the first and of the second half of them."""
    whole = [[each.chunk(2) for each in pair] for part in keys for pair in part]
    layers = len(keys.prompt)

    def half(number: int) -> TextKeys:
        pairs = [tuple(each[number] for each in pair) for pair in whole]
        return TextKeys(tuple(pairs[:layers]), tuple(pairs[layers:]))

    return half(0), half(1)


def read_unguided(
    model: nn.Module, rollout: Rollout, guidance: Guidance, fused: torch.LongTensor, keys: TextKeys
) -> Unguided:
    """Read prompts without navigation, and behind each the texts of its samples.

    model: an `AlpamayoR1`; rollout: whose prompt has the first half of `keys`; fused: (batch, length), the prompts of
    `guidance` with their histories.
    """
    second = halves(keys)[1]
    prompt = prefill(model, guidance.prompt._replace(input_ids=fused), rollout.prompt.samples, second)
    read_again(model, rollout, prompt)
    routed = (rollout.prompt.input_ids == guidance.route.start).any(dim=1)
    return Unguided(guidance.weight, prompt, routed, keys)


def read_again(model: nn.Module, rollout: Rollout, prompt: Prompt) -> None:
    """Write keys and values of all columns of the texts behind a prompt, all at once, or one by one where the VLM's
    layers are watched, wrapped or in training."""
    first = prompt.repeated(prompt.last_position) + 1
    tokens = rollout.tokens
    if all_in_parts(model.vlm.model.language_model, prompt.keys.prompt[0][0]):
        tokens = F.pad(tokens, (0, bucketed(model, tokens.shape[1]) - tokens.shape[1]))
        run_core(model, read_same_text, SameText(tokens, prompt.real, first), (), prompt.keys)
        return
    flags = rollout.finite
    for count in range(1, tokens.shape[1] + 1):
        number = torch.full((1,), count, dtype=torch.long, device=tokens.device)
        written = WrittenText(tokens, number, rollout.lengths, flags, flags)
        read_token(model, NextToken(written, prompt.real, first), (), prompt.keys)
