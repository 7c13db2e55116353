"""Checks of what a caller passes to the CogVLA model; each returns its argument in the one form used inside."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_errors import InputError
from ..input_checks import check_ids, check_inputs, check_length
from ..masking import check_mask
from .action_sequence import right_padded


@dataclass
class Observation:
    """What the model is shown.

    Attributes:
        input_ids: (batch, length), padding behind the text.
        real: (batch, length) bool, false on padding.
        pixel_values: (batch, views, 6, height, width), in the model's dtype.
        state: (batch, state_dim), normalised, in the model's dtype; `None` for a model without state.
    """

    input_ids: torch.Tensor
    real: torch.Tensor
    pixel_values: torch.Tensor
    state: torch.Tensor | None


def observation(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    pixel_values: torch.Tensor | None,
    state: torch.Tensor | None,
    **numbers: torch.Tensor | None,
) -> Observation:
    """What the caller passed, checked by type, shape and device, ids on a CPU by value; numbers: other arguments.

    Raises:
        InputError: something is missing or has another form; the message names it.
    """
    pixel_values, state = check_observation(model, input_ids, attention_mask, pixel_values, state, **numbers)
    real, ids = right_padded(check_mask(input_ids, attention_mask), input_ids)
    return Observation(ids, real, pixel_values, state)


def check_observation(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    pixel_values: torch.Tensor | None,
    state: torch.Tensor | None,
    **numbers: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As `observation`, which pads on the right besides: pixel values and state in the one form used inside."""
    check_inputs(model, input_ids, attention_mask, {"pixel_values": pixel_values, "state": state, **numbers})
    check_ids(input_ids, model.get_input_embeddings())
    pixel_values = check_pixel_values(model.config, input_ids, pixel_values, model.dtype)
    return pixel_values, check_state(model.config, input_ids, state, model.dtype)


def check_places(config: CogVLAConfig, text: int, actions: int = 0) -> None:
    """Refuse text and actions (tokens) that, with what stands between them, the language model has no positions for."""
    parts = {"text": text, "image": config.num_vision_tokens, "state": int(config.state_dim is not None)}
    parts |= {"time": int(config.action_head == "diffusion"), "action": actions}
    check_length(parts, config.text_config.max_position_embeddings)


def check_pixel_values(
    config: CogVLAConfig, input_ids: torch.Tensor, pixel_values: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor:
    """(batch, views, 6, height, width) in `dtype`, from that or from (batch, 6 * views, height, width)."""
    if pixel_values is None:
        raise InputError("pixel_values is missing: the model needs an image for every sample.")
    batch, views, size = input_ids.shape[0], config.num_images_in_input, config.featurizer_config.image_size
    shape = tuple(pixel_values.shape)
    if shape not in ((batch, 6 * views, size, size), (batch, views, 6, size, size)):
        raise InputError(
            f"pixel_values has shape {shape}; a batch of {batch} with num_images_in_input={views} needs "
            f"{(batch, 6 * views, size, size)} or {(batch, views, 6, size, size)}."
        )
    return pixel_values.to(dtype).view(batch, views, 6, size, size)


def check_state(
    config: CogVLAConfig, input_ids: torch.Tensor, state: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor | None:
    """(batch, state_dim) in `dtype`; a single sample's (state_dim,) is taken too."""
    if config.state_dim is None:
        if state is not None:
            raise InputError("state was given, but this checkpoint takes no robot state (state_dim is None).")
        return None
    wanted = (input_ids.shape[0], config.state_dim)
    if state is None:
        raise InputError(f"state is missing: this checkpoint needs the normalised robot state, {wanted}.")
    if state.dim() == 1 and wanted[0] == 1:
        state = state.unsqueeze(0)
    if tuple(state.shape) != wanted:
        raise InputError(f"state has shape {tuple(state.shape)}; (batch, state_dim) is {wanted}.")
    return state.to(dtype)


def check_inference_steps(config: CogVLAConfig, given: int | None) -> int:
    """How many steps the diffusion head samples with: as given, else the config's, else all of its training."""
    steps = config.num_inference_steps if given is None else given
    if given is not None and config.action_head != "diffusion":
        raise InputError(f"num_inference_steps={given} was given, but action_head={config.action_head!r} has no steps.")
    if steps is None:
        return config.num_diffusion_steps
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= config.num_diffusion_steps:
        raise InputError(
            f"num_inference_steps={steps!r} must be a whole number from 1 to num_diffusion_steps="
            f"{config.num_diffusion_steps}, with which the diffusion head was trained."
        )
    return steps


def check_diffusion_options(config: CogVLAConfig, **options: torch.Tensor | None) -> None:
    """Refuse what only the diffusion head reads, by its name; what is `None` was not given (InputError)."""
    given = [name for name, value in options.items() if value is not None]
    if given and config.action_head != "diffusion":
        raise InputError(f"{given[0]} was given, but action_head={config.action_head!r} begins with no noise.")


def check_actions(
    config: CogVLAConfig, input_ids: torch.Tensor, name: str, value: torch.Tensor | None, num_samples: int | None = None
) -> torch.Tensor | None:
    """(batch, num_action_chunks, action_dim) in float32, or (batch, num_samples, num_action_chunks, action_dim), or
    nothing as it came; `name` is the argument's."""
    if value is None:
        return None
    if config.action_head == "discrete":
        raise InputError(f"{name} was given, but action_head='discrete' has no continuous actions.")
    samples = () if num_samples is None else (num_samples,)
    wanted = (input_ids.shape[0], *samples, config.num_action_chunks, config.action_dim)
    if tuple(value.shape) != wanted:
        form = f"(batch, {'num_samples, ' if samples else ''}num_action_chunks, action_dim)"
        raise InputError(f"{name} has shape {tuple(value.shape)}; {form} is {wanted}.")
    return value.float()
