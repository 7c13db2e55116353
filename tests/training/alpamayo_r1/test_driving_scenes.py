"""Drives as examples: which rows, which frames, poses as seen from the car, and the tiny data set of the examples."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import vlahub
from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.training.alpamayo_r1.collator_alpamayo_r1 import AlpamayoR1Collator
from vlahub.training.alpamayo_r1.driving_scenes import DrivingScenes
from vlahub.training.example_columns import ExampleColumns

EXAMPLES = Path(__file__).parents[3] / "examples"
FEATURES = {
    "episode_index": datasets.Value("int64"),
    "observation.state": datasets.Sequence(datasets.Value("float64")),
    "front": datasets.Image(),
    "left": datasets.Image(),
    "words": datasets.Value("string"),
}
SMALL = {"num_frames": 2, "num_history": 3, "num_future": 4}
PARTS = "xyz", "rot"


def table(lengths=(9, 5, 8)):
    """Columns of episodes of these lengths: any poses at all, and in each picture its row."""
    random, count = np.random.RandomState(0), sum(lengths)
    poses = random.randn(count, 7) * [*[1e3] * 3, *[1] * 4] + [5e6, -4e6, 0, 0, 0, 0, 0]
    poses[:, 3:] /= np.linalg.norm(poses[:, 3:], axis=1, keepdims=True)
    return {
        "episode_index": np.repeat(np.arange(len(lengths)), lengths).tolist(),
        "observation.state": poses.tolist(),
        "front": [Image.new("RGB", (4, 4), (row, 0, 0)) for row in range(count)],
        "left": [Image.new("RGB", (4, 4), (row, 0, 255)) for row in range(count)],
        "words": [f"row {row}" for row in range(count)],
    }


def frames_of(columns):
    return datasets.Dataset.from_dict(columns, datasets.Features({name: FEATURES[name] for name in columns}))


def turned(quaternion, point):
    """q * point * q^-1 by Hamilton's product, one number at a time."""

    def product(a, b):
        return [
            a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
            a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
            a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
            a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
        ]

    w, x, y, z = quaternion
    return product(product(quaternion, [0, *point]), [w, -x, -y, -z])[1:]


def seen_from(own, pose):
    """Position and rotation of a pose in the frame of another, column by column."""
    w, x, y, z = own[3:]
    back = [w, -x, -y, -z]
    place = turned(back, [a - b for a, b in zip(pose[:3], own[:3], strict=True)])
    axes = [turned(back, turned(pose[3:], axis)) for axis in np.eye(3).tolist()]
    return np.array(place), np.array(axes).T


def test_every_row_with_enough_neighbours_is_an_example():
    columns = table()
    scenes = DrivingScenes(frames_of(columns), text="words", **SMALL)
    rows = [2, 3, 4, 16, 17]  # of 9, 5 and 8 rows: two before and four after in their episode
    assert len(scenes) == len(rows)
    for scene, row in zip((scenes[i] for i in range(len(scenes))), rows, strict=True):
        assert set(scene) == {"images", "text", *(f"ego_{a}_{b}" for a in ("history", "future") for b in PARTS)}
        pixels = [[np.asarray(image)[0, 0].tolist() for image in camera] for camera in scene["images"]]
        assert pixels == [[[row - 1, 0, 0], [row, 0, 0]], [[row - 1, 0, 255], [row, 0, 255]]]
        assert scene["text"] == f"row {row}"
        for name, around in (("history", range(row - 2, row + 1)), ("future", range(row + 1, row + 5))):
            poses = [seen_from(columns["observation.state"][row], columns["observation.state"][i]) for i in around]
            xyz, rot = scene[f"ego_{name}_xyz"], scene[f"ego_{name}_rot"]
            assert xyz.dtype == rot.dtype == np.float32
            np.testing.assert_allclose(xyz, [place for place, _ in poses], atol=1e-3)
            np.testing.assert_allclose(rot, [axes for _, axes in poses], atol=1e-6)
    np.testing.assert_allclose(scene["ego_history_xyz"][-1], 0, atol=1e-6)
    assert scenes[-1]["text"] == "row 17"
    with pytest.raises(IndexError):
        scenes[5]


@pytest.mark.parametrize("name", ["time", "noise", "sample_weight", "advantage", "question", "camera_indices"])
def test_a_column_that_nobody_named_is_no_entry_of_a_scene(name):
    """Not even where a collator reads an entry of its name: `time` may be seconds."""
    frames = frames_of(table()).add_column(name, [row / 100 for row in range(22)])
    assert set(DrivingScenes(frames, **SMALL)[0]) == set(DrivingScenes(frames_of(table()), **SMALL)[0])


@pytest.mark.parametrize("entry", ["text", "advantage"])
def test_a_request_or_a_word_may_be_null_and_is_not_empty(entry):
    words = ["go"] * 2 + [None] + ["go"] * 19
    assert entry not in DrivingScenes(frames_of(table() | {"words": words}), **{entry: "words"}, **SMALL)[0]
    with pytest.raises(InputError, match="column 'words' has no text in row 21: '  '"):
        DrivingScenes(frames_of(table() | {"words": [*words[:21], "  "]}), **{entry: "words"}, **SMALL)


def test_cameras_come_in_the_order_asked_for_and_frames_may_reach_farther_back_than_poses():
    scenes = DrivingScenes(frames_of(table()), images=["left"], num_frames=4, num_history=3, num_future=4)
    assert len(scenes) == 3  # rows 3, 4 and 17
    [camera] = scenes[0]["images"]
    assert [np.asarray(image)[0, 0].tolist() for image in camera] == [[row, 0, 255] for row in range(4)]


def test_a_pose_may_be_joined_of_columns():
    frames, sizes = frames_of(table()), {"num_frames": 1, "num_history": 2, "num_future": 2}
    poses = np.array(frames["observation.state"])
    pieces = frames.add_column("place", poses[:, :3].tolist()).add_column("turn", poses[:, 3:].tolist())
    one, joined = DrivingScenes(frames, **sizes)[1], DrivingScenes(pieces, ["place", "turn"], **sizes)[1]
    for name in ("ego_history_xyz", "ego_future_rot"):
        assert np.array_equal(joined[name], one[name])
    with pytest.raises(InputError, match=r"place \+ observation.state.*10 numbers"):
        DrivingScenes(pieces, ["place", "observation.state"], **sizes)


def test_quaternions_of_nearly_length_one_are_rotations_all_the_same():
    columns, exact = table(), DrivingScenes(frames_of(table()), **SMALL)
    rows = np.array(columns["observation.state"])
    rows[:, 3:] *= 1 + 8e-4 * np.where(np.arange(len(rows)) % 2, 1, -1)[:, None]
    rounded = DrivingScenes(frames_of(columns | {"observation.state": rows.tolist()}), **SMALL)
    for name in ("ego_history_rot", "ego_future_rot", "ego_history_xyz", "ego_future_xyz"):
        np.testing.assert_allclose(rounded[0][name], exact[0][name], rtol=1e-6, atol=1e-5)


def test_only_what_an_example_needs_is_read():
    columns = table() | {"front": [{"bytes": b"no picture", "path": None}] * 22}
    scenes = DrivingScenes(frames_of(columns), images=["left"], **SMALL)
    assert [len(camera) for camera in scenes[0]["images"]] == [2]


def test_a_text_that_is_none_is_left_out():
    columns = table()
    columns["words"][2] = None
    scenes = DrivingScenes(frames_of(columns), reasoning="words", **SMALL)
    assert "reasoning" not in scenes[0] and scenes[1]["reasoning"] == "row 3"


def test_workers_read_it_too():
    loader = DataLoader(
        DrivingScenes(frames_of(table()), text="words", **SMALL), num_workers=2, collate_fn=lambda rows: rows[0]["text"]
    )
    assert list(loader) == ["row 2", "row 3", "row 4", "row 16", "row 17"]


def row_changed(row, value):
    def change(columns):
        columns["observation.state"][row] = value
        return columns

    return change


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (row_changed(6, [0, 0, 0, 1, 1, 0, 0]), {}, r"row 6 has length 1\.4142"),
        (row_changed(6, [0, np.nan, 0, 1, 0, 0, 0]), {}, "not finite in row 6"),
        (row_changed(6, [0, 0, 0, 1, 0, 0]), {}, "6 numbers in row 6"),
        (lambda c: c | {"observation.state": [[0.0] * 6] * 22}, {}, "has 6 numbers a row; x y z qw"),
        (lambda c: c, {"pose": "pose"}, "no columns.*'pose'"),
        (lambda c: c, {"episode": "episode"}, "'episode'"),
        (lambda c: c, {"images": ["rear"]}, "'rear'"),
        (lambda c: c, {"images": []}, "holds images"),
        (lambda c: c, {"images": ["words"]}, "'words' has no image in row 1"),
        (lambda c: c, {"text": "request"}, "'request'"),
        (lambda c: c, {"reasoning": "thoughts"}, "'thoughts'"),
        (lambda c: c, {"num_future": 7}, "2 rows before and 7 after.*longest episode has 9 rows"),
        (lambda c: {name: values[:0] for name, values in c.items()}, {}, "longest episode has 0 rows"),
        (
            lambda c: c | {"episode_index": [0] * 9 + [1] * 5 + [0] * 8},
            {},
            "episode 0 begins in row 0 and again in row 14",
        ),
    ],
)
def test_what_cannot_become_examples_is_refused(change, options, words):
    with pytest.raises(InputError, match=words):
        DrivingScenes(frames_of(change(table())), **{**SMALL, **options})[0]


# Order, gaps and the step


STEPS = {"timestamp": datasets.Value("float32"), "frame_index": datasets.Value("int64")}


def timed(step=0.1, start=0.0, noise=0.0, **changes):
    """The table with times and numbers of rows; changes: {row: seconds} that a row and all after it are late."""
    columns, lengths = table(), (9, 5, 8)
    frame = np.concatenate([np.arange(length) for length in lengths])
    time = start + step * frame + noise * np.random.RandomState(3).uniform(-1, 1, len(frame))
    for row, late in changes.items():
        time[int(row[3:]) :] += late
    features = datasets.Features({name: FEATURES.get(name) or STEPS[name] for name in [*columns, *STEPS]})
    return datasets.Dataset.from_dict(columns | {"timestamp": time, "frame_index": frame}, features)


@pytest.mark.parametrize("frames", [timed(), timed(start=100.0), timed(noise=0.004)])
def test_rows_a_tenth_of_a_second_apart_are_examples(frames):
    assert len(DrivingScenes(frames, **SMALL)) == 5


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (timed(step=1 / 30), r"'timestamp' is 0\.0000 s in row 0 and 0\.0333 s in row 1 .*every third row"),
        (timed(step=1.0), r"0\.1 s must lie between"),
        (timed(step=0.108), r"must lie between"),  # each step is nearly right, and the path is 8 % too fast
        (timed(row16=0.1), r"in row 15 and .* in row 16"),
        (timed(row16=-0.1), r"in row 15 and .* in row 16"),
        (timed(row3=float("nan")), "'timestamp' is nan in row 3"),
    ],
)
def test_another_step_than_a_tenth_of_a_second_is_refused(frames, words):
    with pytest.raises(InputError, match=words):
        DrivingScenes(frames, **SMALL)
    assert len(DrivingScenes(frames, timestamp=None, **SMALL)) == 5


@pytest.mark.parametrize("order", [[*range(5), *range(6, 22)], [0, 2, 1, *range(3, 22)]])
def test_rows_that_are_missing_or_out_of_order_are_refused(order):
    for left_out, column in (("timestamp", "frame_index"), ("frame_index", "timestamp")):
        with pytest.raises(InputError, match=f"column '{column}'"):
            DrivingScenes(timed().select(order).remove_columns(left_out), **SMALL)


def test_episodes_numbers_and_times_may_have_other_names():
    names = {"episode_index": "drive", "frame_index": "number", "timestamp": "when"}
    frames, given = timed().rename_columns(names), {"episode": "drive", "frame": "number", "timestamp": "when"}
    assert len(DrivingScenes(frames, **given, **SMALL)) == 5
    wrong = frames.select([0, 2, 1, *range(3, 22)])
    for column in ("number", "when"):
        left = {name: word if word in ("drive", column) else None for name, word in given.items()}
        with pytest.raises(InputError, match=f"column '{column}'"):
            DrivingScenes(wrong, **left, **SMALL)


def test_images_that_datasets_leaves_as_bytes_are_decoded():
    frames = frames_of(table()).cast_column("front", datasets.Image(decode=False))
    assert np.asarray(DrivingScenes(frames, **SMALL)[0]["images"][0][0])[0, 0].tolist() == [1, 0, 0]
    with pytest.raises(InputError, match="IterableDataset"):
        DrivingScenes(frames.to_iterable_dataset(), **SMALL)


def test_counts_and_transforms_are_checked():
    with pytest.raises(ConfigError, match="num_frames"):
        DrivingScenes(frames_of(table()), num_frames=0)
    with pytest.raises(InputError, match="transform"):
        DrivingScenes(frames_of(table()).with_transform(lambda batch: batch), **SMALL)


def paced(dt):
    """The config of a model whose two waypoints are `dt` seconds apart."""
    return SimpleNamespace(num_action_chunks=2, action_space_cfg={"dt": dt})


def test_a_model_of_another_pace_than_the_rows_of_a_dataset_is_refused():
    values = vlahub.DeltaTrajectoryTokenizer(predict_yaw=True)
    processor = SimpleNamespace(answer_start="", num_history_tokens=12, history_values=values)
    columns = ExampleColumns(images=["front"], state=["observation.state"])
    with pytest.raises(ConfigError, match=r"\['dt'\] is 0.2, and drives are read, .* in steps of 0.1 s"):
        AlpamayoR1Collator(paced(0.2), processor).examples_from(frames_of(table()), columns)


def test_a_training_takes_as_many_poses_as_its_model_reads_and_predicts():
    """Not as many as the release does."""
    values = vlahub.DeltaTrajectoryTokenizer(predict_yaw=True)
    processor = SimpleNamespace(answer_start="", num_history_tokens=12, history_values=values)
    collator = AlpamayoR1Collator(paced(0.1), processor)
    columns = ExampleColumns(images=["front"], state=["observation.state"])
    scenes = collator.examples_from(frames_of(table()).remove_columns("words"), columns)
    assert len(scenes) == (9 - 3 - 2) + 0 + (8 - 3 - 2)  # three rows before it for four frames
    assert len(scenes[0]["ego_history_xyz"]) == 3 and len(scenes[0]["ego_future_rot"]) == 2


def test_a_training_reads_the_request_that_is_named_and_the_texts_that_are_there_by_themselves():
    values = vlahub.DeltaTrajectoryTokenizer(predict_yaw=True)
    processor = SimpleNamespace(answer_start="", num_history_tokens=9, history_values=values)
    collator = AlpamayoR1Collator(paced(0.1), processor)
    frames = frames_of(table())
    frames = frames.add_column("nav_text", [f"turn {row}" for row in range(22)])
    given = {"images": ["front"], "state": ["observation.state"]}
    for text in ("words", None):
        scenes = collator.examples_from(frames, ExampleColumns(**given, text=text))
        assert scenes[0].get("text") == (text and "row 3") and scenes[0]["nav_text"] == "turn 3"


# ---- the tiny data set


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """Three drives, as the example writes them."""
    folder = tmp_path_factory.mktemp("drives")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        spec = importlib.util.spec_from_file_location("tiny_driving_dataset", EXAMPLES / "tiny_driving_dataset.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.write_driving_dataset(folder / "first", episodes=3, seed=1)
        module.write_driving_dataset(folder / "second", episodes=3, seed=1)
    sys.modules.pop("driving_scene", None)
    first, second = (datasets.load_from_disk(str(folder / name)) for name in ("first", "second"))
    assert first[:] == second[:]
    return first


def test_the_tiny_data_set_has_two_scenes_an_episode_which_the_action_space_can_drive(drives):
    scenes = DrivingScenes(drives, reasoning="reasoning")
    assert len(scenes) == 6 and {len(camera) for scene in scenes for camera in scene["images"]} == {4}
    space = vlahub.UnicycleAccelCurvatureActionSpace(**vlahub.AlpamayoR1Config().action_space_cfg)
    for scene in scenes:
        history, future = ([torch.from_numpy(scene[f"ego_{n}_{p}"]) for p in PARTS] for n in ("history", "future"))
        action = space.traj_to_action(*history, *future)
        xyz, _ = space.action_to_traj(action, *history)
        assert (xyz - future[0]).norm(dim=-1).max() < 0.012 and space.is_within_bounds(action)
        assert scene["reasoning"] == "follow the road"


def test_the_road_bends_where_the_car_goes(drives):
    """The road's share of the picture, left half against right half, tells the sign of the path's last y."""
    scenes = DrivingScenes(drives, images=["observation.images.far"], num_frames=1)
    for scene in scenes:
        pixels = np.asarray(scene["images"][0][0]).astype(int)
        road = np.abs(pixels - [78, 80, 84]).sum(-1)[33:45] < 6
        tilt = road[:, :32].sum() - road[:, 32:].sum()
        assert np.sign(tilt) == np.sign(scene["ego_future_xyz"][-1, 1])
