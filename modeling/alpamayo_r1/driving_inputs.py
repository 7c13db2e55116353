"""What a caller passes to Alpamayo-R1, checked before anything is computed."""

from typing import Any

import torch
from torch import nn

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import InputError
from ..input_checks import (
    check_ids,
    check_inputs,
    check_length,
    check_patches,
    check_rows,
    check_tensor,
    execution_device,
)
from .ego_frame import check_poses

Poses = tuple[torch.Tensor | None, torch.Tensor | None]  # positions and rotations, as a caller passed them


def check_arguments(
    model: nn.Module,
    input_ids: Any,
    attention_mask: Any,
    xyz: Any,
    rot: Any,
    numbers: dict[str, Any],
    image_grid_thw: Any,
    wait: bool = True,
) -> None:
    """Refuse what cannot be read; poses and grid may be on any device, see `checked_history`.

    numbers: further arguments that hold real numbers, `pixel_values` among them; wait: as in `checked_history`.
    """
    check_inputs(model, input_ids, attention_mask, numbers)
    check_patches(numbers["pixel_values"], image_grid_thw)
    check_ids(input_ids, model.get_input_embeddings())
    for name, value in (("ego_history_xyz", xyz), ("ego_history_rot", rot)):
        if value is not None:
            check_tensor(name, value, None)
    if wait and attention_mask is not None:
        check_rows(attention_mask)


def checked_history(
    input_ids: torch.LongTensor,
    xyz: torch.Tensor | None,
    rot: torch.Tensor | None,
    config: AlpamayoR1Config,
    tokens_per_pose: int,
    device: torch.device,
    wait: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, steps, 3) and (batch, steps, 3, 3) on the device, in float32; see `check_poses`.

    wait: look at values, which waits for an accelerator that they are on; else see `value_checks`.

    Raises:
        InputError: poses have another form, or there are more or fewer than config and placeholders have tokens for.
    """
    if xyz is None or rot is None:
        raise InputError("ego_history_xyz and ego_history_rot are both needed.")
    xyz, rot = shaped_poses("ego_history", xyz, rot, len(input_ids))
    found, wanted = xyz.shape[1] * tokens_per_pose, config.tokens_per_history_traj
    if found != wanted:
        raise InputError(
            f"ego_history_xyz has {xyz.shape[1]} poses, of {found} tokens; tokens_per_history_traj is {wanted}."
        )
    if wait:
        check_poses("ego_history", xyz, rot, ends_at_origin=True)
        check_placeholders(input_ids, config, xyz.shape[1])
    return xyz.to(device, torch.float32), rot.to(device, torch.float32)


def read_poses(
    model: nn.Module, input_ids: torch.LongTensor, history: Poses, future: Poses
) -> tuple[torch.LongTensor, torch.Tensor | None]:
    """Prompts with their histories, and normalised actions (batch, waypoints, 2) that lead along the futures.

    model: an `AlpamayoR1`.

    Raises:
        InputError: poses have another form, half of them is missing, or prompts have a place for a history that is.
    """
    if all(given is None for given in (*history, *future)):
        refuse_unfilled(input_ids, model.config.traj_token_ids["history"])
        return input_ids, None
    history = model.history(input_ids, *history)
    input_ids = model.with_history(input_ids, *history)
    if future == (None, None):
        return input_ids, None
    future = checked_future(*future, len(input_ids), execution_device(model))
    return input_ids, model.action_space.traj_to_action(*history, *future)


def check_placeholders(input_ids: torch.LongTensor, config: AlpamayoR1Config, num_poses: int) -> None:
    """Raises InputError for rows with more or fewer placeholders than a history has tokens; none at all is right."""
    counts = (input_ids == config.traj_token_ids["history"]).sum(dim=1).tolist()
    wanted = config.tokens_per_history_traj
    if any(counts) and any(count != wanted for count in counts):
        raise InputError(
            f"input_ids has {counts} history placeholders in its rows; a history of {num_poses} poses has {wanted} "
            "tokens."
        )


def refuse_unfilled(input_ids: torch.LongTensor, placeholder: int) -> None:
    """Raises InputError with the number of placeholders, if there are any."""
    if count := int((input_ids == placeholder).sum()):
        raise InputError(
            f"input_ids has {count} history placeholders, and no path is put there: let the processor do so "
            "(fuse_traj_tokens), or ask without a path."
        )


def checked_future(
    xyz: torch.Tensor | None, rot: torch.Tensor | None, batch: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, waypoints, 3) and (batch, waypoints, 3, 3) on the device, in float32; see `check_poses`.

    Raises:
        InputError: poses have another form, or 16 bits: accelerations are second differences of positions.
    """
    if xyz is None or rot is None:
        raise InputError("ego_future_xyz and ego_future_rot are both needed.")
    xyz, rot = shaped_poses("ego_future", xyz, rot, batch)
    for name, value in (("ego_future_xyz", xyz), ("ego_future_rot", rot)):
        if value.dtype in (torch.bfloat16, torch.float16):
            raise InputError(
                f"{name} is {value.dtype}, too coarse for the accelerations that are learnt: pass float32, and cast "
                "the model alone (a batch's .to(dtype) casts all that it holds)."
            )
    check_poses("ego_future", xyz, rot, ends_at_origin=False)
    return xyz.to(device, torch.float32), rot.to(device, torch.float32)


def shaped_poses(name: str, xyz: torch.Tensor, rot: torch.Tensor, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, steps, 3) and (batch, steps, 3, 3). Raises InputError for another shape."""
    xyz = xyz.squeeze(1) if xyz.dim() == 4 else xyz
    rot = rot.squeeze(1) if rot.dim() == 5 else rot
    if xyz.dim() != 3 or xyz.shape[::2] != (batch, 3) or rot.shape != (*xyz.shape, 3):
        raise InputError(
            f"{name}_xyz has shape {tuple(xyz.shape)} and {name}_rot {tuple(rot.shape)}; ({batch}, steps, 3) and "
            f"({batch}, steps, 3, 3), or with a second dimension of 1, are needed."
        )
    return xyz, rot


def checked_shape(batch: int, num_traj_sets: int, num_traj_samples: int) -> tuple[int, int, int]:
    """(batch, sets, samples). Raises InputError for sets or samples that are no whole number above 0."""
    check_count("num_traj_sets", num_traj_sets)
    check_count("num_traj_samples", num_traj_samples)
    return batch, num_traj_sets, num_traj_samples


def check_count(name: str, value: int) -> None:
    """Raises InputError for anything but a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name}={value!r} must be a whole number above 0.")


def check_room(input_ids: torch.LongTensor, config: AlpamayoR1Config, max_new_tokens: int) -> None:
    """Raises InputError for prompts that leave no room for text and trajectory."""
    parts = {"prompt": input_ids.shape[1], "text to be written": max_new_tokens, "trajectory": config.n_waypoints}
    check_length(parts, config.vlm_config.text_config.max_position_embeddings)
