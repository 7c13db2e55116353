"""Histories are in the frame of their last pose: what is not is refused or converted, wherever it comes in."""

import numpy as np
import pytest
import torch

from vlahub import AlpamayoR1, AlpamayoR1Config
from vlahub.errors import InputError
from vlahub.modeling.alpamayo_r1 import modeling_alpamayo_r1, value_checks
from vlahub.modeling.alpamayo_r1.ego_frame import check_poses, in_frame_of_last
from vlahub.processing.alpamayo_r1.driving_prompt import read_history

OPTIONS = {"num_traj_samples": 1, "top_k": 1, "max_new_tokens": 2, "num_inference_steps": 1}


def turned(yaw, pitch=0.0):
    """Rotations (..., 3, 3): a heading, and the nose up or down."""
    yaw, pitch = np.broadcast_arrays(np.asarray(yaw, float), pitch)
    zero, one = np.zeros(yaw.shape), np.ones(yaw.shape)
    about_z = [[np.cos(yaw), -np.sin(yaw), zero], [np.sin(yaw), np.cos(yaw), zero], [zero, zero, one]]
    about_y = [[np.cos(pitch), zero, np.sin(pitch)], [zero, one, zero], [-np.sin(pitch), zero, np.cos(pitch)]]
    first, second = (np.moveaxis(np.array(matrix), (0, 1), (-2, -1)) for matrix in (about_z, about_y))
    return first @ second


def ego_history(seed=0, poses=16):
    """A bend, in the frame of its last pose."""
    random = np.random.RandomState(seed)
    along = np.arange(1 - poses, 1)[:, None] * np.array([0.9, 0.0, 0.02])
    xyz = along + np.array([0, random.uniform(0.001, 0.004), 0]) * along[:, :1] ** 2
    rot = turned(np.linspace(-0.2, 0, poses), np.linspace(0.03, 0, poses))
    return xyz, rot


def in_the_world(xyz, rot, place=(4.5e6, -1.2e5, 300.0), heading=2.1, pitch=0.05):
    frame = turned(heading, pitch)
    return xyz @ frame.T + place, frame @ rot


@pytest.mark.parametrize("leading", [(), (1,), (1, 1)])
def test_a_world_history_becomes_the_ego_history_that_it_is(leading):
    """In float64: at such places float32 counts in half metres."""
    xyz, rot = ego_history()
    world = [part.reshape(*leading, *part.shape) for part in in_the_world(xyz, rot)]
    found_xyz, found_rot = read_history(*world, frame="world")
    assert found_xyz.dtype == found_rot.dtype == torch.float32
    np.testing.assert_allclose(found_xyz[0, 0], xyz, atol=1e-6)
    np.testing.assert_allclose(found_rot[0, 0], rot, atol=1e-6)
    assert found_xyz[0, 0, -1].tolist() == [0, 0, 0]


def test_an_ego_history_is_what_it_is_in_either_frame():
    xyz, rot = ego_history()
    for frame in ("ego", "world"):
        found_xyz, found_rot = read_history(xyz, rot, frame)
        np.testing.assert_allclose(found_xyz[0, 0], xyz, atol=1e-6)
        np.testing.assert_allclose(found_rot[0, 0], rot, atol=1e-6)


def moved(offset):
    xyz, rot = ego_history()
    return xyz + offset, rot


def with_matrix(matrix, pose=3):
    xyz, rot = ego_history()
    rot = rot.copy()
    rot[pose] = matrix
    return xyz, rot


REFUSED = {
    "another place": (moved([100.0, -2.0, 0.0]), r"ends at \[100.0, -2.0, 0.0\] m.*history_frame='world'"),
    "another height": (moved([0.0, 0.0, 1.5]), r"\[0.0, 0.0, 1.5\]"),
    "another heading": (in_the_world(*ego_history(), place=(0, 0, 0), heading=0.1, pitch=0.0), "rotation"),
    "zeros": ((ego_history()[0], np.zeros((16, 3, 3))), "no rotation"),
    "one zero": (with_matrix(np.zeros((3, 3))), "no rotation"),
    "a mirror": (with_matrix(np.diag([1.0, -1.0, 1.0])), "no rotation.*determinant 1"),
    "stretched": (with_matrix(np.diag([1.02, 1.0, 1.0])), "no rotation"),
}
refused = pytest.mark.parametrize(("history", "message"), REFUSED.values(), ids=REFUSED)


@refused
def test_a_history_of_another_frame_or_without_rotations_is_refused_by_the_processor(history, message):
    with pytest.raises(InputError, match=message):
        read_history(*history)


def test_a_frame_that_is_none_is_refused_and_a_world_history_needs_rotations():
    with pytest.raises(InputError, match=r"ego_history_xyz has shape \(0, 16, 3\)"):
        read_history(np.zeros((0, 16, 3)), np.zeros((0, 16, 3, 3)))
    with pytest.raises(InputError, match="history_frame='map' is unknown; choose from ego, world"):
        read_history(*ego_history(), frame="map")
    with pytest.raises(InputError, match="no rotation"):
        read_history(ego_history()[0], np.zeros((16, 3, 3)), frame="world")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_is_within_the_tolerance(dtype):
    xyz, rot = (torch.from_numpy(part)[None].to(dtype) for part in ego_history())
    check_poses("ego_history", xyz, rot, ends_at_origin=True)
    check_poses("ego_history", xyz + torch.tensor([0.001, 0.0, 0.0], dtype=dtype), rot, ends_at_origin=True)


@pytest.mark.parametrize("place", [(1, 2, 0), (1, -1, 0)])
@pytest.mark.parametrize("name", ["xyz", "rot"])
def test_poses_that_are_not_finite_are_refused_by_their_row(name, place):
    poses = {each: part.repeat_interleave(2, dim=0) for each, part in tensors(ego_history()).items()}
    poses[name][place] = np.nan
    with pytest.raises(InputError, match="not finite, in row 1 of the batch"):
        check_poses("ego_history", **poses, ends_at_origin=True)


def test_a_future_is_seen_from_the_last_pose_of_its_history():
    xyz, rot = ego_history(poses=20)
    world = [torch.from_numpy(part) for part in in_the_world(xyz, rot)]
    found = in_frame_of_last(world[0], world[1], world[0][-1], world[1][-1])
    for one, other in zip(found, (xyz, rot), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


# ---- the model


@pytest.fixture(scope="module")
def driving(golden):
    case = golden("alpamayo/alpamayo_expert_step")
    fields = dict(case.config)
    config = AlpamayoR1Config(vlm_config=fields.pop("vlm"), **fields.pop("expect"), **fields, pad_token_id=300)
    model = AlpamayoR1(config).eval()
    model.load_state_dict(case.state(), strict=True)
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
    return model, {name: case.input(name) for name in names}


def tensors(history):
    return {name: torch.from_numpy(part)[None] for name, part in zip(("xyz", "rot"), history, strict=True)}


@refused
def test_the_model_refuses_it_before_it_computes(history, message, driving, monkeypatch):
    model, prompt = driving
    monkeypatch.setattr(modeling_alpamayo_r1, "prefill", None)
    poses = {f"ego_history_{name}": part for name, part in tensors(history).items()}
    with pytest.raises(InputError, match=message):
        model.sample_trajectories(**prompt, **poses, **OPTIONS)
    with pytest.raises(InputError, match=message):
        model.sample_trajectories_from_data_with_vlm_rollout({"tokenized_data": prompt, **poses})


@pytest.mark.parametrize(("change", "message"), [([100.0, 0.0, 0.0], "ends at"), ([np.nan] * 3, "not finite")])
def test_what_an_accelerator_holds_is_looked_at_when_all_is_computed(change, message, driving, monkeypatch):
    """Where looking would mean to wait, the error comes at the end, also without the check of finite values."""
    model, prompt = driving
    monkeypatch.setattr(value_checks, "at_hand", lambda tensor: False)
    poses = {f"ego_history_{name}": part for name, part in tensors(moved(change)).items()}
    computed = []
    model.action_out_proj.register_forward_hook(lambda *_: computed.append(1))
    with pytest.raises(InputError, match=message):
        model.sample_trajectories(**prompt, **poses, **OPTIONS, check_finite=False)
    assert computed


def test_training_refuses_histories_and_futures_too(driving):
    model, prompt = driving
    good = {f"ego_history_{name}": part for name, part in tensors(ego_history()).items()}
    future = {"ego_future_xyz": torch.zeros(1, 64, 3), "ego_future_rot": torch.eye(3).expand(1, 64, 3, 3)}
    bad = {f"ego_history_{name}": part for name, part in tensors(moved([0.0, 5.0, 0.0])).items()}
    with pytest.raises(InputError, match="ends at"):
        model(**prompt, **bad, **future)
    with pytest.raises(InputError, match="ego_future_rot holds a matrix that is no rotation"):
        model(**prompt, **good, **{**future, "ego_future_rot": torch.zeros(1, 64, 3, 3)})


def test_a_history_of_another_length_is_refused_with_both_numbers(driving):
    model, prompt = driving
    poses = {f"ego_history_{name}": part for name, part in tensors(ego_history(poses=12)).items()}
    with pytest.raises(InputError, match="12 poses, of 36 tokens; tokens_per_history_traj is 48"):
        model.sample_trajectories(**prompt, **poses, **OPTIONS)
