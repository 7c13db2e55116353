"""The closed loop on drawn roads: how the car moves, what it sees, and who stays within the lane."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_from_disk
from PIL import Image

from vlahub import AlpamayoR1, AlpamayoR1Processor
from vlahub.data import DrivingScenes
from vlahub.processing.alpamayo_r1.driving_prompt import read_history

sys.path.append(str(Path(__file__).parents[2] / "examples" / "closed_loop"))
from driving_cameras import ASPHALT, CAMERAS, LEFT_PAINT, RIGHT_PAINT, RoadCamera
from driving_demonstrations import POSE, WAYPOINTS, wandering_drive, write_demonstrations
from driving_drivers import ModelDriver, arc, as_before, expert, frames_now, straight_on
from driving_loop import drive_all, drive_turned, train_driver
from driving_model import write_driver
from driving_motion import TIME_STEP, Poses, along_arc, placed_at, pose, seen_from, yaw_of
from driving_picture import draw_loop
from driving_replay import HISTORY, PLAN_EVERY, history_of, in_lane, offsets, replay, started
from driving_road import SPACING, Drive, drawn_road, road_of

SHIFT = np.array([310.0, -170.0])


def starts(count: int, length: float = 300.0) -> list[Drive]:
    randoms = [np.random.RandomState(seed) for seed in range(count)]
    return [started(drawn_road(random, length), random.uniform(8, 12)) for random in randoms]


def matrix(car: Poses) -> np.ndarray:
    """A pose as a homogeneous matrix."""
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = car.rot, car.xyz
    return found


def drawn_poses(count: int) -> Poses:
    """Of cars anywhere, also off the plane and tilted."""
    random = np.random.RandomState(0)
    rotations, _ = np.linalg.qr(random.standard_normal((count, 3, 3)))
    rotations *= np.sign(np.linalg.det(rotations))[:, None, None]
    return Poses(random.uniform(-500, 500, (count, 3)), rotations)


def test_frames_are_changed_as_by_homogeneous_matrices():
    poses = drawn_poses(6)
    car, path = poses.at(0), Poses(poses.xyz[1:], poses.rot[1:])
    seen, placed = seen_from(car, path), placed_at(car, path)
    for step in range(5):
        naive = np.linalg.inv(matrix(car)) @ matrix(path.at(step))
        np.testing.assert_allclose(matrix(seen.at(step)), naive, atol=1e-9)
        np.testing.assert_allclose(matrix(placed.at(step)), matrix(car) @ matrix(path.at(step)), atol=1e-9)
    np.testing.assert_allclose(placed_at(car, seen).xyz, path.xyz, atol=1e-9)


@pytest.mark.parametrize("curvature", [0.05, -0.02, 0.0])
def test_a_planned_circle_is_driven_as_that_circle(curvature):
    """Re-planned each half second in the frame of the car, over 12 s."""
    road = road_of(np.full(400, curvature)).turned(2.0, SHIFT)
    drive = replay(lambda drives: [arc(10.0, curvature) for _ in drives], [started(road, 10.0)], 12.0)[0]
    driven = Poses(drive.path.xyz[HISTORY - 1 :], drive.path.rot[HISTORY - 1 :])
    first, distances = driven.at(0), np.arange(len(driven.xyz))
    expected = [along_arc(first, float(distance), curvature) for distance in distances]
    np.testing.assert_allclose(driven.xyz, [each.xyz for each in expected], atol=1e-9)
    np.testing.assert_allclose(driven.rot, [each.rot for each in expected], atol=1e-12)
    if curvature:
        centre = first.xyz + first.rot[:, 1] / curvature
        np.testing.assert_allclose(np.linalg.norm(driven.xyz - centre, axis=1), 1 / abs(curvature), atol=1e-9)
    steps = np.linalg.norm(np.diff(driven.xyz, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], atol=1e-9)


def test_rotations_stay_rotations_however_often_the_car_plans():
    road = road_of(np.tile(np.repeat([0.03, -0.03], 60), 10))
    drive = replay(expert, [started(road, 9.0)], 50.0)[0]
    squares = drive.path.rot @ np.swapaxes(drive.path.rot, 1, 2)
    np.testing.assert_allclose(squares, np.broadcast_to(np.eye(3), squares.shape), atol=1e-12)
    assert in_lane([drive]) == (1, 1)


def test_a_road_of_one_curvature_is_a_circle_with_the_car_left_and_right_of_it():
    road = road_of(np.full(100, 0.04))
    np.testing.assert_allclose(np.linalg.norm(road.points - [0, 25.0], axis=1), 25, atol=1e-9)
    assert np.linalg.norm(np.diff(road.points, axis=0), axis=1).max() <= SPACING
    for left in (-1.5, 0.4):
        point = np.array([0, 25.0]) + (25 - left) * np.array([np.sin(0.8), -np.cos(0.8)])
        along, found = road.nearest(point, 18.0)
        assert (along, found) == pytest.approx((20.0, left), abs=0.01)  # of a chord


def test_a_drawn_road_bends_to_both_sides_and_goes_straight_on_behind_its_end():
    for seed in range(5):
        road = drawn_road(np.random.RandomState(seed))
        assert np.abs(road.headings).max() < 0.5 + 30 / 22  # it turns back from there on
        (end, heading), (beyond, same) = road.at(road.length), road.at(road.length + 3)
        np.testing.assert_allclose(beyond, end + 3 * np.array([np.cos(heading), np.sin(heading)]), atol=1e-5)
        assert same == heading


def test_the_scripted_driver_keeps_to_the_lane_and_who_sees_nothing_leaves_it():
    time, roads = in_lane(replay(expert, starts(12), 15.0))
    assert (time, roads) == (1, 1)
    for blind in (straight_on, as_before):
        time, roads = in_lane(replay(blind, starts(12), 15.0))
        assert roads == 0 and time < 0.4


def test_a_turned_world_is_driven_alike_and_looks_alike():
    drives = starts(3)
    plain = replay(expert, drives, 10.0)
    turned = replay(expert, [drive.turned(2.0, SHIFT) for drive in drives], 10.0)
    for one, other in zip(plain, turned, strict=True):
        np.testing.assert_allclose(offsets(one), offsets(other), atol=1e-6)
        for name, frames in frames_now(one).items():
            others = [np.asarray(frame, dtype=float) for frame in frames_now(other)[name]]
            assert np.abs(np.asarray(frames, dtype=float) - others).mean() < 0.5  # an edge may round elsewhere


def test_a_history_is_what_the_processor_makes_of_the_world_poses():
    drive = replay(expert, [starts(1)[0].turned(2.0, SHIFT)], 2.0)[0]
    world = drive.path.last(HISTORY)
    expected = read_history(world.xyz, world.rot, "world")
    for found, each in zip(history_of(drive), expected, strict=True):
        np.testing.assert_allclose(found, each.squeeze().numpy(), atol=1e-5)
    np.testing.assert_allclose(history_of(drive).xyz[-1], 0)


def test_a_camera_projects_as_a_rotated_pinhole():
    camera = RoadCamera(90.0, 22.0, 1.6, 64, 48)
    points = np.array([[4.0, 1.0], [9.0, -2.0], [30.0, 0.0]])
    pixels, depths = camera.project(points)
    down = np.deg2rad(22.0)
    axes = np.array([[0, -1, 0], [-np.sin(down), 0, -np.cos(down)], [np.cos(down), 0, -np.sin(down)]])  # right, down
    seen = np.c_[points, np.full(3, -1.6)] @ axes.T
    np.testing.assert_allclose(depths, seen[:, 2])
    np.testing.assert_allclose(pixels, [32, 24] + 32 * seen[:, :2] / seen[:, 2:], atol=1e-9)


def test_the_lane_is_drawn_where_the_camera_projects_it():
    drive = wandering_drive(np.random.RandomState(3), 1)
    camera = next(iter(CAMERAS.values()))
    car, along = drive.path.at(HISTORY), drive.along[HISTORY]
    frame = np.asarray(camera.frame(drive.road, along, car.xyz[:2], float(yaw_of(car.rot))))
    centre, _ = drive.road.at(along + np.array([4.0, 7.0, 10.0]))
    seen = seen_from(car, Poses(np.c_[centre, np.zeros(3)], np.stack([np.eye(3)] * 3))).xyz[:, :2]
    for column, row in camera.project(seen)[0].astype(int):
        assert tuple(frame[row, column]) == ASPHALT


def test_the_sky_ends_where_the_ground_does_and_paint_is_yellow_on_the_left():
    camera, road = RoadCamera(90.0, 22.0), road_of(np.zeros(200))
    far, _ = camera.project(np.array([[1e6, 0.0]]))
    assert far[0, 1] == pytest.approx(camera.horizon(), abs=1e-3)
    seen = np.asarray(camera.frame(road, 20.0, np.array([20.0, 0.0]), 0.0), dtype=float)
    nearest = [np.abs(seen - paint).sum(axis=-1).argmin() % 32 for paint in (LEFT_PAINT, RIGHT_PAINT)]
    assert nearest[0] < 16 <= nearest[1]


def test_demonstrations_are_scenes_that_lead_back_to_the_centre(tmp_path):
    write_demonstrations(tmp_path / "drives", drives=12, seed=4, scenes=2)
    frames = load_from_disk(tmp_path / "drives")
    scenes = DrivingScenes(frames, POSE, num_future=WAYPOINTS, reasoning="reasoning")
    assert len(scenes) == 24
    random, astray, came_back = np.random.RandomState(4), [], []
    for number in range(12):
        drive = wandering_drive(random, 2)
        now = drive.path.at(HISTORY - 1)
        scene = scenes[2 * number]
        ahead = seen_from(now, Poses(drive.path.xyz[HISTORY:][:WAYPOINTS], drive.path.rot[HISTORY:][:WAYPOINTS]))
        np.testing.assert_allclose(scene["ego_future_xyz"], ahead.xyz, atol=1e-5)
        np.testing.assert_allclose(scene["ego_future_rot"], ahead.rot, atol=1e-6)
        astray.append(drive.road.nearest(now.xyz[:2], drive.along[HISTORY - 1])[1])
        came_back.append(drive.road.nearest(drive.path.xyz[-1, :2], drive.along[-1])[1])
    assert max(map(abs, astray)) > 0.8 and min(astray) < 0 < max(astray)
    assert max(map(abs, came_back)) < 0.4


def test_a_plan_is_followed_for_half_a_second():
    start = starts(1)[0]
    plan = arc(9.0, 0.03)
    longer = Poses(np.concatenate([plan.xyz, plan.xyz + 90]), np.concatenate([plan.rot, plan.rot]))
    drive = replay(lambda drives: [longer], [start], 0.5)[0]
    assert len(drive.along) == HISTORY + PLAN_EVERY
    car = pose(start.path.xyz[-1, :2], float(yaw_of(start.path.rot[-1])))
    np.testing.assert_allclose(drive.path.xyz[-1], along_arc(car, 4.5, 0.03).xyz, atol=1e-9)


def test_the_car_follows_what_the_model_predicts_from_the_poses_in_the_world(tmp_path):
    """By hand: the processor changes the frame of the history, and homogeneous matrices that of the prediction."""
    write_driver(tmp_path)
    model, processor = AlpamayoR1.from_pretrained(tmp_path).eval(), AlpamayoR1Processor.from_pretrained(tmp_path)
    before = [drive.turned(2.0, SHIFT) for drive in starts(2, 60.0)]
    after = replay(ModelDriver(model, processor, seed=5), before, PLAN_EVERY * TIME_STEP)
    paths = [drive.path.last(HISTORY) for drive in before]
    xyz, rot = (np.stack([getattr(path, part) for path in paths]) for part in ("xyz", "rot"))
    inputs = processor([frames_now(drive) for drive in before], xyz, rot, history_frame="world")
    options = {"num_traj_samples": 1, "top_k": 1, "max_new_tokens": 16}
    drawn = model.sample_trajectories(**inputs, **options, generator=torch.Generator().manual_seed(5))
    for row, (start, end) in enumerate(zip(before, after, strict=True)):
        for step in range(PLAN_EVERY):
            ahead = Poses(drawn.pred_xyz[row, 0, 0, step].double().numpy(), drawn.pred_rot[row, 0, 0, step].numpy())
            expected = matrix(start.path.at(-1)) @ matrix(ahead)
            np.testing.assert_allclose(matrix(end.path.at(HISTORY + step)), expected, atol=1e-3)


@pytest.mark.slow
def test_a_model_learns_by_vlahub_train_to_keep_to_the_lane_of_unseen_roads(tmp_path):
    """Half of the demonstration's training, which leaves the lane on some roads where the whole one stays on all: asked
    is the car's centre, on most roads."""
    untrained, trained = train_driver(tmp_path, drives=1000, steps=600, batch_size=16, seed=3)
    loop = 12, 10.0, 3
    drives = drive_all(untrained, trained, *loop)
    time, roads = {}, {}
    for name, each in (drives | {"turned": drive_turned(trained, *loop)}).items():
        time[name], roads[name] = in_lane(each, width=0)
    assert roads["scripted"] == 1
    assert min(roads["trained"], roads["turned"]) >= 0.5 and min(time["trained"], time["turned"]) > 0.75
    for name in ("untrained", "straight on", "as before"):
        assert roads[name] < 0.2 and time[name] < 0.5
    draw_loop(tmp_path / "loop.png", drives, [0, 5], "trained")
    with Image.open(tmp_path / "loop.png") as picture:
        assert picture.size == (880, 825)
