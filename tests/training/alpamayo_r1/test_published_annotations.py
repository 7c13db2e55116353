"""Navigation of clips and questions about LingoQA's frames as examples, in the published file formats."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tiny_av_clip as clips
import torch
from PIL import Image

import vlahub
from vlahub.data import LingoQuestions, NavigationSamples
from vlahub.errors import InputError
from vlahub.training.alpamayo_r1 import published_annotations

SAMPLE = {"clip_id": clips.CLIP, "t0_relative": 5_100_000, "nav_text": "Turn left in 11m", "distance_m": 11}


@pytest.fixture(scope="module")
def avdi(tmp_path_factory):
    clips.write_clip(folder := tmp_path_factory.mktemp("cache"))
    return clips.StandIn(folder)


def written(folder, content):
    path = folder / "nav_demo_samples.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.slow
def test_samples_are_moments_of_clips_with_their_navigation(avdi, tmp_path):
    path = written(tmp_path, [SAMPLE, SAMPLE | {"t0_relative": 5_200_000.0, "cot": "Yield."}])
    samples = NavigationSamples(path, avdi, maybe_stream=False, num_frames=2)
    assert len(samples) == 2 and samples.samples[0]["distance_m"] == 11
    data = vlahub.load_physical_aiavdataset(clips.CLIP, 5_200_000, avdi, maybe_stream=False, num_frames=2)
    first, second = samples[0], samples[1]
    assert "reasoning" not in first and second["reasoning"] == "Yield." and first["nav_text"] == "Turn left in 11m"
    assert torch.equal(second["images"], data["image_frames"]) and second["camera_indices"].tolist() == [0, 1, 2, 6]
    assert torch.equal(second["ego_history_xyz"], data["ego_history_xyz"][0, 0])
    assert second["ego_future_rot"].shape == (64, 3, 3)


def test_a_sample_is_asked_for_by_its_clip_moment_and_options(tmp_path, monkeypatch):
    asked, data = [], {"image_frames": "pictures", "camera_indices": [3, 1]}
    data |= {f"ego_{part}": np.arange(4).reshape(1, 1, 4) for part in ("history_xyz", "future_rot")}
    monkeypatch.setattr(
        published_annotations,
        "load_physical_aiavdataset",
        lambda *given, **options: asked.append((given, options)) or data,
    )
    path = written(tmp_path, [SAMPLE | {"cot": ""}, SAMPLE | {"t0_relative": 7.0, "cot": "Yield."}])
    samples = NavigationSamples(path, "the clips", num_frames=2)
    first, second = samples[0], samples[1]
    assert asked == [((clips.CLIP, moment, "the clips"), {"num_frames": 2}) for moment in (5_100_000, 7)]
    assert "reasoning" not in first and second.pop("reasoning") == "Yield."
    assert second.pop("ego_history_xyz").tolist() == second.pop("ego_future_rot").tolist() == [0, 1, 2, 3]
    assert second == {"images": "pictures", "camera_indices": [3, 1], "nav_text": "Turn left in 11m"}


WRONG = {
    "no JSON": ("{", "cannot be read as JSON"),
    "no list": ({}, "holds no list"),
    "nothing": ([], "holds no list"),
    "no text": ([{"clip_id": "x", "t0_relative": 1}], "sample 0 lacks nav_text"),
    "no sample": ([SAMPLE, 3], "sample 1 lacks all"),
    "number": ([SAMPLE | {"nav_text": 3}], "must be texts"),
    "a clip's number": ([SAMPLE | {"clip_id": 3}], "must be texts"),
    "a truth value": ([SAMPLE | {"t0_relative": True}], "t0_relative of sample 0 is True"),
    "never": ([SAMPLE | {"t0_relative": float("inf")}], "t0_relative of sample 0 is inf"),
    "time": ([SAMPLE | {"t0_relative": "soon"}], "t0_relative of sample 0 is 'soon'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_files_are_refused(tmp_path, name):
    content, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        NavigationSamples(written(tmp_path, content))


@pytest.fixture
def lingo(tmp_path):
    """Two segments of three pictures, and three questions."""
    rows = []
    for segment in range(2):
        names = [f"images/train/{segment}/{i}.png" for i in range(3)]
        (tmp_path / names[0]).parent.mkdir(parents=True)
        for i, name in enumerate(names):
            Image.fromarray(np.full((4, 6, 3), 10 * segment + i, dtype=np.uint8)).save(tmp_path / name)
        rows += [{"question_id": f"q{segment}", "question": f"why {segment}?", "answer": "so.", "images": names}]
    pa.parquet.write_table(pa.Table.from_pylist([*rows, rows[1]]), tmp_path / "train.parquet")
    return tmp_path


def test_questions_come_with_the_last_frames_of_the_front_camera(lingo):
    questions = LingoQuestions(lingo, num_frames=2)
    assert len(questions) == len(LingoQuestions(lingo)) == 3 and len(LingoQuestions(lingo)[0]["images"]) == 3
    example = questions[1]
    assert {name: example[name] for name in ("question", "answer", "camera_indices")} == {
        "question": "why 1?",
        "answer": "so.",
        "camera_indices": [1],
    }
    assert [np.asarray(image)[0, 0, 0] for image in example["images"]] == [11, 12]


def test_folders_without_the_questions_are_refused(lingo, tmp_path):
    with pytest.raises(InputError, match=r"val.parquet: there is no such file"):
        LingoQuestions(lingo, split="val")
    with pytest.raises(InputError, match="has 3 images; 4 are needed"):
        LingoQuestions(lingo, num_frames=4)[0]
    with pytest.raises(InputError, match="num_frames=0"):
        LingoQuestions(lingo, num_frames=0)
    row = LingoQuestions(lingo).table.slice(0, 1).to_pylist()[0] | {"images": []}
    schema = LingoQuestions(lingo).table.schema
    pa.parquet.write_table(pa.Table.from_pylist([row], schema), tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="has 0 images; 1 are needed"):
        LingoQuestions(tmp_path, split="empty")[0]
    pa.parquet.write_table(pa.table({"question": ["a"]}), tmp_path / "test.parquet")
    with pytest.raises(InputError, match="has no column 'answer'"):
        LingoQuestions(tmp_path, split="test")
