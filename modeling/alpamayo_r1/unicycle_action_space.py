"""Driving trajectories as accelerations and curvatures of a unicycle, and back (Alpamayo-R1, arXiv 2511.00088).

Poses are metres and rotation matrices in the frame of the last history pose: x forward, y left, heading counter-
clockwise. Upstream: NVlabs/alpamayo, action_space/unicycle_accel_curvature.py.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.vla_errors import ConfigError, InputError
from .published_constants import drop_constants
from .smoothed_least_squares import solve_smoothed, trapezoid_equations

MOMENTS = ("accel_mean", "accel_std", "curvature_mean", "curvature_std")


class UnicycleAccelCurvatureActionSpace(nn.Module):
    """Actions (..., n_waypoints, 2): acceleration along the heading and curvature, normalised.

    It has no parameters or buffers. A published state dict is accepted: its means and deviations are compared with
    the arguments and dropped. Poses in any leading batch dimensions; everything returned is float32.

    Args:
        accel_mean, accel_std: of accelerations, m/s^2.
        curvature_mean, curvature_std: of curvatures, 1/m.
        accel_bounds, curvature_bounds: (least, greatest), only for `is_within_bounds`.
        dt: seconds between two waypoints.
        n_waypoints: waypoints of a future trajectory.
        theta_lambda, v_lambda, a_lambda, kappa_lambda: how much heading, speed, acceleration and curvature are
            smoothed when actions are found for a trajectory.
        theta_ridge, v_ridge, a_ridge, kappa_ridge: how much they are pulled to 0.

    Raises:
        ConfigError: a deviation, `dt` or `n_waypoints` is not above 0.
    """

    def __init__(
        self,
        accel_mean: float = 0.0,
        accel_std: float = 1.0,
        curvature_mean: float = 0.0,
        curvature_std: float = 1.0,
        accel_bounds: tuple[float, float] = (-9.8, 9.8),
        curvature_bounds: tuple[float, float] = (-0.2, 0.2),
        dt: float = 0.1,
        n_waypoints: int = 64,
        theta_lambda: float = 1e-6,
        theta_ridge: float = 1e-8,
        v_lambda: float = 1e-6,
        v_ridge: float = 1e-4,
        a_lambda: float = 1e-4,
        a_ridge: float = 1e-4,
        kappa_lambda: float = 1e-4,
        kappa_ridge: float = 1e-4,
    ):
        super().__init__()
        self.accel_mean, self.accel_std = accel_mean, accel_std
        self.curvature_mean, self.curvature_std = curvature_mean, curvature_std
        self.accel_bounds, self.curvature_bounds = tuple(accel_bounds), tuple(curvature_bounds)
        self.dt = dt
        self.n_waypoints = n_waypoints
        self.theta_lambda, self.theta_ridge = theta_lambda, theta_ridge
        self.v_lambda, self.v_ridge = v_lambda, v_ridge
        self.a_lambda, self.a_ridge = a_lambda, a_ridge
        self.kappa_lambda, self.kappa_ridge = kappa_lambda, kappa_ridge
        for name in ("accel_std", "curvature_std", "dt", "n_waypoints"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be above 0.")

    def _load_from_state_dict(self, state_dict, prefix, *args):
        wanted = {name: torch.tensor(getattr(self, name), dtype=torch.float32, device="cpu") for name in MOMENTS}
        drop_constants(state_dict, prefix, wanted)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f"n_waypoints={self.n_waypoints}, dt={self.dt}"

    def get_action_space_dims(self) -> tuple[int, int]:
        """Shape of one action: (n_waypoints, 2)."""
        return self.n_waypoints, 2

    def is_within_bounds(self, action: torch.Tensor) -> torch.Tensor:
        """(...) bool: every acceleration and curvature of action (..., n_waypoints, 2) lies within the bounds.

        A published call, for those who check a plan; a prediction is not clamped.
        """
        inside = [
            (least <= values) & (values <= greatest)
            for values, (least, greatest) in zip(
                self.unnormalize(action), (self.accel_bounds, self.curvature_bounds), strict=True
            )
        ]
        return (inside[0] & inside[1]).all(dim=-1)

    def unnormalize(self, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Action (..., n_waypoints, 2) -> accelerations in m/s^2 and curvatures in 1/m, (..., n_waypoints) each."""
        if action.shape[-2:] != self.get_action_space_dims():
            raise InputError(
                f"action has shape {tuple(action.shape)}; its last two sizes must be {self.get_action_space_dims()}."
            )
        accel, curvature = action.float().unbind(-1)
        return accel * self.accel_std + self.accel_mean, curvature * self.curvature_std + self.curvature_mean

    # ---- actions to poses

    def action_to_traj(
        self,
        action: torch.Tensor,
        traj_history_xyz: torch.Tensor,
        traj_history_rot: torch.Tensor,
        t0_states: dict[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Drive from the origin, heading along x, as the actions say.

        Args:
            action: (..., n_waypoints, 2), normalised; values out of bounds are followed too.
            traj_history_xyz: (..., poses, 3); traj_history_rot: (..., poses, 3, 3); leading sizes broadcast with
                those of `action`.
            t0_states: {"v": (...)}, the speed at the start in m/s; from the history when left out.

        Returns:
            Positions (..., n_waypoints, 3), all at the height of the last history pose, and rotations
            (..., n_waypoints, 3, 3).

        Raises:
            InputError: poses or the speed are not finite, a shape is wrong, or one pose has to tell the speed.
        """
        start = self.start_speed(traj_history_xyz, traj_history_rot, t0_states)
        return self.drive(action, start, traj_history_xyz[..., -1, 2])

    def drive(
        self, action: torch.Tensor, start_speed: torch.Tensor, height: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`action_to_traj` from a speed (...) in m/s, at a height (...) in metres."""
        accel, curvature = self.unnormalize(action)
        start = start_speed.float()
        speed = start.unsqueeze(-1) + F.pad(torch.cumsum(accel * self.dt, dim=-1), (1, 0))
        travelled = speed[..., :-1] * self.dt + accel * (self.dt**2 / 2)
        heading = F.pad(torch.cumsum(curvature * travelled, dim=-1), (1, 0))
        x, y = (torch.cumsum(self.midpoints(speed * unit(heading)), dim=-1) for unit in (torch.cos, torch.sin))
        z = height.unsqueeze(-1).float().expand_as(x)
        return torch.stack([x, y, z], dim=-1), rotation_about_z(heading[..., 1:])

    def midpoints(self, velocity: torch.Tensor) -> torch.Tensor:
        """What a velocity (..., steps + 1) covers in each step, by the trapezoidal rule: (..., steps)."""
        return (velocity[..., :-1] + velocity[..., 1:]) * (self.dt / 2)

    # ---- poses to actions

    def traj_to_action(
        self,
        traj_history_xyz: torch.Tensor,
        traj_history_rot: torch.Tensor,
        traj_future_xyz: torch.Tensor,
        traj_future_rot: torch.Tensor,
        t0_states: dict[str, torch.Tensor] | None = None,
        output_all_states: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The actions that drive a trajectory, by smoothed least squares: heading, speed, acceleration, curvature.

        Args:
            traj_history_xyz, traj_history_rot: (..., poses, 3) and (..., poses, 3, 3); the last pose is the origin.
            traj_future_xyz, traj_future_rot: the same with `n_waypoints` poses.
            t0_states: as in `action_to_traj`.
            output_all_states: also return (..., n_waypoints, 3): speed in m/s, normalised acceleration, and heading
                in radians at the start of each step.

        Returns:
            Normalised actions (..., n_waypoints, 2).

        Raises:
            InputError: as in `action_to_traj`.
        """
        xyz, rot = checked_poses("traj_future", traj_future_xyz, traj_future_rot)
        if xyz.shape[-2] != self.n_waypoints:
            raise InputError(f"traj_future_xyz has {xyz.shape[-2]} poses; {self.n_waypoints} are needed.")
        start = self.start_speed(traj_history_xyz, traj_history_rot, t0_states).expand(xyz.shape[:-2])
        now = traj_history_xyz[..., -1:, :].double().expand_as(xyz[..., :1, :])
        positions = torch.cat([now, xyz], dim=-2)[..., :2]
        heading = self.smooth_heading(rot)
        equations = trapezoid_equations(torch.diff(positions, dim=-2), heading, self.dt)
        speed = solve_smoothed(*equations, 3, self.dt, self.v_lambda, self.v_ridge, start)
        accel = self.accelerations(speed)
        curvature = self.curvatures(heading, speed, accel)
        accel = (accel - self.accel_mean) / self.accel_std
        curvature = (curvature - self.curvature_mean) / self.curvature_std
        action = self.determined(torch.stack([accel, curvature], dim=-1)).float()
        if not output_all_states:
            return action
        return action, torch.stack([speed[..., :-1], accel, heading[..., :-1]], dim=-1).float()

    def estimate_t0_states(
        self, traj_history_xyz: torch.Tensor, traj_history_rot: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """{"v": (...)}: the speed in m/s at the last history pose; arguments and errors as in `traj_to_action`.

        The published call that makes `t0_states`.
        """
        return {"v": self.start_speed(traj_history_xyz, traj_history_rot, None).float()}

    def start_speed(
        self, history_xyz: torch.Tensor, history_rot: torch.Tensor, t0_states: dict[str, torch.Tensor] | None
    ) -> torch.Tensor:
        """(...) float64, in m/s: the given speed, or the history's last one."""
        xyz, rot = checked_poses("traj_history", history_xyz, history_rot)
        if t0_states is not None:
            speed = torch.as_tensor(t0_states["v"], dtype=torch.float64, device=xyz.device)
            if not torch.isfinite(speed).all():
                raise InputError('t0_states["v"] holds NaN or infinite values; give finite speeds.')
            return speed
        if xyz.shape[-2] < 2:
            raise InputError(f"traj_history_xyz has {xyz.shape[-2]} poses; the speed follows from two or more.")
        return self.determined(self.last_speed(xyz, rot))

    def last_speed(self, history_xyz: torch.Tensor, history_rot: torch.Tensor) -> torch.Tensor:
        """`start_speed` of two or more poses that are known to be such; the device is not asked."""
        xyz, rot = history_xyz.double(), history_rot.double()
        equations = trapezoid_equations(torch.diff(xyz[..., :2], dim=-2), yaw_of(rot), self.dt)
        return solve_smoothed(*equations, 3, self.dt, self.v_lambda, self.v_ridge)[..., -1]

    def determined(self, found: torch.Tensor) -> torch.Tensor:
        """What least squares found. Raises ConfigError where they left it open."""
        if found.isnan().any():
            weights = {name: value for name, value in vars(self).items() if name.endswith(("_lambda", "_ridge"))}
            raise ConfigError(f"the smoothing weights leave speeds or actions open, raise the ridge: {weights}.")
        return found

    def smooth_heading(self, future_rot: torch.Tensor) -> torch.Tensor:
        """(..., n_waypoints, 3, 3) -> (..., n_waypoints + 1) radians, unwrapped, from 0 at the start."""
        yaw = F.pad(yaw_of(future_rot.double()), (1, 0))
        turns = torch.diff(yaw, dim=-1)
        yaw = F.pad(torch.cumsum(torch.atan2(turns.sin(), turns.cos()), dim=-1), (1, 0))
        identity = torch.eye(yaw.shape[-1], dtype=yaw.dtype, device=yaw.device)
        return solve_smoothed(identity, yaw, 3, self.dt, self.theta_lambda, self.theta_ridge, yaw[..., 0])

    def accelerations(self, speed: torch.Tensor) -> torch.Tensor:
        """(..., n_waypoints + 1) m/s -> (..., n_waypoints) m/s^2."""
        wanted = torch.diff(speed, dim=-1) / self.dt
        identity = torch.eye(wanted.shape[-1], dtype=wanted.dtype, device=wanted.device)
        return solve_smoothed(identity, wanted, 2, self.dt, self.a_lambda, self.a_ridge)

    def curvatures(self, heading: torch.Tensor, speed: torch.Tensor, accel: torch.Tensor) -> torch.Tensor:
        """(..., n_waypoints) 1/m: the turn of each step by the distance travelled in it."""
        travelled = speed[..., :-1] * self.dt + accel * (self.dt**2 / 2)
        turn = travelled * torch.diff(heading, dim=-1)
        return solve_smoothed(torch.diag_embed(travelled**2), turn, 2, self.dt, self.kappa_lambda, self.kappa_ridge)


def checked_poses(name: str, xyz: torch.Tensor, rot: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (..., poses, 3) and rotations (..., poses, 3, 3) in float64; InputError where they are not that."""
    if xyz.dim() < 2 or xyz.shape[-1] != 3 or xyz.shape[-2] < 1 or rot.shape != (*xyz.shape, 3):
        raise InputError(
            f"{name}_xyz has shape {tuple(xyz.shape)} and {name}_rot {tuple(rot.shape)}; (..., poses, 3) and "
            "(..., poses, 3, 3) are needed, with one pose or more."
        )
    for part, values in (("xyz", xyz), ("rot", rot)):
        if not torch.isfinite(values).all():
            raise InputError(f"{name}_{part} holds NaN or infinite values; give finite poses.")
    return xyz.double(), rot.double()


def yaw_of(rot: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) -> heading (...) in radians, counterclockwise from x."""
    return torch.atan2(rot[..., 1, 0], rot[..., 0, 0])


def rotation_about_z(yaw: torch.Tensor) -> torch.Tensor:
    """(...) radians -> (..., 3, 3)."""
    cos, sin = yaw.cos(), yaw.sin()
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))
