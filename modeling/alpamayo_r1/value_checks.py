"""What only the values of a scene tell: looked at before it is read where that waits for no device, else at the end.

Whether something is wrong is computed where the values are, as one bool a check, without asking. What is at hand is
looked at once these are there; what a device holds is looked at behind the last kernel, all of it in one number.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import InputError
from ..input_checks import check_rows
from ..mrope_positions import check_image_tokens
from .driving_inputs import Poses, check_arguments, check_placeholders, refuse_unfilled, shaped_poses
from .ego_frame import at_hand, check_poses, pose_faults
from .navigation_markers import Route, is_wrong_route, refuse_route


class ValueCheck(NamedTuple):
    """fault: bool, of no dimension, where the values are; refuse: raises InputError with what is wrong, if it is."""

    fault: torch.Tensor
    refuse: Callable[[], None]


class PromptValues(NamedTuple):
    """input_ids and attention_mask, (batch, length) both, the latter or `None`; image_grid_thw: on the CPU, or `None`;
    num_poses: of the history."""

    input_ids: torch.LongTensor
    attention_mask: torch.Tensor | None
    image_grid_thw: torch.LongTensor | None
    num_poses: int


def on_host(image_grid_thw: Any) -> Any:
    """A grid on the CPU, which it is read on: free where it lies there, and else the first thing to wait for.

    What is no tensor, or has no numbers, stays what it is, to be refused (`check_patches`).
    """
    is_elsewhere = isinstance(image_grid_thw, torch.Tensor) and image_grid_thw.device.type not in ("cpu", "meta")
    return image_grid_thw.cpu() if is_elsewhere else image_grid_thw


def checked_scene(
    model: nn.Module,
    input_ids: Any,
    attention_mask: Any,
    image_grid_thw: Any,
    poses: Poses,
    numbers: dict[str, Any],
    route: Route | None = None,
) -> tuple[Poses, torch.LongTensor | None, list[ValueCheck]]:
    """The history where the model computes, the grid on the CPU, and the checks of values that lie on a device.

    model: an `AlpamayoR1`; poses: a history; numbers: see `check_arguments`; route: of a guided prediction.

    Raises:
        InputError: an argument has the wrong form, or see `check_values`.
    """
    grid = on_host(image_grid_thw)
    check_arguments(model, input_ids, attention_mask, *poses, numbers, grid, wait=False)
    history = model.history(input_ids, *poses, wait=False)
    late = check_values(model.config, input_ids, attention_mask, grid, poses)
    if route is not None:
        late += at_once([ValueCheck(is_wrong_route(input_ids, route), lambda: refuse_route(input_ids, route))])
    return history, grid, late


def checked_prompt(
    model: nn.Module, input_ids: Any, attention_mask: Any, image_grid_thw: Any, numbers: dict[str, Any]
) -> tuple[torch.LongTensor | None, list[ValueCheck]]:
    """As `checked_scene`, of a prompt without a path: no placeholder of a history may be in it."""
    grid = on_host(image_grid_thw)
    check_arguments(model, input_ids, attention_mask, None, None, numbers, grid, wait=False)
    prompt, holder = PromptValues(input_ids, attention_mask, grid, 0), model.config.traj_token_ids["history"]
    unfilled = ValueCheck((input_ids == holder).any(), lambda: refuse_unfilled(input_ids, holder))
    wrong = ValueCheck(is_wrong(prompt, model.config), lambda: refuse_prompt(prompt, model.config))
    return grid, at_once([unfilled, wrong])


def check_values(
    config: AlpamayoR1Config,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    image_grid_thw: torch.LongTensor | None,
    history: Poses,
) -> list[ValueCheck]:
    """Refuse what is at hand and wrong; returns the checks of what lies on a device.

    image_grid_thw: on the CPU; history: as the caller passed it, of a shape that was checked.

    Raises:
        InputError: a row is padding alone or padded on the right, image tokens or placeholders of the history are more
            or fewer than there have to be, or poses are none (`check_poses`).
    """
    poses = shaped_poses("ego_history", *history, len(input_ids))
    prompt = PromptValues(input_ids, attention_mask, image_grid_thw, poses[0].shape[1])
    checks = [
        ValueCheck(pose_faults(*poses, True).any(), lambda: check_poses("ego_history", *poses, ends_at_origin=True)),
        ValueCheck(is_wrong(prompt, config), lambda: refuse_prompt(prompt, config)),
    ]
    return at_once(checks)


def at_once(checks: list[ValueCheck]) -> list[ValueCheck]:
    """Refuse what is at hand and wrong; returns the checks of what lies on a device."""
    for check in checks:
        if at_hand(check.fault) and check.fault.numpy():
            check.refuse()
    return [check for check in checks if not at_hand(check.fault)]


def is_wrong(prompt: PromptValues, config: AlpamayoR1Config) -> torch.Tensor:
    """Whether `refuse_prompt` would raise."""
    ids, grid, merge = prompt.input_ids, prompt.image_grid_thw, config.vlm_config.vision_config.spatial_merge_size
    wanted = 0 if grid is None else int(grid.numpy().prod(axis=-1).sum()) // merge**2
    counts = (ids == config.traj_token_ids["history"]).sum(dim=1)
    faults = [
        (ids == config.vlm_config.image_token_id).sum() != wanted,
        counts.any() & (counts != config.tokens_per_history_traj).any(),
    ]
    if prompt.attention_mask is not None:
        faults.append((prompt.attention_mask[:, -1] == 0).any())  # padding on the right, or alone
    return torch.stack(faults).any()


def refuse_prompt(prompt: PromptValues, config: AlpamayoR1Config) -> None:
    """Raises InputError with what is wrong, if something is."""
    ids, mask = prompt.input_ids.cpu(), prompt.attention_mask
    if mask is not None:
        check_rows(mask)
        if not mask[:, -1].ne(0).all():
            raise InputError(
                "attention_mask ends with padding; prompts must be padded on the left (padding_side='left')."
            )
    merge = config.vlm_config.vision_config.spatial_merge_size
    check_image_tokens(ids == config.vlm_config.image_token_id, prompt.image_grid_thw, merge)
    check_placeholders(ids, config, prompt.num_poses)


def look_again(checks: Iterable[ValueCheck]) -> None:
    """Refuse what was found wrong when all was computed."""
    for check in checks:
        check.refuse()
