"""`vlahub data convert`: what was recorded as RLDS or HDF5 is read from the LeRobot folder as it was."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_rlds
from PIL import Image

from vlahub.conversion.cli import main
from vlahub.conversion.datasets import lerobot_writer, rlds_episodes
from vlahub.data import ActionChunks, dataset_statistics, load_frames
from vlahub.errors import InputError

STATE = "observation.state"
LENGTHS = [3, 5, 1, 4]


class StandIn:
    """`tensorflow_datasets` for datasets of `tiny_rlds`: it knows what episode each record stands for."""

    def __init__(self, episodes):
        self.known = {tiny_rlds.example(episode): episode for episode in episodes}

    def builder_from_directory(self, folder):
        splits = {}
        for info in json.loads(rlds_episodes.Path(folder, "dataset_info.json").read_text())["splits"]:
            files = sorted(rlds_episodes.Path(folder).glob(f"*-{info['name']}.tfrecord-*"))
            count = sum(map(int, info["shardLengths"]))
            splits[info["name"]] = SimpleNamespace(num_examples=count, filepaths=files)
        features = SimpleNamespace(deserialize_example_np=self.decoded)
        kind = SimpleNamespace(value="tfrecord")
        return SimpleNamespace(info=SimpleNamespace(splits=splits, features=features, file_format=kind))

    def decoded(self, record):
        return {"steps": (self.step(self.known[record], i) for i in range(len(self.known[record]["action"])))}

    def step(self, episode, i):
        step = {name: values[i] for name, values in episode.items() if "/" not in name}
        step["language_instruction"] = step["language_instruction"].encode()
        inside = {name.split("/")[1]: values[i] for name, values in episode.items() if "/" in name}
        return step | {"observation": inside}


@pytest.fixture(params=["package", "stand-in"])
def rlds(request, tmp_path, monkeypatch):
    """`rlds(lengths)`: the folder of a dataset and its episodes, read by the package or by a stand-in for it."""
    if request.param == "package":
        pytest.importorskip("tensorflow_datasets")
    known = []

    def written(lengths=LENGTHS, **drawing):
        episodes = tiny_rlds.write_rlds(tmp_path / "demo", lengths, **drawing)
        known.extend(episodes)
        if request.param == "stand-in":
            monkeypatch.setitem(sys.modules, "tensorflow_datasets", StandIn(known))
        return tmp_path / "demo", episodes

    return written


def convert(kind, source, output, *more):
    words = ["data", "convert", "--from", kind, source, "--output", output, *more]
    return main([*map(str, words)])


def check_frames(folder, episodes, images, state="observation/state", exact=True):
    """Every row against the recorded episodes: `{column: entry}` of the cameras."""
    frames, row = load_frames(folder), 0
    assert len(frames) == sum(len(episode["action"]) for episode in episodes)
    for number, episode in enumerate(episodes):
        for step in range(len(episode["action"])):
            found = frames[row]
            assert (found["episode_index"], found["frame_index"], found["index"]) == (number, step, row)
            assert (
                found["timestamp"] == pytest.approx(step / 10)
                and found["task"] == episode["language_instruction"][step]
            )
            kind = np.asarray(episode["action"]).dtype
            assert np.array_equal(np.array(found["action"], kind), episode["action"][step])
            if state:
                assert np.array_equal(np.array(found[STATE], episode[state].dtype), episode[state][step])
            for column, entry in images.items():
                seen = np.asarray(found[f"observation.images.{column}"]).astype(int)
                difference = np.abs(seen - episode[entry][step])
                assert difference.max() == 0 if exact else difference.mean() < 6
            row += 1
    return frames


def check_statistics(folder, episodes, images):
    stats = json.loads((folder / "meta/stats.json").read_text())
    columns = {
        "action": "action",
        STATE: "observation/state",
        **{f"observation.images.{k}": v for k, v in images.items()},
    }
    for column, entry in columns.items():
        if entry not in episodes[0]:
            continue
        values = np.concatenate([episode[entry] for episode in episodes]).astype(float)
        values = values.reshape(-1, 3) / 255 if "images" in column else values
        for name in ("min", "max", "mean", "std"):
            found = np.array(stats[column][name])
            assert found.shape == ((3, 1, 1) if "images" in column else (values.shape[1],))
            np.testing.assert_allclose(found.ravel(), getattr(values, name)(axis=0), rtol=1e-6, atol=1e-9)
    assert stats["action"]["count"] == [sum(len(episode["action"]) for episode in episodes)]


def test_rlds_episodes_come_back_bit_by_bit(rlds, tmp_path, capsys):
    source, episodes = rlds()
    assert convert("rlds", source, tmp_path / "out", "--robot-type", "widowx") == 0
    views = {"image": "observation/image", "wrist_image": "observation/wrist_image"}
    frames = check_frames(tmp_path / "out", episodes, views)
    check_statistics(tmp_path / "out", episodes, views)
    assert len(ActionChunks(frames, 3, state=STATE)) == 13
    assert dataset_statistics(frames, progress=False)["num_trajectories"] == 4
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["robot_type"]) == ("v3.0", 10, "widowx")
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, 13, 3)
    said = capsys.readouterr()
    assert "4 episodes, 13 frames, 3 instructions" in said.out and "10 are assumed (--fps)" in said.err
    assert convert("rlds", source, tmp_path / "out") == 1 and "not empty" in capsys.readouterr().err
    some = ["--images", "observation/wrist_image", "--action", "action", "reward", "--state", "discount", "--quiet"]
    some += ["--instruction", "go", "--max-episodes", "2"]
    assert convert("rlds", source / "1.0.0", tmp_path / "assumed", *some) == 0
    assert "10 are assumed (--fps)" in capsys.readouterr().err
    assert convert("rlds", source / "1.0.0", tmp_path / "some", *some, "--fps", "5") == 0
    assert capsys.readouterr().err == ""
    frames = load_frames(tmp_path / "some")
    assert len(frames) == len(episodes[0]["action"]) + len(episodes[1]["action"]) and set(frames["task"]) == {"go"}
    wanted = np.concatenate([episodes[0]["action"], episodes[0]["reward"][:, None]], axis=1)
    assert np.array_equal(np.array(frames["action"][: len(wanted)], np.float32), wanted)
    assert len(frames[0][STATE]) == 1 and "observation.images.image" not in frames.column_names
    assert frames[1]["timestamp"] == pytest.approx(0.2) and capsys.readouterr().out == ""


def test_a_split_is_read_by_its_name(rlds, tmp_path):
    source, _ = rlds([2, 3])
    _, episodes = rlds([4, 1, 2], split="val")
    views = {"image": "observation/image", "wrist_image": "observation/wrist_image"}
    assert convert("rlds", source, tmp_path / "out", "--split", "val", "--quiet") == 0
    check_frames(tmp_path / "out", episodes, views)


def test_colours_that_were_recorded_the_other_way_round_are_swapped(rlds, tmp_path):
    source, episodes = rlds([2, 1])
    assert convert("rlds", source, tmp_path / "out", "--swap-colours", "--quiet") == 0
    for episode in episodes:
        episode["observation/image"] = episode["observation/image"][..., ::-1]
    check_frames(tmp_path / "out", episodes, {"image": "observation/image"})


def test_a_file_of_records_that_ends_anywhere_but_behind_one_is_cut_off(tmp_path):
    with open(path := tmp_path / "file.tfrecord", "wb") as file:
        for record in (b"first", b""):
            tiny_rlds.write_record(file, record)
    content, first = path.read_bytes(), len(b"first") + 16
    assert list(rlds_episodes.records(path)) == [b"first", b""]
    for size in range(len(content)):
        path.write_bytes(content[:size])
        if size in (0, first):
            assert list(rlds_episodes.records(path)) == [b"first"][: size // first]
        else:
            with pytest.raises(InputError, match="is cut off"):
                list(rlds_episodes.records(path))


@pytest.mark.parametrize(("change", "found"), [("cut", 1), ("twice", 5)])
def test_as_many_episodes_are_converted_as_the_dataset_says(rlds, change, found, tmp_path, capsys):
    """A file that ends behind a record, or has records of another copy behind its own."""
    source, _ = rlds([2, 3, 2], smooth=True)
    last = sorted(source.glob("1.0.0/*tfrecord*"))[0]
    last.write_bytes(b"" if change == "cut" else last.read_bytes() * 2)
    assert convert("rlds", source, tmp_path / "out", "--quiet") == 1
    assert f"the files of train hold {found} episodes, dataset_info.json says 3" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert convert("rlds", source, tmp_path / "one", "--quiet", "--max-episodes", "1") == 0


def test_videos_hold_the_frames_of_their_episodes(rlds, tmp_path):
    source, episodes = rlds(smooth=True)
    assert convert("rlds", source, tmp_path / "out", "--videos", "--quiet") == 0
    views = {"image": "observation/image", "wrist_image": "observation/wrist_image"}
    check_frames(tmp_path / "out", episodes, views, exact=False)
    check_statistics(tmp_path / "out", episodes, views)
    assert "observation.images.image" not in pq.read_schema(tmp_path / "out/data/chunk-000/file-000.parquet").names


def test_data_files_are_ended_when_they_are_large_enough(rlds, tmp_path, monkeypatch):
    source, episodes = rlds()
    monkeypatch.setattr(lerobot_writer, "DATA_BYTES", 1)
    assert convert("rlds", source, tmp_path / "out", "--quiet") == 0
    assert len(list((tmp_path / "out/data").rglob("*.parquet"))) == 4
    check_frames(tmp_path / "out", episodes, {"image": "observation/image"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "observation/front"], "--images: there is no 'observation/front'; there are action, discount"),
        (["--action", "actions"], "--action: there is no 'actions'"),
        (["--text", "words"], "--text: there is no 'words'"),
        (["--text", "reward"], "'reward' holds no text"),
        (["--state", "observation/image", "language_instruction"], "numbers of each step are needed"),
        (["--split", "test"], "no split 'test'; there are train"),
        (["--max-episodes", "0"], "--max-episodes 0"),
    ],
)
def test_entries_that_are_not_there_are_named_and_nothing_is_left(rlds, options, message, tmp_path, capsys):
    source, _ = rlds([2, 2])
    assert convert("rlds", source, tmp_path / "out", *options) == 1
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo"]


def test_broken_files_and_numbers_are_named(rlds, tmp_path, capsys):
    source, _ = rlds([2, 2, 2])
    file = next((source / "1.0.0").glob("*00001-of-00002"))
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    assert convert("rlds", source, tmp_path / "out") == 1
    assert "is cut off" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert convert("rlds", source, source / "out") == 1 or not (source / "out").exists()
    file.write_bytes(content)
    (tmp_path / "empty").mkdir()
    assert convert("rlds", tmp_path / "empty", tmp_path / "out") == 1
    assert "no dataset of tensorflow-datasets" in capsys.readouterr().err
    assert convert("rlds", tmp_path / "missing", tmp_path / "out") == 1 and "does not exist" in capsys.readouterr().err
    (source / "2.0.0").mkdir()
    (source / "2.0.0/features.json").write_text("{}")
    assert convert("rlds", source, tmp_path / "out") == 1 and "1.0.0, 2.0.0" in capsys.readouterr().err


def test_without_the_packages_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    for kind, package in (("rlds", "tensorflow_datasets"), ("hdf5", "h5py")):
        monkeypatch.setitem(sys.modules, package, None)
        assert convert(kind, tmp_path, tmp_path / "out") == 1
        assert f"pip install 'vlahub[{kind}]'" in capsys.readouterr().err


# HDF5


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


def aloha_episode(number, steps, dtype=np.float64):
    random = np.random.RandomState(number)
    return {
        "action": random.standard_normal((steps, 14)).astype(dtype),
        "state": random.standard_normal((steps, 14)).astype(dtype),
        "high": random.randint(0, 256, (steps, 24, 32, 3), np.uint8),
        "wrist": random.randint(0, 256, (steps, 24, 32, 3), np.uint8),
        "language_instruction": ["fold it"] * steps,
    }


def jpeg(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=95)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def write_aloha(h5py, file, episode, compressed=False):
    with h5py.File(file, "w") as opened:
        opened.attrs["sim"], opened.attrs["compress"] = True, compressed
        opened["action"], opened["observations/qpos"] = episode["action"], episode["state"]
        opened["observations/qvel"] = episode["state"] * 2
        for camera in ("high", "wrist"):
            pictures = episode[camera]
            if compressed:
                rows = [jpeg(picture) for picture in pictures]
                longest = max(map(len, rows))
                pictures = np.stack([np.pad(row, (0, longest - len(row))) for row in rows])
                episode[camera] = np.stack([np.asarray(Image.open(io.BytesIO(row.tobytes()))) for row in rows])
            opened[f"observations/images/cam_{camera}"] = pictures


@pytest.mark.newest
@pytest.mark.parametrize("compressed", [False, True])
def test_aloha_episodes_come_back_in_the_order_of_their_numbers(h5py, compressed, tmp_path):
    (tmp_path / "raw").mkdir()
    episodes = [aloha_episode(number, steps) for number, steps in enumerate([3, 2, 4])]
    for number, episode in zip((0, 2, 10), episodes, strict=True):
        write_aloha(h5py, tmp_path / f"raw/episode_{number}.hdf5", episode, compressed)
    assert convert("hdf5", tmp_path / "raw", tmp_path / "out", "--quiet", "--instruction", "fold it") == 0
    views = {"cam_high": "high", "cam_wrist": "wrist"}
    frames = check_frames(tmp_path / "out", episodes, views, state="state")
    check_statistics(tmp_path / "out", episodes, views)
    assert frames.features["action"].feature.dtype == "float64"
    swapped = ["--swap-colours", "--images", "observations/images/cam_wrist", "--state", "observations/qvel"]
    assert (
        convert("hdf5", tmp_path / "raw/episode_2.hdf5", tmp_path / "one", "--quiet", "--instruction", "go", *swapped)
        == 0
    )
    [first, _] = load_frames(tmp_path / "one")
    assert np.array_equal(np.asarray(first["observation.images.cam_wrist"]), episodes[1]["wrist"][0][..., ::-1])
    assert np.array_equal(first[STATE], episodes[1]["state"][0] * 2)


def test_libero_demonstrations_bring_their_instruction_and_rate(h5py, tmp_path, capsys):
    episodes = [aloha_episode(number, 3, np.float32) for number in range(11)]
    with h5py.File(tmp_path / "task_demo.hdf5", "w") as opened:
        opened.create_group("data").attrs["problem_info"] = json.dumps({"language_instruction": "fold it"})
        opened["data"].attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 10}})
        for number, episode in enumerate(episodes):
            demo = opened.create_group(f"data/demo_{number}")
            demo["actions"], demo["obs/ee_states"] = episode["action"], episode["state"][:, :6]
            demo["obs/gripper_states"] = episode["state"][:, 6:]
            demo["obs/agentview_rgb"], demo["obs/eye_in_hand_rgb"] = episode["high"], episode["wrist"]
            demo["rewards"] = np.zeros(3, np.uint8)
    assert convert("hdf5", tmp_path / "task_demo.hdf5", tmp_path / "out", "--quiet") == 0
    assert "assumed" not in capsys.readouterr().err
    check_frames(tmp_path / "out", episodes, {"agentview_rgb": "high", "eye_in_hand_rgb": "wrist"}, state="state")


def write_rated(h5py, file, rate):
    with h5py.File(file, "w") as opened:
        episode = aloha_episode(0, 3, np.float32)
        opened.create_group("data").attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": rate}})
        demo = opened.create_group("data/demo_0")
        demo["actions"], demo["obs/ee_states"] = episode["action"], episode["state"][:, :6]
        demo["obs/gripper_states"], demo["obs/agentview_rgb"] = episode["state"][:, 6:], episode["high"]


def test_files_of_a_folder_have_one_rate_and_any_case_of_ending(h5py, tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    for number, (rate, ending) in enumerate([(20, "hdf5"), (None, "HDF5"), (20, "H5")]):
        write_rated(h5py, tmp_path / f"raw/{number}.{ending}", rate)
    more = ["--quiet", "--instruction", "go"]
    assert convert("hdf5", tmp_path / "raw", tmp_path / "out", *more) == 0
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert (info["fps"], info["total_episodes"]) == (20, 3)
    write_rated(h5py, tmp_path / "raw/3.h5", 10)
    assert convert("hdf5", tmp_path / "raw", tmp_path / "other", *more) == 1
    assert "different numbers of frames in a second (2.H5 20, 3.h5 10)" in capsys.readouterr().err
    assert convert("hdf5", tmp_path / "raw", tmp_path / "other", *more, "--fps", "20") == 0


DAMAGED = ["", "{", "[1]", "{}", "7", '{"env_kwargs": 3}', "[" * 50_000, np.bytes_(b"\xff"), 7, np.zeros(2)]


def test_depth_is_no_camera_and_an_episodes_own_instruction_counts(h5py, tmp_path):
    """Depth that is stored as pictures, and words for the file, the group and one demonstration."""
    pictures = np.random.RandomState(0).randint(0, 256, (2, 2, 24, 32, 3), np.uint8)
    with h5py.File(tmp_path / "demo.hdf5", "w") as opened:
        for number in (0, 1):
            demo = opened.create_group(f"data/demo_{number}")
            demo["actions"] = np.ones((2, 7))
            for name in ("agentview_rgb", "agentview_depth_rgb"):
                demo[f"obs/{name}"] = pictures[number]
        opened.attrs["task"] = "tidy up"
        opened["data"].attrs["task"] = "put the cup away"
        opened["data/demo_1"].attrs["task"] = "lift the bowl"
    assert convert("hdf5", tmp_path / "demo.hdf5", tmp_path / "out", "--quiet") == 0
    frames = load_frames(tmp_path / "out")
    assert [name for name in frames.column_names if "images" in name] == ["observation.images.agentview_rgb"]
    assert frames["task"] == ["put the cup away"] * 2 + ["lift the bowl"] * 2


@pytest.mark.parametrize("value", DAMAGED, ids=range(len(DAMAGED)))
def test_attributes_of_hdf5_files_that_describe_nothing_are_as_none(h5py, value, tmp_path, capsys):
    episode = aloha_episode(0, 3, np.float32)
    with h5py.File(tmp_path / "demo.hdf5", "w") as opened:
        attributes = opened.create_group("data").attrs
        attributes["problem_info"] = attributes["env_args"] = value
        demo = opened.create_group("data/demo_0")
        demo["actions"], demo["obs/ee_states"] = episode["action"], episode["state"][:, :6]
        demo["obs/gripper_states"], demo["obs/agentview_rgb"] = episode["state"][:, 6:], episode["high"]
    assert convert("hdf5", tmp_path / "demo.hdf5", tmp_path / "out", "--quiet") == 1
    assert "has no instruction: give one with --instruction" in capsys.readouterr().err
    given = ["--instruction", "fold it"]
    assert convert("hdf5", tmp_path / "demo.hdf5", tmp_path / "out", "--quiet", *given) == 0
    check_frames(tmp_path / "out", [episode], {"agentview_rgb": "high"}, state="state")


def test_an_instruction_that_is_no_text_is_named(h5py, tmp_path, capsys):
    with h5py.File(tmp_path / "demo.hdf5", "w") as opened:
        opened["data/demo_0/actions"] = np.zeros((3, 7), np.float32)
        opened["data/demo_0/obs/agentview_rgb"] = np.zeros((3, 8, 8, 3), np.uint8)
        opened["data/demo_0/obs/ee_states"] = np.zeros((3, 6), np.float32)
        opened["data/demo_0/obs/gripper_states"] = np.zeros((3, 1), np.float32)
        opened["data"].attrs["language_instruction"] = np.bytes_(b"\xff\xfe")
    assert convert("hdf5", tmp_path / "demo.hdf5", tmp_path / "out", "--quiet") == 1
    assert "'language_instruction' holds no text in UTF-8" in capsys.readouterr().err


def test_hdf5_files_that_do_not_fit_are_named(h5py, tmp_path, capsys):
    def refused(message, *more):
        assert convert("hdf5", tmp_path / "raw", tmp_path / "out", "--quiet", *more) == 1
        assert message in capsys.readouterr().err and not (tmp_path / "out").exists()

    (tmp_path / "raw").mkdir()
    refused("holds no files that end with .hdf5")
    episode = aloha_episode(0, 3)
    write_aloha(h5py, tmp_path / "raw/episode_0.hdf5", episode)
    refused("has no instruction")
    refused("HDF5 files have no splits", "--split", "train")
    go = ["--instruction", "go"]
    refused("there is no 'observations/effort'", *go, "--state", "observations/effort")
    write_aloha(h5py, tmp_path / "raw/episode_1.hdf5", {**episode, "action": episode["action"][:, :7]})
    refused("episode_1.hdf5: action is ('float64', 7), in the first episode ('float64', 14)", *go)
    write_aloha(h5py, tmp_path / "raw/episode_1.hdf5", {**episode, "high": episode["high"][:2]})
    refused("parts of different or no length", *go)
    episode["action"][1, 5] = np.nan
    write_aloha(h5py, tmp_path / "raw/episode_1.hdf5", episode)
    refused("episode_1.hdf5: 'action' is not finite in step 1", *go)
    (tmp_path / "raw/episode_1.hdf5").write_bytes(b"no HDF5")
    refused("cannot be read as HDF5", *go)
    with h5py.File(tmp_path / "raw/episode_1.hdf5", "w") as opened:
        opened["poses"] = np.zeros(3)
    refused("neither /action (ALOHA) nor /data/demo_0", *go)
