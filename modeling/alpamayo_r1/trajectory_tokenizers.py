"""Trajectories as discrete tokens (Alpamayo-R1, arXiv 2511.00088): steps of the history, actions of the future.

Upstream: NVlabs/alpamayo, models/delta_tokenizer.py, action_space/discrete_action_space.py, models/base_model.py.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ...configuration.vla_errors import ConfigError, InputError
from .trajectory_bins import Bins
from .unicycle_action_space import UnicycleAccelCurvatureActionSpace, checked_poses, rotation_about_z

WINDOW, DEGREE = 10, 3  # waypoints and degree of the polynomial whose slope is the heading of a decoded waypoint
YAW_CONVENTIONS = ("published", "fixed")


class DeltaTrajectoryTokenizer:
    """Tokens of the steps between poses: x, y, z and, with `predict_yaw`, the turn.

    Published behaviour that the model was trained on: the first step leads from the origin to the first pose, so that
    a fast car's oldest history pose is cut to the range; the turn is encoded clockwise.

    Args:
        ego_xyz_min, ego_xyz_max: range of a step, metres.
        ego_yaw_min, ego_yaw_max: range of a turn, radians.
        num_bins: tokens per dimension.
        predict_yaw: four tokens per pose, not three.

    Raises:
        ConfigError: a range is empty, or there are fewer than two bins.
    """

    def __init__(
        self,
        ego_xyz_min: Sequence[float] = (-4, -4, -10),
        ego_xyz_max: Sequence[float] = (4, 4, 10),
        ego_yaw_min: float = -math.pi,
        ego_yaw_max: float = math.pi,
        num_bins: int = 1000,
        predict_yaw: bool = False,
    ):
        self.predict_yaw = predict_yaw
        yaw = ([ego_yaw_min], [ego_yaw_max]) if predict_yaw else ([], [])
        self.bins = Bins([*ego_xyz_min, *yaw[0]], [*ego_xyz_max, *yaw[1]], num_bins)

    @property
    def vocab_size(self) -> int:
        """Tokens are 0..vocab_size - 1."""
        return self.bins.count

    @property
    def tokens_per_pose(self) -> int:
        """3, or 4 with turns."""
        return len(self.bins.least)

    def encode(
        self,
        hist_xyz: torch.Tensor,
        hist_rot: torch.Tensor,
        fut_xyz: torch.Tensor,
        fut_rot: torch.Tensor,
        hist_tstamp: torch.Tensor | None = None,
        fut_tstamp: torch.Tensor | None = None,
    ) -> torch.LongTensor:
        """fut_xyz (..., poses, 3), fut_rot (..., poses, 3, 3) -> tokens (..., poses * 3 or 4), pose by pose.

        The history and the time stamps belong to the published signature; they do not matter.

        Raises:
            InputError: the poses to encode are not finite or have another shape.
        """
        checked_poses("fut", fut_xyz, fut_rot)
        return self.encode_finite(fut_xyz, fut_rot)

    def encode_finite(self, xyz: torch.Tensor, rot: torch.Tensor) -> torch.LongTensor:
        """`encode` of poses that are known to be such; the device is not asked."""
        steps = torch.diff(F.pad(xyz.float(), (0, 0, 1, 0)), dim=-2)
        if self.predict_yaw:
            clockwise = torch.atan2(rot[..., 0, 1].float(), rot[..., 0, 0].float())
            turn = torch.diff(F.pad(clockwise, (1, 0)), dim=-1)
            turn = torch.atan2(turn.sin(), turn.cos())
            steps = torch.cat([steps, turn.unsqueeze(-1)], dim=-1)
        return self.bins.encode(steps).flatten(-2)

    def decode(
        self,
        hist_xyz: torch.Tensor,
        hist_rot: torch.Tensor,
        tokens: torch.LongTensor,
        hist_tstamp: torch.Tensor | None = None,
        yaw_convention: str = "published",
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Tokens (..., poses * 3 or 4) -> positions (..., poses, 3), rotations (..., poses, 3, 3), and no time stamps.

        Args:
            yaw_convention: `published` reads turns counterclockwise, against what `encode` wrote, and without turn
                tokens takes headings from positions even where the car stands (where rounding makes it 45 degrees
                at the default settings). `fixed` reads turns as written and keeps the heading while the car stands.

        The history and the time stamps belong to the published signature; they do not matter.

        Raises:
            InputError: the number of tokens does not fit, a token is out of range, or the convention is unknown.
        """
        if yaw_convention not in YAW_CONVENTIONS:
            raise InputError(f"yaw_convention={yaw_convention!r} is unknown; choose from {', '.join(YAW_CONVENTIONS)}.")
        size = self.tokens_per_pose
        if tokens.shape[-1] % size:
            raise InputError(f"{tokens.shape[-1]} tokens cannot be poses of {size} tokens each.")
        steps = self.bins.decode(tokens.unflatten(-1, (-1, size)))
        xyz = torch.cumsum(steps[..., :3], dim=-2)
        fixed = yaw_convention == "fixed"
        if self.predict_yaw:
            yaw = torch.cumsum(-steps[..., 3] if fixed else steps[..., 3], dim=-1)
        else:
            yaw = self.heading_of(xyz, fixed)
        return xyz, rotation_about_z(yaw), None

    def heading_of(self, xyz: torch.Tensor, hold: bool) -> torch.Tensor:
        """(..., poses, 3) -> (..., poses) radians; hold: keep the heading where a step is smaller than a bin."""
        slopes = fitted_slopes(xyz[..., :2].double())
        yaw = torch.atan2(slopes[..., 1], slopes[..., 0]).float()
        if not hold:
            return yaw
        size = self.bins.range_like(xyz)[1][:2] / (self.bins.count - 1)
        steps = torch.diff(F.pad(xyz[..., :2], (0, 0, 1, 0)), dim=-2)
        moves = (steps.abs() > size).any(dim=-1) & (slopes.abs() > size).any(dim=-1)
        latest = torch.where(moves, torch.arange(yaw.shape[-1], device=yaw.device), -1).cummax(dim=-1).values
        return torch.where(latest < 0, 0.0, yaw.gather(-1, latest.clamp(min=0)))


def fitted_slopes(positions: torch.Tensor) -> torch.Tensor:
    """Metres per pose along each of the dimensions of (..., poses, dimensions), float64, of the same shape.

    At each pose it is the derivative of a cubic through the ten poses around it, as numpy's `polyfit` finds it.
    """
    poses = positions.shape[-2]
    length = min(WINDOW, poses)
    index = torch.arange(poses, device=positions.device)
    start = (index - WINDOW // 2).clamp(0, poses - length)
    time = torch.arange(length, dtype=torch.float64, device=positions.device)
    powers = time[:, None] ** torch.arange(DEGREE + 1, device=positions.device)
    scale = powers.norm(dim=0).clamp(min=1)  # with fewer poses than coefficients it decides which cubic is taken
    coefficients = torch.linalg.pinv(powers / scale) / scale[:, None]
    windows = positions[..., start[:, None] + torch.arange(length, device=positions.device), :]
    fitted = coefficients[1:] @ windows
    degrees = torch.arange(1, DEGREE + 1, device=positions.device)
    derivative = degrees * (index - start).double()[:, None] ** (degrees - 1)
    return (derivative.unsqueeze(-1) * fitted).sum(dim=-2)


class DiscreteTrajectoryTokenizer:
    """Tokens of the actions that drive a future trajectory: acceleration, curvature, waypoint by waypoint.

    Args:
        action_space: turns poses into actions and back.
        dims_min, dims_max: range of each normalised dimension of an action.
        num_bins: tokens per dimension.

    Raises:
        ConfigError: a range is empty, its length is not that of an action, or there are fewer than two bins.
    """

    def __init__(
        self,
        action_space: UnicycleAccelCurvatureActionSpace,
        dims_min: Sequence[float],
        dims_max: Sequence[float],
        num_bins: int,
    ):
        self.action_space = action_space
        self.bins = Bins(dims_min, dims_max, num_bins)
        if len(self.bins.least) != action_space.get_action_space_dims()[-1]:
            raise ConfigError(
                f"dims_min={list(dims_min)} must have one value for each of the "
                f"{action_space.get_action_space_dims()[-1]} dimensions of an action."
            )

    @property
    def vocab_size(self) -> int:
        """Tokens are 0..vocab_size - 1."""
        return self.bins.count

    def encode(
        self,
        hist_xyz: torch.Tensor,
        hist_rot: torch.Tensor,
        fut_xyz: torch.Tensor,
        fut_rot: torch.Tensor,
        hist_tstamp: torch.Tensor | None = None,
        fut_tstamp: torch.Tensor | None = None,
    ) -> torch.LongTensor:
        """Poses as in the action space's `traj_to_action` -> tokens (..., n_waypoints * 2); errors are also its own.

        The time stamps belong to the published signature; they do not matter.
        """
        return self.bins.encode(self.action_space.traj_to_action(hist_xyz, hist_rot, fut_xyz, fut_rot)).flatten(-2)

    def decode(
        self,
        hist_xyz: torch.Tensor,
        hist_rot: torch.Tensor,
        tokens: torch.LongTensor,
        hist_tstamp: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Tokens (..., n_waypoints * 2) -> positions (..., n_waypoints, 3), rotations, and no time stamps.

        Raises:
            InputError: the number of tokens does not fit, or a token is out of range.
        """
        waypoints, size = self.action_space.get_action_space_dims()
        if tokens.shape[-1] != waypoints * size:
            raise InputError(f"{tokens.shape[-1]} tokens were given; a trajectory has {waypoints * size}.")
        action = self.bins.decode(tokens.unflatten(-1, (waypoints, size)))
        return *self.action_space.action_to_traj(action, hist_xyz, hist_rot), None


def tokenize_history(
    tokenizer: DeltaTrajectoryTokenizer,
    ego_history_xyz: torch.Tensor,
    ego_history_rot: torch.Tensor,
    start_idx: int = 0,
) -> torch.LongTensor:
    """Token ids (batch, groups * tokens of a history), to put in the place of a prompt's history placeholders.

    Args:
        ego_history_xyz: (batch, groups, poses, 3); ego_history_rot: (batch, groups, poses, 3, 3).
        start_idx: id of the first history token in the vocabulary.

    Raises:
        InputError: the poses are not finite or have another shape.
    """
    if ego_history_xyz.dim() != 4:
        raise InputError(
            f"ego_history_xyz has shape {tuple(ego_history_xyz.shape)}; (batch, groups, poses, 3) is needed."
        )
    first = ego_history_xyz[:, :, :1], ego_history_rot[:, :, :1]
    return tokenizer.encode(*first, ego_history_xyz, ego_history_rot).flatten(1) + start_idx
