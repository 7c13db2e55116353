"""The frame that Alpamayo-R1 drives in: that of the last pose of the history, x forward, y left (arXiv 2511.00088)."""

import torch

from ...configuration.vla_errors import InputError

ORIGIN_TOLERANCE = 1e-2  # metres of the last position, and entries of the last rotation
ROTATION_TOLERANCE = 2e-2  # entries of R^T R; a rotation that was rounded to bfloat16 is off by 8e-3


def pose_faults(xyz: torch.Tensor, rot: torch.Tensor, ends_at_origin: bool) -> torch.Tensor:
    """(3, batch) bool, computed without asking the device: values not finite, no rotations, last pose elsewhere.

    xyz: (batch, poses, 3), metres; rot: (batch, poses, 3, 3).
    """
    xyz, rot = xyz.double(), rot.double()
    identity = torch.eye(3, dtype=rot.dtype, device=rot.device)
    infinite = ~(xyz.isfinite().flatten(1).all(dim=1) & rot.isfinite().flatten(1).all(dim=1))
    skew = (rot.transpose(-1, -2) @ rot - identity).abs().amax(dim=(-1, -2))
    mirrored = (torch.linalg.cross(rot[..., 0], rot[..., 1]) * rot[..., 2]).sum(dim=-1) < 0
    no_rotation = ((skew > ROTATION_TOLERANCE) | mirrored).any(dim=1)
    away = torch.zeros_like(infinite)
    if ends_at_origin:
        turned = (rot[:, -1] - identity).abs().amax(dim=(-1, -2)) > ORIGIN_TOLERANCE
        away = (xyz[:, -1].norm(dim=-1) > ORIGIN_TOLERANCE) | turned
    return torch.stack([infinite, no_rotation, away])


def check_poses(name: str, xyz: torch.Tensor, rot: torch.Tensor, ends_at_origin: bool) -> None:
    """Refuse poses that are none, and with `ends_at_origin` those in another frame than that of the last of them.

    name: of the poses, such as `ego_history`; xyz: (batch, poses, 3), metres; rot: (batch, poses, 3, 3).

    Raises:
        InputError: values are not finite, a matrix is no rotation, or the last pose is not the origin.
    """
    faults = pose_faults(xyz, rot, ends_at_origin)
    if not faults.any():
        return
    kind, row = (int(place) for place in faults.nonzero()[0])
    if kind == 0:
        raise InputError(f"{name}_xyz and {name}_rot hold values that are not finite, in row {row} of the batch.")
    if kind == 1:
        raise InputError(
            f"{name}_rot holds a matrix that is no rotation, in row {row} of the batch: each must be orthonormal with "
            "determinant 1."
        )
    raise InputError(
        f"{name} of row {row} ends at {rounded(xyz[row, -1])} m with rotation {rounded(rot[row, -1])}, not at the "
        "origin heading along x: poses must be in the frame of the last one. The processor converts those of another "
        "frame with history_frame='world' (vlahub predict: --history-frame world)."
    )


def at_hand(tensor: torch.Tensor) -> bool:
    """Whether its values can be looked at without waiting for a device."""
    return tensor.device.type == "cpu"


def rounded(values: torch.Tensor) -> list:
    return torch.round(values.double(), decimals=3).tolist()


def in_frame_of_last(
    xyz: torch.Tensor, rot: torch.Tensor, last_xyz: torch.Tensor, last_rot: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses (..., poses, 3) and (..., poses, 3, 3) of any common frame, seen from the pose `last`; float64.

    last_xyz: (..., 3); last_rot: (..., 3, 3).
    """
    return seen_from(xyz, last_xyz, last_rot), last_rot.double().transpose(-1, -2).unsqueeze(-3) @ rot.double()


def seen_from(xyz: torch.Tensor, last_xyz: torch.Tensor, last_rot: torch.Tensor) -> torch.Tensor:
    """The positions of `in_frame_of_last` alone."""
    return (xyz.double() - last_xyz.double().unsqueeze(-2)) @ last_rot.double()  # rows times R: R^T times columns
