"""Guidance of the DiT head without a classifier (Ho and Salimans, arXiv 2207.12598).

In training a share of the samples sees the null condition instead of the VLM; in sampling the velocity goes from the
one under it through the conditional one, and beyond. The null condition is one token of zeros: what the images show and
the text asks is gone, also how long it was; the robot's state is still there.
"""

from collections.abc import Sequence

import torch

from ...configuration.mapanything_llava3d.configuration_dit_action_head import DiTActionHeadConfig
from ...configuration.vla_errors import InputError


def chosen_guidance(config: DiTActionHeadConfig, guidance_scale: float | None) -> float:
    """What a call asks for, else what the config says; 1 is no guidance.

    Raises:
        InputError: it is no number of 0 or more, or the head was not trained with the null condition.
    """
    scale = config.guidance_scale if guidance_scale is None else guidance_scale
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 <= scale < float("inf"):
        raise InputError(f"guidance_scale={scale!r} must be a number of 0 or more; 1 is no guidance.")
    if scale != 1 and not config.condition_dropout:
        raise InputError(
            f"guidance_scale={scale} needs a head that knows the null condition, and this one was trained with "
            "condition_dropout=0: leave guidance_scale out, or train with condition_dropout=0.1 in its config."
        )
    return float(scale)


def drawn_drops(config: DiTActionHeadConfig, training: bool, like: torch.Tensor) -> torch.Tensor | None:
    """(batch,) bool for as many samples as `like` has: which of them see the null condition; `None`: none can."""
    if not training or not config.condition_dropout:
        return None
    return torch.rand(len(like), dtype=torch.float32, device=like.device) < config.condition_dropout


def with_null_condition(
    vl_embs_list: Sequence[torch.Tensor], mask: torch.Tensor | None, dropped: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Layers of the VLM and their mask, in which samples that are dropped, (batch,) bool, have one token of zeros.

    vl_embs_list: (batch, vl_tokens, hidden_size) each; mask: (batch, vl_tokens), and so is the new one, in bool.
    """
    layers = [vl_embs.masked_fill(dropped[:, None, None], 0) for vl_embs in vl_embs_list]
    is_first = torch.arange(layers[0].shape[1], device=dropped.device) == 0
    seen = torch.ones_like(dropped)[:, None].expand(-1, layers[0].shape[1]) if mask is None else mask.bool()
    return layers, torch.where(dropped[:, None], is_first, seen)


def twice(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """A batch (batch, ...) behind itself."""
    return None if tensor is None else torch.cat([tensor, tensor])


def guided(velocities: torch.Tensor, scale: float) -> torch.Tensor:
    """From velocities of a batch and, behind them, of the same under the null condition; float32."""
    conditional, null = velocities.float().chunk(2)
    return null + scale * (conditional - null)
