"""Scenes from clips of the PhysicalAI-AV dataset, by the package itself where it is installed, and by a stand-in."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_av_clip as clips
import torch
from families import FAMILIES

import vlahub
from vlahub.errors import InputError
from vlahub.training.alpamayo_r1.physical_ai_av_clips import camera_index, poses_at

NAMES = ("cross_left_120fov", "front_wide_120fov", "cross_right_120fov", "front_tele_30fov")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    clips.write_clip(folder := tmp_path_factory.mktemp("cache"))
    return folder


@pytest.fixture(params=["package", "stand-in"])
def avdi(request, cache):
    if request.param == "stand-in":
        return clips.StandIn(cache)
    package = pytest.importorskip("physical_ai_av")
    return package.PhysicalAIAVDatasetInterface(revision=clips.REVISION, cache_dir=cache, token=False)


def load(avdi, **options):
    return vlahub.load_physical_aiavdataset(clips.CLIP, avdi=avdi, maybe_stream=False, **options)


@pytest.mark.parametrize(("t0", "step", "counts"), [(5_100_000, 0.1, (16, 64, 4)), (3_217_001, 0.2, (5, 11, 2))])
def test_a_scene_is_seen_from_the_pose_of_its_moment(avdi, t0, step, counts):
    names = dict(zip(("num_history_steps", "num_future_steps", "num_frames"), counts, strict=True))
    data = load(avdi, t0_us=t0, time_step=step, **names)
    history, future, frames = counts
    times = t0 + np.arange(1 - history, future + 1) * round(step * 1e6)
    xyz, rot = clips.pose(times)
    axes = rot[history - 1]
    local = (axes.T @ (xyz - xyz[history - 1]).T).T, np.einsum("ji,tjk->tik", axes, rot)
    for name, wanted in zip(("xyz", "rot"), local, strict=True):
        found = data[f"ego_history_{name}"], data[f"ego_future_{name}"]
        assert [part.dtype for part in found] == [torch.float32] * 2
        assert [tuple(part.shape[:3]) for part in found] == [(1, 1, history), (1, 1, future)]
        np.testing.assert_allclose(torch.cat(found, dim=2)[0, 0], wanted, atol=2e-4)
    assert data["camera_indices"].tolist() == [0, 1, 2, 6] and data["camera_indices"].dtype == torch.int64
    assert data["image_frames"].shape == (4, frames, 3, clips.HEIGHT, clips.WIDTH)
    assert data["image_frames"].dtype == torch.uint8 and data["image_frames"].is_contiguous()
    moments = t0 - np.arange(frames)[::-1] * round(step * 1e6)
    for i, camera in enumerate(NAMES):
        shown = [int(np.flatnonzero(clips.frame_times(camera) <= moment)[-1]) for moment in moments]
        assert data["absolute_timestamps"][i].tolist() == clips.frame_times(camera)[shown].tolist()
        grey = data["image_frames"][i].float().mean(dim=(1, 2, 3))
        np.testing.assert_allclose(grey, [clips.shade(camera, frame) for frame in shown], atol=3)
    stamps = data["absolute_timestamps"]
    np.testing.assert_allclose(data["relative_timestamps"], (stamps - stamps.min()) / 1e6, atol=1e-6)
    assert (data["t0_us"], data["clip_id"]) == (t0, clips.CLIP)


def test_poses_that_turn_about_any_axis_are_seen_from_the_one_of_the_moment():
    random = np.random.RandomState(0)
    xyz, turned = random.standard_normal((5, 3)), np.linalg.qr(random.standard_normal((5, 3, 3)))[0]
    pose = SimpleNamespace(translation=xyz, rotation=SimpleNamespace(as_matrix=lambda: turned))
    place, axes = poses_at(lambda times: SimpleNamespace(pose=pose), np.arange(5), 2, "clip")
    np.testing.assert_allclose(place.numpy() @ turned[2].T + xyz[2], xyz, atol=1e-6)
    np.testing.assert_allclose(turned[2] @ axes.numpy(), turned, atol=1e-6)


def test_cameras_come_in_the_order_of_their_numbers(avdi):
    chosen = ["camera_front_tele_30fov", "camera_rear_tele_30fov", "camera_cross_left_120fov"]
    data = load(avdi, camera_features=chosen)
    assert data["camera_indices"].tolist() == [0, 4, 6]
    grey = data["image_frames"][:, -1].float().mean(dim=(1, 2, 3))
    last = [int(np.flatnonzero(clips.frame_times(name) <= 5_100_000)[-1]) for name in ("cross_left_120fov",)]
    assert grey[0].item() == pytest.approx(clips.shade("cross_left_120fov", last[0]), abs=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t0_us": 1_600_000}, "t0_us=1600000 must be greater than the 1600000 us"),
        ({"t0_us": 9_000_000}, "poses from 7500000 to 15400000 us are wanted of clip"),
        ({"camera_features": ["camera_roof"]}, "'camera_roof' is no camera; known are camera_cross_left_120fov"),
        ({"num_frames": 0}, "num_frames=0"),
        ({"time_step": 0.0}, "time_step=0.0"),
        ({"num_frames": 60}, "timestamps"),
    ],
)
def test_what_a_clip_does_not_hold_is_refused(avdi, options, message):
    with pytest.raises(InputError, match=message):
        load(avdi, **options)


class Drawn:
    """A clip of grey pictures that notes what may be fetched; wide: the width of each camera's."""

    features = SimpleNamespace(LABELS=SimpleNamespace(EGOMOTION="egomotion"))

    def __init__(self, **wide):
        self.wide, self.fetched = wide, []

    def get_clip_feature(self, clip_id, feature, maybe_stream):
        self.fetched.append((feature, maybe_stream))
        if feature == "egomotion":
            return clips.Motion()
        frames = np.zeros((4, 8, self.wide[feature], 3), np.uint8)
        return SimpleNamespace(decode_images_from_timestamps=lambda times: (frames, times))


@pytest.mark.parametrize("may", [False, True])
def test_nothing_is_fetched_that_may_not_be(may):
    avdi = Drawn(camera_rear_tele_30fov=8)
    options = {"camera_features": ["camera_rear_tele_30fov"], "maybe_stream": may}
    vlahub.load_physical_aiavdataset(clips.CLIP, avdi=avdi, **options)
    assert avdi.fetched == [("egomotion", may), ("camera_rear_tele_30fov", may)]


def test_pictures_of_different_sizes_are_refused_by_camera():
    names = {"camera_front_wide_120fov": 8, "camera_rear_tele_30fov": 9}
    with pytest.raises(InputError, match=r"different sizes, .*camera_front_wide_120fov.*camera_rear_tele_30fov"):
        vlahub.load_physical_aiavdataset(clips.CLIP, avdi=Drawn(**names), camera_features=list(names))


def test_a_camera_may_be_named_by_a_path():
    assert camera_index("camera/Camera_rear_tele_30fov") == camera_index("camera_rear_tele_30fov") == 4


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "physical_ai_av", None)
    with pytest.raises(InputError, match=r"vlahub\[av\]"):
        vlahub.load_physical_aiavdataset(clips.CLIP)


def test_a_scene_goes_into_the_processor_and_the_model_as_it_is(cache, tmp_path):
    data = load(clips.StandIn(cache))
    folder = FAMILIES["alpamayo_r1"].make(tmp_path)
    processor, model = vlahub.AlpamayoR1Processor.from_pretrained(folder), vlahub.AlpamayoR1.from_pretrained(folder)
    poses = {name: data[name] for name in ("ego_history_xyz", "ego_history_rot")}
    inputs = processor(images=data["image_frames"], **poses)
    nested = processor(
        images=[list(camera) for camera in data["image_frames"].numpy()],
        ego_history_xyz=data["ego_history_xyz"][0, 0],
        ego_history_rot=data["ego_history_rot"][0, 0],
    )
    assert all(torch.equal(inputs[name], nested[name]) for name in inputs) and len(inputs["image_grid_thw"]) == 16
    output = model.float().sample_trajectories(**inputs, num_traj_samples=2, max_new_tokens=2)
    error = vlahub.minADE(output.pred_xyz, data["ego_future_xyz"][:, 0])
    assert error.shape == (1,) and error.isfinite().all()
