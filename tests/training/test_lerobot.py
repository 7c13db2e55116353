"""Datasets as frames: both LeRobot layouts, images in parquet and in videos, and what is refused.

The datasets of most tests are written here by hand, with pyarrow and without the metadata of `datasets`: in every
picture the brightness tells its row. The tiny data set of the examples is read against the numbers it was drawn from.
"""

import contextlib
import importlib.util
import io
import itertools
import json
import sys
import types
import wave
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from vlahub.configuration.vla_errors import InputError
from vlahub.conversion.cli import main
from vlahub.training import video_frames
from vlahub.training.action_chunks import ActionChunks
from vlahub.training.lerobot import camera_columns, load_frames
from vlahub.training.lerobot_layout import read_layout
from vlahub.training.lerobot_paths import filled_template
from vlahub.training.video_checks import check_file_rate, check_times, rounding, same_rate
from vlahub.training.video_frames import VideoFrame, frame_rate, image_columns, nearest_frame, read_frame

EXAMPLES = Path(__file__).parents[2] / "examples"
LENGTHS, FPS = (5, 7, 3, 4), 10
GROUPS = {"v2.0": ((0,), (1,), (2,), (3,)), "v2.1": ((0,), (1,), (2,), (3,)), "v3.0": ((0, 1, 2), (3,))}
TASKS = ("pick up the red block", "push it to the left")
CAMERA, OTHER = "observation.images.top", "observation.images.side"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def brightness(row):
    return 12 + 8 * row


def picture(row, channel=slice(None)):
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[..., channel] = brightness(row)
    return pixels


def write_video(path, pictures, codec="libx264", fps=FPS, **options):
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"g": "2", **options})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def columns_of(episodes, kind):
    """Rows of these episodes as LeRobot's columns: the action is (row, frame)."""
    first = np.cumsum((0, *LENGTHS))
    rows = [(e, f, int(first[e]) + f) for e in episodes for f in range(LENGTHS[e])]
    columns = {
        "action": pa.array([[row, f] for _, f, row in rows], pa.list_(pa.float32(), 2)),
        "timestamp": pa.array([f / FPS for _, f, _ in rows], pa.float32()),
        "frame_index": pa.array([f for _, f, _ in rows]),
        "episode_index": pa.array([e for e, _, _ in rows]),
        "index": pa.array([row for _, _, row in rows]),
        "task_index": pa.array([e % 2 for e, _, _ in rows]),
    }
    if kind == "image":
        columns[CAMERA] = pa.array([png(picture(row)) for _, _, row in rows])
    return pa.table(columns)


def write_lerobot(folder, version="v3.0", kind="image", **info):
    """A dataset of four episodes by hand; `info` replaces entries of info.json (None leaves one out)."""
    old = version != "v3.0"
    group_name = "{episode_index:04d}" if old else "{chunk_index:02d}-{file_index:02d}"
    rows = []
    for number, episodes in enumerate(GROUPS[version]):
        name = f"{number:04d}" if old else f"00-{number:02d}"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        table = columns_of(episodes, kind)
        pq.write_table(table, folder / f"data/{name}.parquet")
        if kind == "video":
            numbers = table["index"].to_pylist()
            write_video(folder / f"videos/{CAMERA}/{name}.mp4", [picture(row) for row in numbers])
            write_video(folder / f"videos/{OTHER}/{name}.mp4", [picture(row, 2) for row in numbers])
        starts = np.cumsum([0, *(LENGTHS[e] for e in episodes)]) / FPS
        for start, e in zip(starts.tolist(), episodes, strict=False):
            row = {"episode_index": e, "length": LENGTHS[e], "tasks": [TASKS[e % 2]], "stats/action/max": [[1.0, 2.0]]}
            place = {"chunk_index": 0, "file_index": number}
            parts = ["data", f"videos/{CAMERA}", f"videos/{OTHER}"]
            row |= {f"{part}/{key}": value for part in parts for key, value in place.items()}
            rows.append(row | {f"videos/{camera}/from_timestamp": start for camera in (CAMERA, OTHER)})
    write_meta(folder / "meta", rows, old)
    features = {CAMERA: {"dtype": kind}} | ({OTHER: {"dtype": kind}} if kind == "video" else {})
    content = {
        "codebase_version": version,
        "fps": FPS,
        "chunks_size": 1000,
        "total_frames": sum(LENGTHS),
        "data_path": f"data/{group_name}.parquet",
        "video_path": "videos/{video_key}/" + f"{group_name}.mp4",
        "features": features | {"action": {"dtype": "float32"}},
    } | info
    text = json.dumps({name: value for name, value in content.items() if value is not None})
    (folder / "meta/info.json").write_text(text)
    return folder


def write_meta(meta, rows, old):
    meta.mkdir()
    if old:
        keep = ("episode_index", "length", "tasks")
        lines = [json.dumps({name: row[name] for name in keep}) for row in rows]
        (meta / "episodes.jsonl").write_text("\n".join(lines) + "\n")
        tasks = [json.dumps({"task_index": i, "task": task}) for i, task in enumerate(TASKS)]
        (meta / "tasks.jsonl").write_text("\n".join(tasks))
    else:
        (meta / "episodes/chunk-000").mkdir(parents=True)
        for i, part in enumerate((rows[:3], rows[3:])):
            pq.write_table(pa.Table.from_pylist(part), meta / f"episodes/chunk-000/file-{i:03d}.parquet")
        tasks = pa.table({"task_index": [1, 0], "__index_level_0__": TASKS[::-1]})
        pq.write_table(tasks, meta / "tasks.parquet")


def rewrite(file, change):
    """Replace a parquet file by `change(table)`."""
    table = change(pq.read_table(file))
    file.unlink()
    pq.write_table(table, file)


EXPECTED = [(e, f) for e, length in enumerate(LENGTHS) for f in range(length)]


def check_frames(frames):
    """Every row has its own numbers, instruction and picture."""
    assert len(frames) == len(EXPECTED)
    for row, (episode, frame) in enumerate(EXPECTED):
        found = frames[row]
        assert (found["episode_index"], found["frame_index"], found["action"]) == (episode, frame, [row, frame])
        assert found["task"] == TASKS[episode % 2]
        pixels = np.asarray(found[CAMERA])
        assert pixels.shape == (32, 48, 3) and pixels.dtype == np.uint8
        assert np.abs(pixels - float(brightness(row))).max() < 4


# What is read


def test_a_chunk_of_the_older_layout_holds_as_many_episodes_as_info_json_says(tmp_path):
    path = "data/chunk-{episode_chunk:03d}/{episode_index:04d}.parquet"
    folder = write_lerobot(tmp_path / "data", "v2.1", data_path=path, chunks_size=3)
    for file in sorted(folder.glob("data/*.parquet")):
        chunk = folder / f"data/chunk-{int(file.stem) // 3:03d}"
        chunk.mkdir(exist_ok=True)
        file.rename(chunk / file.name)
    assert len(list(folder.glob("data/chunk-*"))) == 2
    check_frames(load_frames(folder))


@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("version", GROUPS)
def test_every_row_has_its_numbers_its_instruction_and_its_picture(version, kind, tmp_path):
    frames = load_frames(write_lerobot(tmp_path / "data", version, kind))
    check_frames(frames)
    assert frames.column_names[0] == CAMERA
    assert image_columns(frames) == ([CAMERA, OTHER] if kind == "video" else [CAMERA])
    if kind == "video":
        side = frames[9][OTHER].astype(float)
        assert np.abs(side[..., 2] - brightness(9)).max() < 12 and side[..., :2].max() < 12
    else:
        assert isinstance(frames[0][CAMERA], Image.Image)


@pytest.mark.parametrize(("version", "kind"), [("v2.1", "image"), ("v3.0", "video")])
def test_rows_in_any_order_come_in_the_order_of_episode_and_frame(version, kind, tmp_path):
    folder = write_lerobot(tmp_path / "data", version, kind)
    for file in (folder / "data").iterdir():
        rewrite(file, lambda table: table.take(np.random.RandomState(1).permutation(len(table))))
    check_frames(load_frames(str(folder)))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_episodes_in_any_order_of_the_meta_files_have_their_own_videos(version, tmp_path):
    folder = write_lerobot(tmp_path / "data", version, "video")
    if version == "v2.1":
        file = folder / "meta/episodes.jsonl"
        file.write_text("\n".join(reversed(file.read_text().splitlines())))
    else:
        first, second = sorted((folder / "meta/episodes/chunk-000").iterdir())
        rewrite(first, lambda table: table.take(list(range(len(table)))[::-1]))
        second.rename(first.with_name("file-000-before.parquet"))
    check_frames(load_frames(folder))


def test_frames_are_decoded_only_where_they_are_read(tmp_path, monkeypatch):
    frames = load_frames(write_lerobot(tmp_path / "data", kind="video"))
    monkeypatch.setattr(video_frames, "read_frame", lambda *arguments: pytest.fail("decoded"))
    assert frames.select_columns(["action"])[3] == {"action": [3, 3]}
    numbers = frames.select_columns(["action"]).with_format("numpy")[:]["action"]
    np.testing.assert_array_equal(numbers, [[row, f] for row, (_, f) in enumerate(EXPECTED)])


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_video_frames_are_there_in_every_format_and_after_saving(name, tmp_path):
    frames = load_frames(write_lerobot(tmp_path / "data", kind="video"))
    found = np.asarray(frames.with_format(name)[8][CAMERA])
    np.testing.assert_array_equal(found, frames[8][CAMERA])
    both = datasets.concatenate_datasets([frames.select(range(8, 10)), frames.filter(lambda row: row["index"] == 3)])
    both.save_to_disk(tmp_path / "saved")
    again = load_frames(tmp_path / "saved")
    assert again.features[CAMERA] == VideoFrame(1e-4)
    np.testing.assert_array_equal(again[0][CAMERA], found)
    np.testing.assert_array_equal(again[2][CAMERA], frames[3][CAMERA])


def test_workers_decode_what_this_process_decodes(tmp_path):
    frames = load_frames(write_lerobot(tmp_path / "data", kind="video"))
    chunks = ActionChunks(frames, 2)
    wanted = [chunks[i]["images"][0] for i in range(len(chunks))]
    found = list(DataLoader(chunks, batch_size=None, num_workers=2))
    for here, there in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(there["images"][0], here)


def test_a_file_that_changed_is_read_again(tmp_path):
    folder = write_lerobot(tmp_path / "data", "v2.1")
    assert load_frames(folder)[0]["action"] == [0, 0]
    column = pa.array([[9.0, 9.0]] * LENGTHS[0], pa.list_(pa.float32(), 2))
    rewrite(folder / "data/0000.parquet", lambda table: table.set_column(0, "action", column))
    assert load_frames(folder)[0]["action"] == [9, 9]


def test_videos_of_a_relative_folder_are_found_from_anywhere(tmp_path, monkeypatch):
    write_lerobot(tmp_path / "data", "v2.1", "video")
    monkeypatch.chdir(tmp_path)
    frames = load_frames("data")
    monkeypatch.chdir("/")
    check_frames(frames)


def test_a_folder_whose_name_is_a_pattern_is_that_folder(tmp_path):
    write_lerobot(tmp_path / "runs-1")
    check_frames(load_frames(write_lerobot(tmp_path / "runs-[12]*")))


# Videos


CODECS = [
    ("libx264", {"g": "12", "bf": "3"}),
    ("libx264", {"g": "12", "bf": "8", "x264-params": "open-gop=1"}),
    ("mpeg4", {"g": "12", "bf": "2"}),
]


@pytest.mark.parametrize(("codec", "options"), CODECS)
def test_any_frame_is_the_one_of_decoding_from_the_start(codec, options, tmp_path):
    av = pytest.importorskip("av")
    texture = np.random.RandomState(0).randint(0, 255, (20, 20, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
    write_video(tmp_path / "a.mp4", [texture[i : i + 32, :48] for i in range(60)], codec, **options)
    with av.open(str(tmp_path / "a.mp4")) as container:
        wanted = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert len(wanted) == 60
    for i in np.random.RandomState(0).permutation(60):
        time, pixels = wanted[i]
        for off in (-0.04, 0, 0.04):
            np.testing.assert_array_equal(read_frame(tmp_path / "a.mp4", time + off, 0.05), pixels)


class Counting:
    """An open container that counts the frames it decodes."""

    def __init__(self, container):
        self.container, self.streams, self.seek, self.count = container, container.streams, container.seek, 0

    def decode(self, stream):
        for frame in self.container.decode(stream):
            self.count += 1
            yield frame


def test_decoding_begins_at_the_key_frame_before(tmp_path):
    av = pytest.importorskip("av")
    write_video(tmp_path / "a.mp4", [picture(i % 30) for i in range(200)], g="10", bf="0", sc_threshold="0")
    with av.open(str(tmp_path / "a.mp4")) as container:
        counting = Counting(container)
        assert nearest_frame(counting, 18.7).time == pytest.approx(18.7)
    assert counting.count == 8  # 18.0, 18.1, ..., 18.7


def shifted_times(folder, shift, file="00-01", rows=4):
    """The last episode's rows get times that miss their frames."""
    times = pa.array((np.arange(rows) / FPS + shift).astype(np.float32))
    rewrite(folder / f"data/{file}.parquet", lambda table: table.set_column(1, "timestamp", times))
    return folder


@pytest.mark.parametrize("shift", [0.06, 0.04, 0.001, -0.002])
def test_no_frame_near_enough_is_refused_with_file_and_both_times(shift, tmp_path):
    frames = load_frames(shifted_times(write_lerobot(tmp_path / "data", kind="video"), shift))
    with pytest.raises(InputError, match=rf"00-01\.mp4 has no frame within 0\.0001 s of {0.1 + shift:.4f} s.*nearest"):
        frames[16][CAMERA]


def test_the_tolerance_is_an_option(tmp_path):
    folder = shifted_times(write_lerobot(tmp_path / "data", kind="video"), 0.02)
    assert abs(load_frames(folder, tolerance=0.03)[16][CAMERA].mean() - brightness(16)) < 4


def test_times_of_hours_are_only_as_exact_as_float32(tmp_path):
    """Float32 holds 5000.1 s to 0.0005 s: as LeRobot writes them, such rows are right."""
    frames = load_frames(shifted_times(write_lerobot(tmp_path / "data", kind="video"), 0.0))
    assert frames.features[CAMERA].tolerance == 1e-4
    times = (5000 + np.arange(4) / FPS).astype(np.float32).astype(np.float64)
    assert 1e-4 < np.abs(times - 5000 - np.arange(4) / FPS).max() <= rounding(times)
    columns = camera_columns(np.full(4, 2), times, read_layout(tmp_path / "data"), tolerance=1e-4)
    assert columns.features[CAMERA].tolerance == rounding(times)
    assert np.abs(np.diff(times) - 1 / FPS).max() > 2e-4
    check_times(read_layout(tmp_path / "data"), np.full(4, 2), times, tolerance=1e-4)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_rows_that_are_not_one_frame_apart_are_refused_on_load(version, tmp_path):
    folder = write_lerobot(tmp_path / "data", version, "video")
    file = sorted((folder / "data").iterdir())[-1]
    times = pa.array(np.array([0, 0.1, 0.25, 0.35], np.float32))
    rewrite(file, lambda table: table.set_column(1, "timestamp", times))
    with pytest.raises(InputError, match=r"episode 3 the timestamp goes from 0\.1000 s to 0\.2500 s.*fps=10"):
        load_frames(folder)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_video_of_another_rate_is_refused_on_load(version, tmp_path):
    folder = write_lerobot(tmp_path / "data", version, "video")
    file = sorted((folder / f"videos/{OTHER}").iterdir())[-1]
    write_video(file, [picture(row) for row in range(15, 19)], fps=12)
    with pytest.raises(InputError, match=rf"{file.name} has 12 frames in a second, the dataset 10"):
        load_frames(folder)


@pytest.mark.parametrize(("rate", "fps"), [(30000 / 1001, 30), (24000 / 1001, 24), (29.9, 30), (30, 30000 / 1001)])
def test_rates_at_which_a_row_would_come_to_show_its_neighbour_are_not_the_same(rate, fps):
    assert not same_rate(rate, fps) and same_rate(rate, rate) and same_rate(round(rate, 2), rate)


@pytest.mark.parametrize("key", ["info", "video_info"])
def test_a_rate_in_info_json_that_is_not_the_datasets_is_refused(key, tmp_path):
    features = {CAMERA: {"dtype": "video", key: {"video.fps": 30.0}}}
    with pytest.raises(InputError, match=r"top have 30 frames in a second by info\.json, the rows 10"):
        load_frames(write_lerobot(tmp_path / "data", kind="video", features=features))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("from_timestamp", 0.4, "part of episode 1 .* begins at 0.4000 s, before that of episode 0 ends"),
        ("to_timestamp", 0.7, "part of episode 1 .* which are 2.0 frames; the episode has 7 rows"),
        ("to_timestamp", 1.1, "part of episode 1 .* which are 6.0 frames; the episode has 7 rows"),
    ],
)
@pytest.mark.parametrize("camera", [CAMERA, OTHER])
def test_parts_of_videos_that_do_not_fit_their_episodes_are_refused(camera, column, value, message, tmp_path):
    folder = write_lerobot(tmp_path / "data", kind="video")
    file = folder / "meta/episodes/chunk-000/file-000.parquet"

    def change(table):
        values = [0.5, 1.2, 1.5] if column == "to_timestamp" else [0.0, 0.5, 1.2]
        values[1] = value
        name = f"videos/{camera}/{column}"
        return table.drop_columns([name] if name in table.column_names else []).append_column(name, pa.array(values))

    rewrite(file, change)
    with pytest.raises(InputError, match=message):
        load_frames(folder)


def test_parts_of_a_video_may_lie_in_another_order_than_their_episodes(tmp_path):
    folder = write_lerobot(tmp_path / "data", kind="video")
    name, starts = f"videos/{CAMERA}/from_timestamp", pa.array([0.7, 0.0, 1.2])
    file = folder / "meta/episodes/chunk-000/file-000.parquet"
    rewrite(file, lambda table: table.drop_columns([name]).append_column(name, starts))
    assert load_frames(folder).num_rows == sum(LENGTHS)


def test_a_video_without_pictures_is_none_and_one_without_a_rate_is_not_of_another(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 80, "NONE", ""))
        sound.writeframes(bytes(160))
    for read in (frame_rate, lambda path: read_frame(path, 0.0, 0.1)):
        with pytest.raises(InputError, match=r"a\.wav cannot be read as a video"):
            read(tmp_path / "a.wav")
    silent = types.SimpleNamespace(streams=types.SimpleNamespace(video=[types.SimpleNamespace(average_rate=None)]))
    monkeypatch.setattr(av, "open", lambda path: contextlib.nullcontext(silent))
    assert frame_rate(tmp_path / "b.mp4") is None
    check_file_rate(tmp_path / "b.mp4", 10)


def test_what_is_no_video_is_refused(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read as a video"):
        read_frame(tmp_path / "a.mp4", 0.0, 0.1)
    with pytest.raises(InputError, match=r"b\.mp4 cannot be read as a video"):
        read_frame(tmp_path / "b.mp4", 0.0, 0.1)


def test_without_pyav_numbers_are_read_and_pictures_name_the_extra(tmp_path, monkeypatch):
    folder = write_lerobot(tmp_path / "data", kind="video")
    monkeypatch.setitem(sys.modules, "av", None)
    frames = load_frames(folder)
    assert frames.select_columns("action")[2]["action"] == [2, 2]
    with pytest.raises(InputError, match=r"pip install 'vlahub\[video\]'"):
        frames[2]


# What is refused


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"codebase_version": "v1.6"}, r"version 'v1.6'; readable are v2.0, v2.1, v3.0"),
        ({"codebase_version": None}, "info.json has no 'codebase_version'"),
        ({"fps": None}, "info.json has no 'fps'"),
        ({"total_frames": 20}, "has 19 rows, but meta/info.json says total_frames=20"),
        ({"data_path": "data/{chunk}.parquet"}, "data_path=.* asks for 'chunk'"),
        ({"features": {"wrist": {"dtype": "image"}}}, r"has no columns \['wrist'\]"),
    ],
)
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_an_info_that_does_not_fit_is_refused(version, info, message, tmp_path):
    with pytest.raises(InputError, match=message):
        load_frames(write_lerobot(tmp_path / "data", version, **info))


@pytest.mark.parametrize(
    ("version", "kind", "gone", "message"),
    [
        ("v2.1", "image", "meta/tasks.jsonl", "tasks.jsonl cannot be read"),
        ("v2.1", "image", "meta/episodes.jsonl", "episodes.jsonl cannot be read"),
        ("v2.1", "image", "data/0002.parquet", r"missing: .*0002\.parquet"),
        ("v2.1", "video", f"videos/{OTHER}/0001.mp4", r"missing: .*side/0001\.mp4"),
        ("v3.0", "image", "meta/tasks.parquet", "tasks.parquet cannot be read"),
        ("v3.0", "image", "meta/episodes/chunk-000/file-001.parquet", "15 rows, .*total_frames=19"),
        ("v3.0", "image", "data/00-01.parquet", r"missing: .*00-01\.parquet"),
        ("v3.0", "video", f"videos/{CAMERA}/00-00.mp4", r"missing: .*top/00-00\.mp4"),
    ],
)
def test_a_missing_file_is_named(version, kind, gone, message, tmp_path):
    folder = write_lerobot(tmp_path / "data", version, kind)
    (folder / gone).unlink()
    with pytest.raises(InputError, match=message):
        load_frames(folder)


def column_set(name, value):
    """Row 2 of the column gets another value."""

    def change(table):
        values = table[name].to_pylist()
        values[2] = value
        return table.set_column(table.column_names.index(name), name, pa.array(values))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.slice(0, 9), r"2 episodes have other rows.*: 1 \(4 of 7\), 2 \(0 of 3\)"),
        (column_set("frame_index", 3), "episode 0 are not numbered 0, 1, 2, .*"),
        (column_set("episode_index", 7), r"2 episodes have .*: 0 \(4 of 5\), 7 \(1 of 0\)"),
        (column_set("task_index", 5), r"task_index \[5\]"),
        (column_set("task_index", None), "'task_index' has 1 rows without a value"),
    ],
)
def test_rows_that_are_missing_or_wrong_are_refused(change, message, tmp_path):
    folder = write_lerobot(tmp_path / "data")
    rewrite(folder / "data/00-00.parquet", change)
    with pytest.raises(InputError, match=message):
        load_frames(folder)


@pytest.mark.parametrize("name", ["episode_index", "frame_index", "task_index", "timestamp"])
@pytest.mark.parametrize("values", [["a"], [[1]], [True], [b"1"]], ids=["texts", "lists", "truths", "bytes"])
def test_numbers_that_are_none_are_named(name, values, tmp_path):
    folder = write_lerobot(tmp_path / "data", kind="video")
    for file in (folder / "data").iterdir():
        rewrite(file, lambda t: t.set_column(t.column_names.index(name), name, pa.array(values * len(t))))
    with pytest.raises(InputError, match=f"column '{name}' holds .*; a number a row is needed"):
        load_frames(folder)


def test_a_column_that_a_dataset_must_have_is_named(tmp_path):
    folder = write_lerobot(tmp_path / "data")
    for file in (folder / "data").iterdir():
        rewrite(file, lambda table: table.drop_columns(["frame_index"]))
    with pytest.raises(InputError, match="no column 'frame_index'"):
        load_frames(folder)


@pytest.mark.parametrize("name", ["meta/info.json", "meta/tasks.parquet", "data/00-00.parquet"])
def test_a_broken_file_is_refused(name, tmp_path):
    folder = write_lerobot(tmp_path / "data")
    (folder / name).write_bytes(b"{broken")
    with pytest.raises(InputError, match="cannot be read"):
        load_frames(folder)


# What the dataset itself says is input

HOSTILE = [
    ("/etc/{chunk_index}", "out of the dataset's folder"),
    ("../{chunk_index}/a", "out of the dataset's folder"),
    ("data/../../a{chunk_index}", "out of the dataset's folder"),
    ("{video_key}/{chunk_index}", "out of the dataset's folder"),
    ("{chunk_index.__class__}", "neither"),
    ("{chunk_index!r}", "neither"),
    ("{chunk_index:999999999d}", "neither"),
    ("{chunk_index:>9}", "neither"),
    ("{chunk_index:{file_index}}", "neither"),
    ("{0}", "asks for '0'"),
    ("{}", "asks for ''"),
    ("{episode_index}", "asks for 'episode_index'"),
    (7, "is not a path"),
]


@pytest.mark.parametrize(("template", "message"), HOSTILE)
def test_templates_fill_in_their_fields_and_nothing_else(template, message):
    fields = {"chunk_index": 3, "file_index": 12, "video_key": "../../camera"}
    assert filled_template("data/{chunk_index:03d}-{file_index:d}/{file_index}", fields, "x") == "data/003-12/12"
    with pytest.raises(InputError, match=message):
        filled_template(template, fields, "info.json: data_path")


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("entry", ["data_path", "video_path"])
def test_a_dataset_does_not_lead_out_of_its_folder(entry, version, tmp_path):
    (tmp_path / "0000.parquet").write_bytes(b"")
    folder = write_lerobot(tmp_path / "data", version, "video", **{entry: "../0000.parquet"})
    with pytest.raises(InputError, match=rf"{entry} leads to '\.\./0000\.parquet', out of the dataset's folder"):
        load_frames(folder)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"fps": "10"}, "fps='10'"),
        ({"fps": 0}, "fps=0"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"chunks_size": 0}, "chunks_size=0"),
        ({"total_frames": None}, "has no 'total_frames'"),
        ({"features": [1]}, "'features' must be a mapping"),
        ({"features": {"action": {}}}, r"features\['action'\] has no 'dtype'"),
    ],
)
def test_numbers_of_the_meta_files_are_numbers(info, message, tmp_path):
    with pytest.raises(InputError, match=message):
        load_frames(write_lerobot(tmp_path / "data", "v2.1", **info))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_the_instructions_of_the_meta_files_win_over_a_column_of_that_name(version, tmp_path):
    folder = write_lerobot(tmp_path / "data", version)
    for file in (folder / "data").iterdir():
        rewrite(file, lambda table: table.append_column("task", pa.array(["its own"] * len(table))))
    check_frames(load_frames(folder))


def test_a_second_column_of_texts_beside_the_instructions_is_left_alone(tmp_path):
    folder = write_lerobot(tmp_path / "data")
    frame = pd.DataFrame({"task_index": [1, 0], "subtask": ["a", "b"]}, index=list(TASKS[::-1]))
    frame.to_parquet(folder / "meta/tasks.parquet")
    check_frames(load_frames(folder))
    pd.DataFrame({"task_index": [1, 0], "task": ["a", "b"]}, list(TASKS[::-1])).to_parquet(
        folder / "meta/tasks.parquet"
    )
    check_frames(load_frames(folder))  # the index, whatever is called "task" beside it
    pq.write_table(
        pa.table({"task_index": [1, 0], "x": ["a", "b"], "task": TASKS[::-1]}), folder / "meta/tasks.parquet"
    )
    check_frames(load_frames(folder))
    pq.write_table(pa.table({"task_index": [1, 0], "x": ["a", "b"], "y": TASKS[::-1]}), folder / "meta/tasks.parquet")
    with pytest.raises(InputError, match="wanted are task_index and one of texts"):
        load_frames(folder)


@pytest.mark.parametrize("stored", ["struct", "string"])
def test_images_in_files_of_their_own_are_found_from_anywhere(stored, tmp_path, monkeypatch):
    folder = write_lerobot(tmp_path / "data", "v2.1")
    for file in sorted((folder / "data").iterdir()):

        def change(table):
            names = [f"images/{row}.png" for row in table["index"].to_pylist()]
            values = [{"bytes": None, "path": name} for name in names] if stored == "struct" else names
            return table.set_column(table.column_names.index(CAMERA), CAMERA, pa.array(values))

        rewrite(file, change)
    (folder / "images").mkdir()
    for row in range(sum(LENGTHS)):
        Image.fromarray(picture(row)).save(folder / f"images/{row}.png")
    monkeypatch.chdir("/")
    check_frames(load_frames(folder))


def test_images_that_lie_where_the_process_works_are_found_there(tmp_path, monkeypatch):
    """As `datasets` finds them; those in the dataset's folder come first."""
    for place, row in (("work", 3), ("data", 7)):
        (tmp_path / place).mkdir()
        Image.fromarray(picture(row)).save(tmp_path / place / "a.png")
    Image.fromarray(picture(9)).save(tmp_path / "work/b.png")
    monkeypatch.chdir(tmp_path / "work")
    for name, row in (("b.png", 9), ("a.png", 7)):
        image = pa.array([{"bytes": None, "path": name}])
        pq.write_table(pa.table({"number": [1], "image": image}), tmp_path / "data/rows.parquet")
        found = load_frames(tmp_path / "data")[0]["image"]
        assert np.abs(np.asarray(found) - float(brightness(row))).max() < 4


def test_structs_of_bytes_and_path_are_images_in_any_parquet_file(tmp_path):
    rows = [png(picture(3)), {"bytes": None, "path": "b.png"}]
    Image.fromarray(picture(7)).save(tmp_path / "b.png")
    pq.write_table(pa.table({"number": [1, 2], "image": pa.array(rows), "text": ["a", "b"]}), tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", tmp_path):
        frames = load_frames(source)
        assert image_columns(frames) == ["image"] and frames.column_names == ["number", "image", "text"]
        assert [int(np.asarray(row["image"]).max()) for row in frames] == [brightness(3), brightness(7)]


# Other sources


def test_folders_of_datasets_and_of_parquet_files_are_read(tmp_path):
    rows = datasets.Dataset.from_dict({"action": [[1.0], [2.0], [3.0]], "episode_index": [0, 0, 1]})
    rows.save_to_disk(tmp_path / "saved")
    (tmp_path / "parquet/part").mkdir(parents=True)
    for i in range(3):
        pq.write_table(rows.select([i]).with_format("arrow")[:], tmp_path / f"parquet/part/{i}.parquet")
    for source in (tmp_path / "saved", tmp_path / "parquet", str(tmp_path / "parquet")):
        assert load_frames(source)[:] == rows[:]
    assert load_frames(tmp_path / "parquet/part/1.parquet")[:] == rows[1:2]


def test_what_is_no_dataset_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"neither meta/info\.json"):
        load_frames(tmp_path)
    with pytest.raises(InputError, match="nowhere cannot be read as a dataset"):
        load_frames(tmp_path / "nowhere")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"a\.parquet cannot be read as a dataset"):
        load_frames(tmp_path / "a.parquet")


# The tiny data set of the examples


@pytest.fixture(scope="module")
def tiny():
    """examples/tiny_dataset.py as a module; what it imports lies beside it."""
    names = ("tiny_scene", "tiny_dataset_meta", "tiny_dataset")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
            patch.setitem(sys.modules, name, importlib.util.module_from_spec(importlib.util.find_spec(name)))
            sys.modules[name].__spec__.loader.exec_module(sys.modules[name])
        yield sys.modules["tiny_dataset"]


@pytest.mark.parametrize("videos", [False, True])
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_the_tiny_dataset_is_read_as_it_was_drawn(tiny, version, videos, tmp_path):
    if videos:
        pytest.importorskip("av")
    tiny.write_dataset(tmp_path / "tiny", version, episodes=8, frames=3, seed=5, videos=videos)
    frames = load_frames(tmp_path / "tiny")
    drawn = [tiny.episode(index, 3, seed=5) for index in range(8)]
    wanted = {name: np.concatenate([scene[name] for scene in drawn]) for name in drawn[0]}
    numbers = frames.select_columns(["action", "observation.state"]).with_format("numpy")[:]
    np.testing.assert_array_equal(numbers["action"], wanted["action"])
    np.testing.assert_array_equal(numbers["observation.state"], wanted["state"])
    for row in range(24):
        assert frames[row]["task"] == tiny.TASKS[row // 3 % 4][0]
        for view in ("primary", "wrist"):
            pixels = np.asarray(frames[row][f"observation.images.{view}"]).astype(float)
            assert pixels.shape == (64, 80, 3)
            assert np.abs(pixels - wanted[view][row]).mean() < (6 if videos else 1e-9)


def test_the_command_for_statistics_writes_the_names_that_the_dataset_has(tiny, tmp_path):
    tiny.write_dataset(tmp_path / "tiny", episodes=2, frames=3)
    path, names = tmp_path / "tiny/meta/info.json", [f"joint {i}" for i in range(7)]
    info = json.loads(path.read_text())
    info["features"]["action"]["names"] = names
    path.write_text(json.dumps(info))
    assert main(["stats", str(tmp_path / "tiny"), "--output", str(tmp_path / "s.json"), "--quiet"]) == 0
    written = json.loads((tmp_path / "s.json").read_text())["tiny"]
    assert written["action"]["names"] == names
    assert "names" not in written["proprio"] and "units" not in written["action"]


def test_the_drawn_gripper_moves_by_its_actions_to_the_block_it_is_told(tiny):
    for index, seed in itertools.product(range(4), range(3)):
        scene = tiny.episode(index, 12, seed)
        pose, motion = scene["state"][:, :6], scene["action"][:, :6]
        np.testing.assert_allclose(pose[1:], pose[:-1] + motion[:-1], atol=1e-6)
        assert np.abs(motion[-1]).max() < 0.01 < np.abs(motion[0]).max()
        assert scene["action"][-1, 6] > 0.95 and (np.diff(scene["action"][:, 6]) >= 0).all()
        _, colour, beside = tiny.TASKS[index]
        rows, columns = np.nonzero((scene["primary"][0] == sys.modules["tiny_scene"].COLOURS[colour]).all(axis=-1))
        x, y = (columns.mean() + 0.5) / 80 - 0.5, 0.5 - (rows.mean() + 0.5) / 64
        np.testing.assert_allclose(pose[-1, :2], (x + beside, y), atol=0.03)


def test_a_seed_is_a_dataset_and_nothing_is_overwritten(tiny, tmp_path, monkeypatch):
    first, same, other = (tiny.episode(3, 2, seed)["primary"] for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    monkeypatch.setattr(
        sys, "argv", ["tiny_dataset.py", str(tmp_path / "tiny"), "--version", "v2.1", "--episodes", "2"]
    )
    tiny.main()
    assert len(load_frames(tmp_path / "tiny")) == 12
    with pytest.raises(FileExistsError):
        tiny.main()
    with pytest.raises(ValueError, match=r"v2\.1, v3\.0"):
        tiny.write_dataset(tmp_path / "other", "v4")


# Depth maps


@pytest.mark.parametrize(("version", "kind"), [("v2.1", "video"), ("v3.0", "video"), ("v3.0", "image")])
@pytest.mark.parametrize(
    "mark", [{"is_depth_map": True}, {"info": {"video.is_depth_map": True}}, {"video_info": {"is_depth_map": True}}]
)
def test_a_depth_map_is_no_view_unless_it_is_asked_for(tmp_path, version, kind, mark):
    no_depth = {"info": {"video.is_depth_map": False}}
    features = {OTHER: {"dtype": kind, **no_depth}, CAMERA: {"dtype": kind, **mark}, "action": {"dtype": "float32"}}
    if kind == "image":
        del features[OTHER]
    frames = load_frames(write_lerobot(tmp_path / "set", version, kind, features=features))
    frames.save_to_disk(str(tmp_path / "saved"))
    for found in (frames, load_frames(tmp_path / "saved")):
        assert image_columns(found) == ([OTHER] if kind == "video" else [])
        assert CAMERA in found.column_names
        example = ActionChunks(found, 2, images=[CAMERA])[0]
        assert np.asarray(example["images"][0]).shape == (32, 48, 3)


# Broken images


def unknown_flags():
    """A file of a format with parts that Pillow has not."""
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "DDS")
    return buffer.getvalue()[:80] + bytes(4) + buffer.getvalue()[84:]


@pytest.mark.parametrize("kind", ["half", "text", "nothing", "unknown flags"])
def test_a_broken_image_is_named_by_column_and_row(kind, tmp_path):
    whole = png(picture(3))["bytes"]
    broken = {"half": whole[: len(whole) // 2], "text": b"text", "nothing": b"", "unknown flags": unknown_flags()}
    rows = [whole, whole, broken[kind]]
    columns = {"front": [{"bytes": whole, "path": None}] * 3, "wrist": [{"bytes": row, "path": None} for row in rows]}
    columns |= {"action": [[1.0]] * 3, "task": ["go"] * 3, "episode_index": [0] * 3}
    features = {"front": datasets.Image(), "wrist": datasets.Image(), "task": datasets.Value("string")}
    features |= {"action": datasets.List(datasets.Value("float32")), "episode_index": datasets.Value("int64")}
    frames = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    examples = ActionChunks(frames, 2)
    assert len(examples[1]["images"]) == 2
    with pytest.raises(InputError, match="column 'wrist' has no readable image in row 2"):
        examples[2]
