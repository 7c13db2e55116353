"""What the backbones of composed VLAs share: positions, views, and the scale of tokens."""

import torch
import transformers
from transformers import PretrainedConfig

from ...configuration.multimodal_vla.proven_backbones import POSITIONS_BEHIND_PADDING
from ...configuration.vla_errors import InputError

# On 4.57 these multiply what they are given by the root of their width; on 5.x their embedding layer does.
SCALES_INPUTS = ("gemma", "gemma2", "recurrent_gemma", "vaultgemma")


def scale_of_inputs(text_config: PretrainedConfig) -> float:
    """The factor that a language model puts on the embeddings that it is given."""
    scales = transformers.__version__.startswith("4.") and text_config.model_type in SCALES_INPUTS
    return text_config.hidden_size**0.5 if scales else 1.0


def first_position(text_config: PretrainedConfig) -> int:
    """The position of the first token that is not padding."""
    return text_config.pad_token_id + 1 if text_config.model_type in POSITIONS_BEHIND_PADDING else 0


def max_positions(text_config: PretrainedConfig) -> int | None:
    """How many tokens a language model has positions for; `None` for one that does not count them."""
    limit = getattr(text_config, "max_position_embeddings", None)
    return None if limit is None else limit - first_position(text_config)


def text_positions(real: torch.Tensor, first: int = 0) -> torch.LongTensor:
    """(batch, length): tokens that are not padding, counted; real: (batch, length) bool."""
    return (real.long().cumsum(dim=1) - 1).clamp(min=0) + first


def views_of(pixel_values: torch.Tensor) -> torch.Tensor:
    """(batch, views, 3, height, width); one view may come without its dimension.

    Raises:
        InputError: another shape.
    """
    if pixel_values.dim() not in (4, 5) or pixel_values.shape[-3] != 3:
        raise InputError(
            f"pixel_values has shape {tuple(pixel_values.shape)}; (batch, views, 3, height, width), or without views, "
            "is needed."
        )
    return pixel_values if pixel_values.dim() == 5 else pixel_values.unsqueeze(1)
