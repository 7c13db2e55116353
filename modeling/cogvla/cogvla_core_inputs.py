"""What the core of a prediction is given, see cogvla_core.py: tensors, options, and all that is drawn."""

from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..action_normalization import AffineTerms
from ..sampled_actions import check_num_samples
from .cogvla_inputs import check_actions, check_diffusion_options, check_inference_steps


class CogVLACoreInputs(NamedTuple):
    """What the core computes with; all as in `predict_action` where nothing else is said.

    Attributes:
        input_ids, attention_mask: (batch, length), padded on any side.
        pixel_values, state: as in `Observation`.
        noise: (batch * samples, num_action_chunks, action_dim), of a diffusion head.
        exponentials: of tokens that are drawn, see `exponentials_of`.
        terms: from normalised to robot units.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor | None
    pixel_values: torch.Tensor
    state: torch.Tensor | None
    noise: torch.Tensor | None
    exponentials: torch.Tensor | None
    terms: AffineTerms


class CogVLACoreOptions(NamedTuple):
    """What makes it another computation.

    Attributes:
        num_inference_steps, num_samples, check_finite: as in `predict_action`.
        normalization_type: of the config.
        details: whether all is returned that the actions were read from.
        attention: implementations in language model and towers, which may be changed after construction.
    """

    num_inference_steps: int
    num_samples: int | None
    check_finite: bool
    normalization_type: str
    details: bool
    attention: tuple[str, ...]


def core_options(
    model: PreTrainedModel,
    num_inference_steps: int | None,
    num_samples: int | None,
    check_finite: bool,
    details: bool,
) -> CogVLACoreOptions:
    """The options of a model's `predict_action`, checked; details: as in `CogVLACoreOptions`, of no samples.

    Raises:
        InputError: `num_samples` or `num_inference_steps` is out of range, or its head has none.
    """
    config = model.config
    if num_samples is not None:
        check_num_samples(num_samples, config.draws_samples, f"action_head={config.action_head!r}")
    steps, details = check_inference_steps(config, num_inference_steps), details and num_samples is None
    parts = model.language_model.model.config, config.featurizer_config, config.fused_featurizer_config
    attention = tuple(part._attn_implementation for part in parts)
    return CogVLACoreOptions(steps, num_samples, check_finite, config.normalization_type, details, attention)


def drawn_numbers(
    config: CogVLAConfig, input_ids: torch.Tensor, noise: torch.Tensor | None, num_samples: int | None
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """`noise` and `exponentials` of `CogVLACoreInputs`; noise: that of `predict_action`, drawn where it is `None`.

    Raises:
        InputError: noise has another shape, or the head begins with none.
    """
    batch, device = len(input_ids), input_ids.device
    check_diffusion_options(config, noise=noise)
    noise = check_actions(config, input_ids, "noise", noise, num_samples)
    if config.action_head == "discrete":
        return None, None if num_samples is None else exponentials_of(config, batch * num_samples, device)
    if config.action_head == "diffusion":
        shape = batch * (num_samples or 1), config.num_action_chunks, config.action_dim
        noise = (
            torch.randn(shape, dtype=torch.float32, device=device) if noise is None else noise.to(device).reshape(shape)
        )
    return noise, None


def exponentials_of(config: CogVLAConfig, rows: int, device: torch.device) -> torch.Tensor:
    """What tokens are drawn with, see `drawn_bins`: (rows, action tokens, bins), or of tokens that are drawn one after
    another (action tokens, rows, 1, bins)."""
    tokens = config.num_action_tokens
    if config.action_attention != "causal":
        return torch.empty(rows, tokens, config.n_action_bins, dtype=torch.float32, device=device).exponential_()
    drawn = torch.empty(tokens, rows, 1, config.n_action_bins, dtype=torch.float32, device=device)
    for each in drawn:  # a draw a token: the numbers of a seed are those of tokens that are drawn as they come
        each.exponential_()
    return drawn
