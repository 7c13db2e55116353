"""Checks of what the LLaVA-3D model is called with."""

from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import nn
from transformers.utils import TransformersKwargs

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import InputError
from ..input_checks import check_ids, check_inputs, check_length, check_rows, views_of
from ..sampled_actions import check_num_samples
from .null_condition import chosen_guidance

TEXT_ARGUMENTS = frozenset(
    [*TransformersKwargs.__annotations__, "cache_position", "logits_to_keep", "return_dict", "token_type_ids"]
)


def check_text_arguments(given: Mapping[str, Any]) -> None:
    """Refuse further arguments of `forward` that no language model of transformers takes.

    Raises:
        InputError: the message names the argument.
    """
    for name in given:
        if name not in TEXT_ARGUMENTS:
            raise InputError(f"forward has no argument {name!r}: is it misspelt?")


def check_has_expert(config: MapAnythingLlava3DConfig) -> None:
    if config.action_expert_type is None:
        raise InputError(
            "action_expert_type is None: this model has no action expert; generate() writes action tokens, which "
            "the processor's decode_actions() reads."
        )


def check_sampling(config: MapAnythingLlava3DConfig, num_samples: int | None, guidance_scale: float | None) -> None:
    """Refuse samples or guidance that this model's experts have not, before anything is computed."""
    if num_samples is not None:
        check_num_samples(num_samples, True, "an expert")
    if config.has_dit and not config.has_deep_fusion:
        chosen_guidance(config.dit_config, guidance_scale)
    elif guidance_scale not in (None, 1):
        raise InputError(
            f"guidance_scale={guidance_scale!r} was given, but only a DiT head alone can be guided, and "
            f"action_expert_type is {config.action_expert_type!r}."
        )


def check_arguments(
    model: nn.Module, input_ids: Any, attention_mask: Any, numbers: dict[str, Any], num_cached: int = 0
) -> None:
    """Refuse what has another form than is needed, and ids without an embedding, before anything is computed.

    numbers: arguments that hold real numbers, by name, with `pixel_values` among them; see `check_inputs`.
    """
    if input_ids is None:
        raise InputError("input_ids is missing.")
    config: MapAnythingLlava3DConfig = model.config
    check_inputs(model, input_ids, padding_of(attention_mask), numbers, num_cached)
    if numbers["pixel_values"] is not None:
        num_samples = len(views_of(numbers["pixel_values"]))
        if num_samples != len(input_ids):
            raise InputError(f"pixel_values holds {num_samples} samples, input_ids {len(input_ids)}.")
    has_own = input_ids == config.image_token_id
    if config.use_spatial_token:
        index = input_ids - config.action_token_begin_idx
        has_own = has_own | ((index >= 0) & (index < config.spatial_token_num))
    check_ids(input_ids.masked_fill(has_own, 0), model.get_input_embeddings())
    actions = config.num_action_chunks if config.has_deep_fusion else 0
    parts = {"text and image": num_cached + input_ids.shape[1], "action": actions}
    check_length(parts, config.text_config.max_position_embeddings)


def padding_of(attention_mask: Any) -> Any:
    """The mask, unless it is of four dimensions, as `generate` makes it for a cache of fixed size: the language model
    reads those."""
    return None if getattr(attention_mask, "ndim", 2) == 4 else attention_mask


def check_tokens(
    config: MapAnythingLlava3DConfig,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    pixel_values: torch.Tensor | None,
) -> None:
    """Refuse rows of padding alone, and rows with more or fewer image tokens than image features.

    These are values: on an accelerator looking at them waits for it. In a compiled call they are assertions of the
    graph (a RuntimeError), which do not know the row.
    """
    real = padding_of(attention_mask)
    if torch.compiler.is_compiling():
        if real is not None:
            check_rows(real)
        fits, wanted = has_image_tokens(config, input_ids, pixel_values), num_image_features(config, pixel_values)
        torch._assert_async(fits, f"input_ids has a row without exactly {wanted} image tokens, as image features.")
        return
    if real is not None and not on_host(real).any(axis=1).all():
        check_rows(real)
    counts = (on_host(input_ids) == config.image_token_id).sum(axis=1)
    wanted = num_image_features(config, pixel_values)
    if (counts != wanted).any():
        raise InputError(
            f"input_ids has {counts.tolist()} image tokens (id {config.image_token_id}) in its rows, but each sample "
            f"has {wanted} image features."
        )


def on_host(tensor: torch.Tensor) -> numpy.ndarray:
    return tensor.numpy() if tensor.device.type == "cpu" else tensor.cpu().numpy()


def has_image_tokens(
    config: MapAnythingLlava3DConfig, input_ids: torch.LongTensor, pixel_values: torch.Tensor | None
) -> torch.Tensor:
    """Bool, of no dimension, without looking at it: whether each row has as many image tokens as image features."""
    counts = (input_ids == config.image_token_id).sum(dim=1)
    return (counts == num_image_features(config, pixel_values)).all()


def num_image_features(config: MapAnythingLlava3DConfig, pixel_values: torch.Tensor | None) -> int:
    """Of each sample: a feature for each patch of each view."""
    if pixel_values is None:
        return 0
    (_, views, _, height, width), patch = views_of(pixel_values).shape, config.vision_config.patch_size
    return views * (height // patch) * (width // patch)
