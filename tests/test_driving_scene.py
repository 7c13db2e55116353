"""The drawn drive of the examples: exact poses, and frames that move with the car."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "driving_scene.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("driving_scene", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def scene(example):
    return example.driving_scene(height=60, width=96)


def test_a_scene_has_frames_and_both_paths(scene):
    shapes = {name: (array.shape, array.dtype.name) for name, array in scene.items()}
    assert shapes == {
        "images": ((4, 4, 3, 60, 96), "uint8"),
        "camera_indices": ((4,), "int64"),
        "ego_history_xyz": ((16, 3), "float32"),
        "ego_history_rot": ((16, 3, 3), "float32"),
        "ego_future_xyz": ((64, 3), "float32"),
        "ego_future_rot": ((64, 3, 3), "float32"),
    }


def test_the_last_pose_of_the_history_is_the_origin(scene):
    np.testing.assert_array_equal(scene["ego_history_xyz"][-1], np.zeros(3))
    np.testing.assert_array_equal(scene["ego_history_rot"][-1], np.eye(3))


@pytest.mark.parametrize("seed", range(4))
def test_the_car_moves_where_it_heads_at_constant_speed_round_a_bend(example, seed):
    scene = example.driving_scene(cameras=1, frames=1, height=8, width=8, seed=seed)
    xyz = np.concatenate([scene["ego_history_xyz"], scene["ego_future_xyz"]]).astype(float)
    rot = np.concatenate([scene["ego_history_rot"], scene["ego_future_rot"]]).astype(float)
    steps = np.diff(xyz, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert 0.6 < lengths[0] < 1.2  # metres in 0.1 s
    np.testing.assert_allclose(lengths, lengths[0], atol=1e-4)
    between = rot[:-1, :, 0] + rot[1:, :, 0]  # halfway between two headings
    np.testing.assert_allclose(np.cross(steps, between), 0, atol=1e-4)
    assert (np.einsum("ij,ij->i", steps, between) > 0).all()
    np.testing.assert_allclose(rot @ rot.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rot.shape), atol=1e-6)
    assert abs(np.arctan2(rot[-1, 1, 0], rot[-1, 0, 0])) > 0.3  # radians


def test_the_same_seed_gives_the_same_scene_and_another_another(example, scene):
    for seed, same in ((0, True), (1, False)):
        other = example.driving_scene(height=60, width=96, seed=seed)
        for name in ("images", "ego_history_xyz"):
            assert np.array_equal(other[name], scene[name]) == same


def test_fewer_frames_are_the_last_ones(example, scene):
    two = example.driving_scene(cameras=3, frames=2, height=60, width=96)["images"]
    np.testing.assert_array_equal(two, scene["images"][:3, -2:])


def test_every_camera_sees_something_else_and_every_frame_too(scene):
    images = scene["images"].reshape(16, -1).astype(int)
    differences = np.abs(images[:, None] - images[None]).max(axis=-1) + 255 * np.eye(16, dtype=int)
    assert (differences > 30).all()


def test_what_lies_on_the_ground_is_drawn_where_the_camera_projects_it(example):
    bend = example.Bend(radius=-60.0, speed=9.0)
    camera = example.Camera(0.3, 50.0, 60, 96, np.array([1.0, 2.0]))
    points, depth = camera.ground()
    for row, column in ((0, 3), (5, 90), (29, 48)):
        found = camera.project(points[row, column], 0.0)
        np.testing.assert_allclose(found, (column + 0.5, 30 + row + 0.5, depth[row, 0]), rtol=1e-6)
    along, left = bend.along_and_left(points[10:])
    np.testing.assert_allclose(bend.point(along[4, 7], left[4, 7]), points[14, 7], atol=1e-9)
    xyz, _ = bend.poses(np.array([-1.5, 0.0, 2.0]))
    np.testing.assert_allclose(bend.along_and_left(xyz[:, :2]), [[-13.5, 0, 18], [0, 0, 0]], atol=1e-9)


@pytest.mark.parametrize("arguments", [{"cameras": 0}, {"cameras": 5}, {"frames": 0}, {"frames": 17}])
def test_what_the_scene_does_not_have_is_refused(example, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        example.driving_scene(**arguments)
