"""Unicycle action space: the published numbers, driving there and back, precision, published weights, refusals."""

import math

import pytest
import torch

from vlahub.errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1.smoothed_least_squares import roughness, solve_smoothed, trapezoid_equations
from vlahub.modeling.alpamayo_r1.unicycle_action_space import UnicycleAccelCurvatureActionSpace, rotation_about_z

RELEASED = {
    "accel_mean": 0.02902694707164455,
    "accel_std": 0.6810426736454882,
    "curvature_mean": 0.0002692167976330542,
    "curvature_std": 0.026148280660833106,
    "curvature_bounds": [-0.33, 0.33],
}
SPACE = UnicycleAccelCurvatureActionSpace(**RELEASED)
PUBLISHED = {name: torch.tensor(value) for name, value in RELEASED.items() if name != "curvature_bounds"}
HISTORY, SUBSTEPS = 16, 100


def drive(speed, curvature):
    """History and future (positions, rotations, each) of a unicycle, seen from the pose at time 0.

    speed, curvature: functions of the time (steps,) from -1.5 s on; integrated in steps of a millisecond.
    """
    dt = 0.1 / SUBSTEPS
    time = (torch.arange(79 * SUBSTEPS, dtype=torch.float64) + 0.5) * dt - 1.5
    travelled = speed(time) * dt
    turns = travelled * curvature(time)
    heading = torch.cumsum(turns, 0)
    steps = travelled[:, None] * torch.stack([(heading - turns / 2).cos(), (heading - turns / 2).sin()], dim=-1)
    origin = torch.zeros(1, 2, dtype=torch.float64)
    positions = torch.cat([origin, torch.cumsum(steps, 0)])[::SUBSTEPS]
    heading = torch.cat([origin[0, :1], heading])[::SUBSTEPS]
    now = HISTORY - 1
    positions = (positions - positions[now]) @ rotation_about_z(heading[now])[:2, :2]
    xyz = torch.nn.functional.pad(positions, (0, 1)).float()
    rot = rotation_about_z(heading - heading[now]).float()
    return xyz[:HISTORY], rot[:HISTORY], xyz[HISTORY:], rot[HISTORY:]


def constant(value):
    return lambda time: value + 0 * time


DRIVES = {
    "cruising": (constant(10), constant(0.01)),
    "standing": (constant(0), constant(0)),
    "braking to a stop": (lambda t: (10 - 3 * t.clamp(min=0)).clamp(min=0), constant(0.01)),
    "braking hard": (lambda t: (12 - 6 * t.clamp(min=0)).clamp(min=0), constant(0)),
    "turning sharply": (constant(5), lambda t: 0.15 * torch.exp(-(((t - 3) / 0.8) ** 2))),
    "stopping unevenly": (lambda t: (4 * torch.sin(t * 1.3) * torch.cos(t * 0.7)).clamp(min=0), constant(0.03)),
    "creeping": (lambda t: 0.5 + 0.4 * torch.sin(t), constant(0.05)),
    "fast": (lambda t: 30 + 2 * torch.sin(t), lambda t: 0.003 * torch.sin(t)),
}
ROWS = {name: drive(*functions) for name, functions in DRIVES.items()}
BATCH = [torch.stack(parts) for parts in zip(*ROWS.values(), strict=True)]
CURVE = ROWS["turning sharply"]


# ---- the published numbers


def test_published_trajectories_have_the_published_actions(golden):
    case = golden("alpamayo/unicycle_traj_to_action")
    space = UnicycleAccelCurvatureActionSpace(**case.config["action_space"])
    history = case.input("history_xyz"), case.input("history_rot")
    future = case.input("future_xyz"), case.input("future_rot")
    case.check("v0", space.estimate_t0_states(*history)["v"])
    case.check("theta_smooth", space.smooth_heading(future[1]))
    action, states = space.traj_to_action(*history, *future, output_all_states=True)
    case.check("action", action)
    case.check("states_v_accel_theta", states)
    case.check("within_bounds", space.is_within_bounds(action))
    case.check("action_given_v0", space.traj_to_action(*history, *future, t0_states={"v": case.input("given_v0")}))
    xyz, rot = space.action_to_traj(action, *history)
    case.check("round_trip_xyz", xyz)
    along_x_or_y = (xyz - future[0])[..., :2].abs().amax((1, 2))  # the largest component, as published: no distance
    case.check("round_trip_error_xy_max", along_x_or_y)
    published = torch.tensor(case["outputs"]["round_trip_error_xy_max"]["values"])
    torch.testing.assert_close(along_x_or_y, published, atol=5e-5, rtol=1e-3)  # the case's tolerance exceeds it
    case.check("round_trip_error_rot_max", (rot - future[1]).abs().amax((1, 2, 3)))


def test_published_actions_drive_the_published_trajectories(golden):
    case = golden("alpamayo/unicycle_action_to_traj")
    space = UnicycleAccelCurvatureActionSpace(**case.config["action_space"])
    history = case.input("history_xyz"), case.input("history_rot")
    for name in ("action", "action_wild"):
        xyz, rot = space.action_to_traj(case.input(name), *history)
        case.check(f"{name}_xyz", xyz)
        case.check(f"{name}_rot", rot)
        case.check(f"{name}_within_bounds", space.is_within_bounds(case.input(name)))
    xyz, _ = space.action_to_traj(case.input("action"), *history, t0_states={"v": case.input("given_v0")})
    case.check("action_given_v0_xyz", xyz)


# ---- there and back


@pytest.mark.parametrize("name", DRIVES)
def test_a_smooth_trajectory_comes_back_within_12_millimetres(name):
    history_xyz, history_rot, future_xyz, future_rot = ROWS[name]
    action = SPACE.traj_to_action(*ROWS[name])
    xyz, rot = SPACE.action_to_traj(action, history_xyz, history_rot)
    assert action.shape == (64, 2) and SPACE.is_within_bounds(action)
    assert (xyz - future_xyz).norm(dim=-1).max() < 0.012
    assert (rot - future_rot).abs().max() < 0.01


def test_a_circle_at_a_steady_acceleration_has_its_physical_values_as_actions():
    space = UnicycleAccelCurvatureActionSpace()
    history_xyz, history_rot, future_xyz, future_rot = drive(lambda t: 8 + 0.5 * t, constant(0.02))
    assert space.estimate_t0_states(history_xyz, history_rot)["v"].item() == pytest.approx(8, abs=0.005)
    action = space.traj_to_action(history_xyz, history_rot, future_xyz, future_rot)
    torch.testing.assert_close(action[5:-5], torch.tensor([0.5, 0.02]).expand(54, 2), atol=2e-3, rtol=0)


def test_the_heading_of_more_than_a_full_circle_is_unwrapped():
    history_xyz, history_rot, future_xyz, future_rot = drive(constant(8), constant(0.14))
    heading = SPACE.smooth_heading(future_rot)
    assert heading[-1].item() == pytest.approx(8 * 0.14 * 6.4, abs=1e-3) and heading[-1] > 2 * math.pi
    action = SPACE.traj_to_action(history_xyz, history_rot, future_xyz, future_rot)
    curvature = action[:, 1] * SPACE.curvature_std + SPACE.curvature_mean
    assert (curvature[2:-2] - 0.14).abs().max() < 1e-3


def test_rows_of_any_batch_shape_are_what_they_are_alone():
    action, states = SPACE.traj_to_action(*BATCH, output_all_states=True)
    nested = [part.unflatten(0, (2, 1, 4)) for part in BATCH]
    nested_action, nested_states = SPACE.traj_to_action(*nested, output_all_states=True)
    torch.testing.assert_close(nested_action.flatten(0, 2), action, atol=1e-6, rtol=0)
    torch.testing.assert_close(nested_states.flatten(0, 2), states, atol=1e-6, rtol=0)
    for row, parts in enumerate(ROWS.values()):
        torch.testing.assert_close(SPACE.traj_to_action(*parts), action[row], atol=1e-5, rtol=0)
    xyz, rot = SPACE.action_to_traj(nested_action, *nested[:2])
    assert xyz.shape == (2, 1, 4, 64, 3) and rot.shape == (2, 1, 4, 64, 3, 3)


def test_one_history_serves_all_samples_and_its_height_is_kept():
    actions = torch.randn(5, 64, 2, generator=torch.Generator().manual_seed(0))
    history_xyz = CURVE[0] + torch.tensor([0.0, 0.0, 1.5])
    xyz, rot = SPACE.action_to_traj(actions, history_xyz, CURVE[1])
    repeated, _ = SPACE.action_to_traj(actions, history_xyz.expand(5, -1, -1), CURVE[1].expand(5, -1, -1, -1))
    torch.testing.assert_close(xyz, repeated)
    assert (xyz[..., 2] == 1.5).all() and rot.shape == (5, 64, 3, 3)


def test_a_given_speed_replaces_the_historys_and_then_one_pose_is_enough():
    action = torch.zeros(64, 2)
    space = UnicycleAccelCurvatureActionSpace()
    xyz, rot = space.action_to_traj(action, CURVE[0][-1:], CURVE[1][-1:], t0_states={"v": torch.tensor(3.0)})
    torch.testing.assert_close(xyz[:, 0], 0.3 * torch.arange(1, 65.0))
    torch.testing.assert_close(rot, torch.eye(3).expand(64, 3, 3))
    whole = space.action_to_traj(action, *CURVE[:2], t0_states={"v": torch.tensor(3.0)})[0]
    torch.testing.assert_close(whole[:, 0], xyz[:, 0])


def test_two_history_poses_tell_the_speed():
    speed = SPACE.estimate_t0_states(CURVE[0][-2:], CURVE[1][-2:])["v"]
    assert speed.item() == pytest.approx(5, abs=0.01)


def test_only_actions_with_a_value_out_of_bounds_are_out_of_bounds():
    actions = torch.zeros(5, 64, 2)
    actions[1, 63, 0] = 14.4  # 9.8 m/s^2 is at 14.35
    actions[2, 0, 1] = -12.7
    actions[3, 7, 1] = torch.nan
    actions[4, 7, 0] = 14.2
    assert SPACE.is_within_bounds(actions).tolist() == [True, False, False, False, True]


UNEVEN = ROWS["stopping unevenly"]
ORDERS = {"theta": 3, "v": 3, "a": 2, "kappa": 2}  # of the derivative that its smoothing makes small


def found_with(**weights):
    """Of an uneven drive: heading, speed, acceleration and curvature, and the speed at its start."""
    space = UnicycleAccelCurvatureActionSpace(**weights)
    action, states = space.traj_to_action(*UNEVEN, t0_states={"v": torch.tensor(2.0)}, output_all_states=True)
    now = space.estimate_t0_states(*CURVE[:2])["v"]
    return {"theta": states[:, 2], "v": states[:, 0], "a": action[:, 0], "kappa": action[:, 1]}, now


@pytest.mark.parametrize("name", ORDERS)
def test_a_ridge_pulls_its_own_values_to_zero_and_a_smoothing_its_own_derivatives(name):
    plain, speed = found_with()
    pulled, at_rest = found_with(**{f"{name}_ridge": 1e9})
    first = 1 if name == "v" else 0  # the speed at the start is given
    assert plain[name][first:].abs().max() > 0.02 and pulled[name][first:].abs().max() < 1e-3
    assert abs(at_rest.item() - (0 if name == "v" else speed.item())) < 1e-3
    smooth, _ = found_with(**{f"{name}_lambda": 1e9})
    derivatives = [torch.diff(found[name].double(), n=ORDERS[name]).abs().max() for found in (plain, smooth)]
    assert derivatives[1] < 0.02 * derivatives[0]


def test_the_speed_at_the_start_is_smoothed_as_it_is_asked_for():
    """Of a history that stands still in its last step alone: a parabola through all its speeds goes on."""
    xyz, rot = (each.clone() for each in ROWS["cruising"][:2])
    xyz[-1] = xyz[-2]
    speeds = [UnicycleAccelCurvatureActionSpace(v_lambda=w).estimate_t0_states(xyz, rot)["v"] for w in (1e-9, 1e3)]
    assert speeds[0] < 2 and speeds[1] > 4


# ---- arithmetic


def test_the_solver_finds_the_least_squares_solution_of_the_stacked_equations():
    generator = torch.Generator().manual_seed(0)
    heading = torch.rand(9, generator=generator, dtype=torch.float64)
    displacement = torch.randn(8, 2, generator=generator, dtype=torch.float64)
    weight, ridge, dt = 1e-3, 1e-2, 0.5
    equations = torch.zeros(16, 9, dtype=torch.float64)
    for step in range(8):
        for column in (step, step + 1):
            equations[2 * step, column] = dt / 2 * heading[column].cos()
            equations[2 * step + 1, column] = dt / 2 * heading[column].sin()
    third = torch.diff(torch.eye(9, dtype=torch.float64), n=3, dim=0) / dt**3
    scaled, target = equations * 2 / dt, displacement.flatten() * 2 / dt
    stacked = torch.cat([scaled, weight**0.5 * third, ridge**0.5 * torch.eye(9, dtype=torch.float64)])
    wanted = torch.linalg.lstsq(stacked, torch.cat([target, torch.zeros(15, dtype=torch.float64)])[:, None]).solution
    normal, right = trapezoid_equations(displacement, heading, dt)
    found = solve_smoothed(normal, right, 3, dt, weight, ridge)
    torch.testing.assert_close(found, wanted[:, 0])
    fixed = solve_smoothed(normal, right, 3, dt, weight, ridge, first=found[0])
    torch.testing.assert_close(fixed, found)  # the condition that is met anyhow changes nothing


def test_what_equations_do_not_determine_is_nan():
    normal = torch.tensor([[[1.0, 2.0], [2.0, 1.0]], [[2.0, 1.0], [1.0, 2.0]]], dtype=torch.float64)
    found = solve_smoothed(normal, torch.ones(2, 2, dtype=torch.float64), 1, 0.1, 0.0, 0.0)
    assert found.isnan().tolist() == [[True, True], [False, False]]


def test_a_parabola_has_the_roughness_of_its_second_derivative():
    time = torch.arange(6, dtype=torch.float64) * 0.1
    assert (time**2 @ roughness(6, 2, 0.1, time.device) @ time**2).item() == pytest.approx(4 * 2.0**2)


def test_gradients_reach_the_actions():
    action = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def loss(values):
        xyz, rot = SPACE.action_to_traj(values, CURVE[0], CURVE[1])
        return xyz.square().mean() + rot[:, 1, 0].sum()

    (gradient,) = torch.autograd.grad(loss(action), action)
    for place in ((0, 0), (10, 1), (63, 0)):
        nudge = torch.zeros(64, 2)
        nudge[place] = 0.05
        with torch.no_grad():
            slope = (loss(action + nudge) - loss(action - nudge)) / 0.1
        assert gradient[place].item() == pytest.approx(slope.item(), rel=0.02, abs=2e-3)


# ---- precision and weights


def test_nothing_is_rounded_in_a_bfloat16_model_or_under_autocast():
    action = SPACE.traj_to_action(*BATCH)
    xyz, rot = SPACE.action_to_traj(action, *BATCH[:2])
    with torch.device("meta"):
        space = UnicycleAccelCurvatureActionSpace(**RELEASED)
    space = space.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(space.traj_to_action(*BATCH), action)
        found = space.action_to_traj(action, *BATCH[:2])
    assert torch.equal(found[0], xyz) and torch.equal(found[1], rot)
    xyz, _ = space.action_to_traj(action.bfloat16(), *BATCH[:2])
    assert xyz.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_published_state_dict_loads_and_leaves_nothing_behind(dtype):
    model = torch.nn.ModuleDict({"action_space": UnicycleAccelCurvatureActionSpace(**RELEASED)})
    model.load_state_dict({f"action_space.{name}": value.to(dtype) for name, value in PUBLISHED.items()})
    assert model["action_space"].accel_std == RELEASED["accel_std"] and not model.state_dict()
    model.load_state_dict({})


def test_a_state_dict_of_another_normalisation_is_refused_with_both_values():
    with pytest.raises(ConfigError, match=r"accel_std is 0\.69.* the config gives 0\.68"):
        SPACE.load_state_dict({**PUBLISHED, "accel_std": torch.tensor(0.7)})
    with pytest.raises(RuntimeError, match="accel_median"):
        SPACE.load_state_dict({"accel_median": torch.tensor(0.7)})


# ---- refusals


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_poses_that_are_not_finite_are_refused(part, value):
    parts = [tensor.clone() for tensor in CURVE]
    parts[part].view(-1)[4] = value
    name = ["traj_history_xyz", "traj_history_rot", "traj_future_xyz", "traj_future_rot"][part]
    with pytest.raises(InputError, match=f"{name} holds NaN or infinite"):
        SPACE.traj_to_action(*parts)
    if part < 2:
        with pytest.raises(InputError, match=name):
            SPACE.action_to_traj(torch.zeros(64, 2), *parts[:2])
        with pytest.raises(InputError, match=name):
            SPACE.estimate_t0_states(*parts[:2])


def test_arguments_of_another_shape_are_refused():
    one = CURVE[0][-1:], CURVE[1][-1:]
    with pytest.raises(InputError, match="1 poses"):
        SPACE.estimate_t0_states(*one)
    with pytest.raises(InputError, match="1 poses"):
        SPACE.traj_to_action(*one, *CURVE[2:])
    with pytest.raises(InputError, match="63 poses; 64"):
        SPACE.traj_to_action(*CURVE[:2], CURVE[2][1:], CURVE[3][1:])
    with pytest.raises(InputError, match=r"traj_future_rot \(64, 3\)"):
        SPACE.traj_to_action(*CURVE[:2], CURVE[2], CURVE[2])
    with pytest.raises(InputError, match=r"\(64, 3\).*\(64, 2\)"):
        SPACE.action_to_traj(torch.zeros(64, 3), *CURVE[:2])
    with pytest.raises(InputError, match="t0_states"):
        SPACE.action_to_traj(torch.zeros(64, 2), *CURVE[:2], t0_states={"v": torch.tensor(torch.nan)})


@pytest.mark.parametrize("field", ["accel_std", "curvature_std", "dt", "n_waypoints"])
def test_settings_that_cannot_work_are_refused(field):
    with pytest.raises(ConfigError, match=f"{field}=0"):
        UnicycleAccelCurvatureActionSpace(**{field: 0})


def test_equations_without_a_solution_are_an_error_and_not_an_endless_loop():
    space = UnicycleAccelCurvatureActionSpace(kappa_lambda=0.0, kappa_ridge=0.0)
    with pytest.raises(ConfigError, match="raise the ridge"):
        space.traj_to_action(*ROWS["standing"])
