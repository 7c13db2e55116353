"""Sequences from noisy equations: least squares with a penalty on differences, solved in float64.

Upstream: NVlabs/alpamayo, action_space/utils.py, which solves in float32 and, on NaN, never ends.
"""

import torch
import torch.nn.functional as F


def roughness(size: int, order: int, dt: float, device: torch.device) -> torch.Tensor:
    """(size, size) float64: x @ roughness @ x is the sum of squares of the `order`-th derivative of x by time."""
    differences = torch.diff(torch.eye(size, dtype=torch.float64, device=device), n=order, dim=0)
    return differences.T @ differences / dt ** (2 * order)


def solve_smoothed(
    normal: torch.Tensor,
    target: torch.Tensor,
    order: int,
    dt: float,
    weight: float,
    ridge: float,
    first: torch.Tensor | None = None,
) -> torch.Tensor:
    """The x (..., size) that minimises |A x - b|^2 + weight * (squares of its `order`-th derivative) + ridge * |x|^2.

    NaN where the equations do not determine x: a device is not asked.

    Args:
        normal: A^T A, (..., size, size), float64; target: A^T b, (..., size), float64.
        dt: seconds between two elements.
        first: (...), the value that x starts with, where it is known; its own equations are then left out.
    """
    size = target.shape[-1]
    matrix = normal + weight * roughness(size, order, dt, target.device)
    matrix = matrix + ridge * torch.eye(size, dtype=torch.float64, device=target.device)
    if first is not None:
        target = target[..., 1:] - matrix[..., 1:, 0] * first.unsqueeze(-1)
        matrix = matrix[..., 1:, 1:]
    factor, failed = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(target.unsqueeze(-1), factor).squeeze(-1)
    found = found.masked_fill(failed.ne(0).unsqueeze(-1), float("nan"))
    return found if first is None else torch.cat([first.unsqueeze(-1), found], dim=-1)


def trapezoid_equations(
    displacement: torch.Tensor, heading: torch.Tensor, dt: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal equations of the speeds v in `displacement[t] = dt / 2 * (v[t] * u[t] + v[t+1] * u[t+1])`.

    u is the unit vector of the heading. displacement: (..., steps, 2) in metres; heading: (..., steps + 1) in radians.
    Returns A^T A (..., steps + 1, steps + 1) and A^T b (..., steps + 1), for `solve_smoothed`.
    """
    ones = torch.ones_like(displacement[..., 0])
    turns = torch.cos(torch.diff(heading, dim=-1))
    normal = torch.diag_embed(F.pad(ones, (0, 1)) + F.pad(ones, (1, 0)))
    normal = normal + torch.diag_embed(turns, offset=1) + torch.diag_embed(turns, offset=-1)
    sums = 2 / dt * (F.pad(displacement, (0, 0, 0, 1)) + F.pad(displacement, (0, 0, 1, 0)))
    return normal, heading.cos() * sums[..., 0] + heading.sin() * sums[..., 1]
