"""A prediction of LLaVA-3D between its checks: one core from pixels and ids to actions in robot units.

Prefix and all steps of the flow are one core: they are one launch of a card, and no keys and values have to outlive it.
A call with another number of steps is another computation.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import NonFiniteError
from ..action_normalization import AffineTerms, in_robot_units
from ..embodiments import check_known
from ..finite_predictions import is_whole, require_finite
from ..llama_layers import projections_of
from ..ode_sampling import OdeSampling
from ..prediction_core import exclusive, padded_behind, run_core
from .action_experts import followed_actions
from .llava3d_inputs import check_tokens, has_image_tokens, padding_of


class ActionInputs(NamedTuple):
    """The tensors of a call, as `predict_action` describes them; noise as `followed_actions` does."""

    input_ids: torch.LongTensor
    attention_mask: torch.Tensor | None
    pixel_values: torch.Tensor | None
    intrinsic: torch.Tensor | None
    state: torch.Tensor | None
    noise: torch.Tensor
    embodiment_id: torch.LongTensor | None
    terms: AffineTerms

    @property
    def numbers(self) -> dict[str, torch.Tensor | None]:
        """Those that the caller gave as real numbers, by their names."""
        return {name: getattr(self, name) for name in ("pixel_values", "state", "intrinsic", "noise")}


class ActionOptions(NamedTuple):
    """What makes a prediction another computation.

    Attributes:
        guidance_scale: of a DiT head alone, 1 for none.
        check_finite: whether `PredictedActions.whole` is found out.
    """

    ode: OdeSampling
    guidance_scale: float
    normalization_type: str
    check_finite: bool


class PredictedActions(NamedTuple):
    """Attributes:
    actions, normalized: of the shape of the noise, in robot units and before; float32.
    whole: bool, of no dimension: whether all is finite, each row has a text, and as many image tokens as features.
    """

    actions: torch.Tensor
    normalized: torch.Tensor
    whole: torch.Tensor | None


def run_prediction(
    model: nn.Module,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    given: tuple,
    options: ActionOptions,
) -> PredictedActions:
    """The core, over prompts of a length that few others have, where fast prediction is on.

    given: what `ActionInputs` holds behind ids and mask.
    """
    with exclusive(model):
        if has_places(model.config, attention_mask):
            input_ids, attention_mask = padded_behind(model, input_ids, attention_mask)
        return run_core(model, predicted_actions, ActionInputs(input_ids, attention_mask, *given), options)


def has_places(config: MapAnythingLlava3DConfig, attention_mask: torch.Tensor | None) -> bool:
    """Whether prompts can be padded: a mask of four dimensions says more, and id 0 must be no image."""
    return config.image_token_id != 0 and (attention_mask is None or attention_mask.dim() == 2)


def predicted_actions(model: nn.Module, inputs: ActionInputs, options: ActionOptions) -> PredictedActions:
    """The core of `predict_action`, see `prediction_core.py`."""
    prefix_embs, _ = model.embed_prefix(inputs.input_ids, inputs.pixel_values, inputs.attention_mask, inputs.intrinsic)
    normalized = followed_actions(
        model.expert_parts(),
        prefix_embs,
        inputs.attention_mask,
        inputs.state,
        options.ode,
        inputs.noise.to(prefix_embs.device),
        options.guidance_scale,
        inputs.embodiment_id,
    )
    actions = in_robot_units(normalized, inputs.terms, options.normalization_type)
    if not options.check_finite:
        return PredictedActions(actions, normalized, None)
    whole = is_whole({"actions": actions}, inputs.numbers, padding_of(inputs.attention_mask))
    fits = has_image_tokens(model.config, inputs.input_ids, inputs.pixel_values)
    return PredictedActions(actions, normalized, whole & fits.to(whole.device))


def require_sound(
    model: nn.Module,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    numbers: Mapping[str, torch.Tensor | None],
    found: PredictedActions,
    statistics: Mapping[str, Any],
    embodiment_id: torch.LongTensor | None = None,
) -> None:
    """See `require_finite`; the device is asked once, and once more where something is wrong, for what it was."""
    real = padding_of(attention_mask)
    try:
        require_finite(model, {"actions": found.actions}, numbers, statistics, real, found.whole)
    except NonFiniteError:
        check_tokens(model.config, input_ids, attention_mask, numbers["pixel_values"])
        if embodiment_id is not None:
            check_known(model.config.num_embodiments, embodiment_id.cpu())
        raise


def joint_projections(model: nn.Module) -> list[list[nn.Linear]]:
    """Linear layers that read the same input: of the tower, the language model and the experts."""
    parts = model.expert_parts()
    stacks = parts.stack, *([] if parts.network is None else [parts.network.expert])
    groups = [group for stack in stacks for layer in stack.layers for group in projections_of(layer)]
    named = model.vision_tower, *([] if parts.head is None else [parts.head])
    return groups + [group for part in named for group in part.projections_to_fuse()]
