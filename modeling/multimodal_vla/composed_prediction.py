"""The prediction of a composed VLA, as `prediction_core.py` wants it: what the host decides, and the core.

The core is everything from the images to actions in robot units: vision tower, projector, fusion, language model, head.
Where a vision tower of transformers reads sizes of its images as numbers (`reads_sizes`), its features are made before,
in the host's half; where a language model does so in its layers (`is_one_piece`), the core runs as it is.
"""

from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from ...configuration.vla_errors import InputError, NonFiniteError
from ..action_normalization import AffineTerms, in_robot_units
from ..finite_predictions import is_whole, require_finite
from ..ode_sampling import OdeSampling
from ..prediction_core import Core, bucketed, padded_behind, run_core
from .fusion import fuse
from .language_model_rules import places_of
from .multimodal_inputs import Prompt
from .token_sequences import moe_ratios
from .vlm_backbone import check_count

MISCOUNTED = "input_ids needs as many image tokens as its images have features."


class PredictionInputs(NamedTuple):
    """Attributes:
    prompt: checked.
    state: (batch, state_dim), or `None`.
    draws: what the head begins with, as its `draws` returned it.
    terms: of the statistics that actions are un-normalised with.
    """

    prompt: Prompt
    state: torch.Tensor | None
    draws: torch.Tensor | None
    terms: AffineTerms


class PredictionOptions(NamedTuple):
    """Attributes:
    ode: of the flow head.
    num_samples: chunks of each sample, or `None` for one.
    check_finite: whether the core looks at what it read and made.
    """

    ode: OdeSampling
    num_samples: int | None
    check_finite: bool


class ComposedPrediction(NamedTuple):
    """What the core returns.

    Attributes:
        actions: (batch, num_action_chunks, action_dim) in robot units, float32, or (batch, samples, ...); NaN in a
            row without a text, and everywhere if the two `counts` differ.
        normalized, token_ids, finite_logits, entropy: as of `composed_heads.Prediction`.
        ratios: as of `moe_ratios`.
        counts: (2,), image tokens and features; `None`: there are none.
        whole: bool, `is_whole` of all this; `None`: not looked at.
    """

    actions: torch.Tensor
    normalized: torch.Tensor
    token_ids: torch.Tensor | None
    finite_logits: torch.Tensor | None
    entropy: torch.Tensor | None
    ratios: torch.Tensor | None
    counts: torch.Tensor | None
    whole: torch.Tensor | None


def composed_core(model: PreTrainedModel, inputs: PredictionInputs, options: PredictionOptions) -> ComposedPrediction:
    """A core, see `prediction_core.py`."""
    prompt = inputs.prompt
    if model.backbone.has_image_tokens:
        prompt = model.backbone.with_features(prompt)
    states, real, _ = fuse(model.fusion_parts, model.config, prompt, inputs.state)
    found = model.head.predict(states, real, options.ode, inputs.draws, options.num_samples)
    actions = in_robot_units(found.normalized, inputs.terms, model.config.normalization_type)
    answered, counts = prompt.real.any(dim=1), None
    if model.backbone.has_image_tokens and prompt.features is not None:
        count = prompt.is_image.sum()
        counts = torch.stack([count, torch.full_like(count, len(prompt.features))])
        answered = answered & (counts[0] == counts[1])
    actions = torch.where(answered.view(-1, *[1] * (actions.dim() - 1)), actions, torch.nan)
    ratios, whole = moe_ratios(model.backbone, model.projector, prompt), None
    if options.check_finite:
        read = {"pixel_values": prompt.pixel_values, "state": inputs.state, "draws": inputs.draws}
        whole = is_whole({"actions": actions, "logits": found.finite_logits}, read, prompt.real)
    made = found.normalized, found.token_ids, found.finite_logits, found.entropy
    return ComposedPrediction(actions, *made, ratios, counts, whole)


def predicted(
    model: PreTrainedModel, inputs: PredictionInputs, options: PredictionOptions, length: int
) -> ComposedPrediction:
    """By the core, at once or behind a vision tower that reads sizes.

    length: of the prompts without the padding of a bucket, which is taken off again if it makes the sequence too long.

    Raises:
        InputError: images of other samples, or more tokens than the language model has places.
    """
    prompt, backbone = inputs.prompt, model.backbone
    if backbone.reads_sizes(prompt):
        prompt = backbone.with_features(prompt)
    run = run_core if backbone.is_one_piece else run_plainly
    try:
        return run(model, composed_core, inputs._replace(prompt=prompt), options)
    except InputError:
        if prompt.input_ids.shape[1] == length:
            raise
    return run(model, composed_core, inputs._replace(prompt=prompt.shortened(length)), options)


def run_plainly(model: PreTrainedModel, core: Core, inputs: Any, options: Any) -> Any:
    """As `run_core`, of a core that is not one piece."""
    return core(model, inputs, options)


def padded_prompt(
    model: PreTrainedModel, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None
) -> tuple[torch.LongTensor, torch.Tensor | None]:
    """`padded_behind`, where that does not change what the language model makes of a prompt.

    Places that a prompt has only padded are not asked for: a bucket that is longer than the language model is left out.
    """
    limit = places_of(model.config.text_part)
    too_long = limit is not None and bucketed(model, input_ids.shape[1]) > limit
    if too_long or not model.backbone.may_be_padded:
        return input_ids, attention_mask
    return padded_behind(model, input_ids, attention_mask)


def require_whole(
    model: PreTrainedModel, found: ComposedPrediction, inputs: PredictionInputs, statistics: dict[str, Any]
) -> None:
    """The end of a prediction: one number is read, and what is wrong is an error that says so.

    Raises:
        InputError: another number of image tokens than of features, or a row without a text.
        NonFiniteError: see `require_finite`.
    """
    prompt = inputs.prompt
    read = {"pixel_values": prompt.pixel_values, "state": inputs.state, "noise": inputs.draws}
    outputs = {"actions": found.actions, "logits": found.finite_logits}
    if torch.compiler.is_compiling() and found.counts is not None:
        torch._assert_async(found.counts[0] == found.counts[1], MISCOUNTED)
    try:
        require_finite(model, outputs, read, statistics, prompt.real, found.whole)
    except NonFiniteError:
        if found.counts is not None:
            check_count(*found.counts.tolist())
        raise
