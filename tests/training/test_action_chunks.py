"""Frames as robot examples: chunks against a loop, what is read, and what is refused."""

import pickle

import datasets
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from vlahub.configuration.vla_errors import InputError
from vlahub.training.action_chunks import ActionChunks

EPISODES = [0] * 5 + [3] * 1 + [1] * 7 + [2] * 3
ACTIONS = np.random.RandomState(0).randn(16, 3).astype(np.float32)


def frames_of(**replaced):
    """16 rows of 4 episodes; in each picture the row is the brightness. `None` leaves a column out."""
    columns = {
        "wrist": [Image.new("RGB", (4, 4), (row, 0, 100)) for row in range(16)],
        "top": [Image.new("RGB", (4, 4), (row, 0, 0)) for row in range(16)],
        "episode_index": EPISODES,
        "observation.state": [[row, 0.5] for row in range(16)],
        "action": ACTIONS.tolist(),
        "task": [f"task {row}" for row in range(16)],
    } | replaced
    return datasets.Dataset.from_dict({name: values for name, values in columns.items() if values is not None})


def naive_chunk(row, size):
    """The actions from this row on; past the end of the episode the last one again."""
    chunk = []
    for _ in range(size):
        chunk.append(ACTIONS[row])
        if row + 1 < len(EPISODES) and EPISODES[row + 1] == EPISODES[row]:
            row += 1
    return np.stack(chunk)


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_chunks_are_those_of_a_loop(size):
    chunks = ActionChunks(frames_of(), size)
    assert len(chunks) == 16
    for row, example in enumerate(chunks):
        assert example["actions"].dtype == np.float32
        np.testing.assert_array_equal(example["actions"], naive_chunk(row, size))
        left = sum(episode == EPISODES[row] for episode in EPISODES[row:])
        assert example["action_is_pad"].tolist() == [step >= left for step in range(size)]
        assert example["text"] == f"task {row}" and "state" not in example
        assert [np.asarray(image)[0, 0].tolist() for image in example["images"]] == [[row, 0, 100], [row, 0, 0]]
    assert chunks[-1]["text"] == "task 15"
    with pytest.raises(IndexError):
        chunks[16]


def test_columns_go_where_they_are_told_to():
    frames = frames_of(words=["go"] * 16, moves=np.ones((16, 2)).tolist(), trip=["a"] * 9 + ["b"] * 7)
    chunks = ActionChunks(frames, 3, ["top"], "observation.state", action="moves", text="words", episode="trip")
    example = chunks[4]
    assert set(example) == {"images", "text", "state", "actions", "action_is_pad"}
    assert np.asarray(example["images"][0])[0, 0].tolist() == [4, 0, 0]
    assert example["text"] == "go" and example["actions"].tolist() == [[1, 1]] * 3
    assert example["state"].dtype == np.float32 and example["state"].tolist() == [4, 0.5]


@pytest.mark.parametrize(
    "name", ["time", "noise", "timesteps", "sample_weight", "advantage", "embodiment_id", "answer", "unnorm_key"]
)
def test_a_column_that_nobody_named_is_no_entry_of_an_example(name):
    """Not even where a collator reads an entry of its name: `time` may be seconds, or how far an episode is."""
    example = ActionChunks(frames_of(**{name: np.linspace(0, 1, 16).tolist()}), 2)[7]
    assert set(example) == {"images", "text", "actions", "action_is_pad"}


def test_only_what_is_needed_is_decoded():
    broken = {"bytes": b"no image", "path": None}
    features = frames_of().features
    top = [broken if row != 6 else {"bytes": png(), "path": None} for row in range(16)]
    columns = frames_of(top=None, wrist=None)[:] | {"top": top, "wrist": [broken] * 16}
    frames = datasets.Dataset.from_dict(columns, features)
    chunks = ActionChunks(frames, 4, images=["top"])
    assert chunks[6]["images"][0].size == (4, 4)
    with pytest.raises(OSError):
        chunks[5]


def png():
    return datasets.Image().encode_example(Image.new("RGB", (4, 4)))["bytes"]


@pytest.mark.parametrize("form", ["numpy", "torch", "pandas"])
def test_the_format_of_the_frames_does_not_matter(form):
    plain = ActionChunks(frames_of(), 4, state="observation.state")
    other = ActionChunks(frames_of().with_format(form), 4, state="observation.state")
    for row in (0, 8):
        np.testing.assert_array_equal(other[row]["actions"], plain[row]["actions"])
        np.testing.assert_array_equal(other[row]["state"], plain[row]["state"])
        assert np.array_equal(other[row]["images"][1], plain[row]["images"][1])


@pytest.mark.parametrize(
    "kind", [datasets.Sequence(datasets.Value("float64")), datasets.Sequence(datasets.Value("int32"), length=3)]
)
def test_vectors_of_any_kind_of_number_become_float32(kind):
    whole = np.arange(48).reshape(16, 3)
    frames = frames_of(action=whole.tolist())
    found = ActionChunks(frames.cast_column("action", kind), 1)[5]["actions"]
    assert found.dtype == np.float32 and found.tolist() == [whole[5].tolist()]


def test_pixels_in_lists_are_images():
    pixels = np.random.RandomState(0).randint(0, 256, (16, 4, 5, 3))
    example = ActionChunks(frames_of(top=pixels.tolist()), 1, images=["top"])[9]
    assert example["images"][0].dtype == np.uint8
    np.testing.assert_array_equal(example["images"][0], pixels[9])


def test_chosen_rows_are_chunked_as_they_follow_each_other():
    frames = frames_of().select([1, 2, 3, 6, 7, 13])
    found = [example["actions"][:, 0].tolist() for example in ActionChunks(frames, 3)]
    rows = [[1, 2, 3], [2, 3, 3], [3, 3, 3], [6, 7, 7], [7, 7, 7], [13, 13, 13]]
    assert found == [ACTIONS[row, 0].tolist() for row in rows]


def test_workers_and_pickles_give_the_same_examples():
    chunks = ActionChunks(frames_of(), 3, state="observation.state")
    again = pickle.loads(pickle.dumps(chunks))
    loader = DataLoader(chunks, batch_size=None, num_workers=2)
    for one, two, three in zip(chunks, (again[i] for i in range(16)), loader, strict=True):
        for other in (two, three):
            np.testing.assert_array_equal(other["actions"], one["actions"])
            np.testing.assert_array_equal(other["state"], one["state"])
            assert other["text"] == one["text"] and np.array_equal(other["images"][0], one["images"][0])


# What is refused


def with_row(row, value):
    rows = ACTIONS.tolist()
    rows[row] = value
    return rows


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"action": None}, r"no columns \['action'\]; they have \['wrist'"),
        ({"task": None}, r"no columns \['task'\]"),
        ({"episode_index": None}, r"no columns \['episode_index'\]"),
        ({"top": None, "wrist": None}, "none of the columns .* holds images"),
        ({"action": ["left"] * 16}, "'action' must hold vectors of numbers, not string"),
        ({"action": [["a"]] * 16}, "'action' must hold vectors of numbers, not list<.*string>"),
        ({"action": [[[1.0]]] * 16}, "'action' must hold vectors of numbers"),
        ({"action": with_row(4, [1.0, 2.0])}, "'action' has 2 numbers in row 4, 3 in row 0"),
        ({"action": with_row(4, None)}, "'action' has 0 numbers in row 4, 3 in row 0"),
        ({"action": [[]] * 16}, "'action' must hold vectors of numbers"),
        ({"action": [[], *ACTIONS[1:].tolist()]}, "'action' has 0 numbers in row 0"),
        ({"action": with_row(5, [1.0, float("nan"), 0.0])}, r"'action' is not finite in row 5: \[1.0, nan, 0.0\]"),
        ({"action": with_row(6, [1.0, None, 0.0])}, r"'action' is not finite in row 6: \[1.0, None, 0.0\]"),
        ({"action": with_row(7, [1e300, 0.0, 0.0])}, "'action' is not finite in row 7"),
        ({"observation.state": [[0.0, float("inf")]] * 16}, "'observation.state' is not finite in row 0"),
        ({"episode_index": [0] * 4 + [1] * 8 + [0] * 4}, "episode 0 begins in row 0 and again in row 12"),
    ],
)
def test_frames_that_do_not_fit_are_refused_before_anything_is_read(columns, message):
    with pytest.raises(InputError, match=message):
        ActionChunks(frames_of(**columns), 2, state="observation.state")


def test_shuffled_frames_are_refused():
    with pytest.raises(InputError, match="must be in the order of episode and frame"):
        ActionChunks(frames_of().shuffle(seed=0), 2)


def test_frames_with_a_transform_and_frames_without_rows_are_refused():
    with pytest.raises(InputError, match="transform"):
        ActionChunks(frames_of().with_transform(lambda rows: rows), 2)
    with pytest.raises(InputError, match="no rows"):
        ActionChunks(frames_of().select([]), 2)
    with pytest.raises(InputError, match="num_action_chunks=0"):
        ActionChunks(frames_of(), 0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"top": [None if row == 3 else Image.new("L", (2, 2)) for row in range(16)]}, "'top' has no image in row 3"),
        ({"top": np.full((16, 2, 2, 3), 256).tolist()}, "'top' has pixels beyond 0..255 in row 3"),
        ({"top": np.full((16, 2, 2, 3), 0.5).tolist()}, "'top' has no image in row 3"),
        ({"top": [[[[1, 2, 3]], []]] * 16}, "'top' has no image in row 3"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_when_it_is_read(columns, message):
    chunks = ActionChunks(frames_of(**columns), 2, images=["top"])
    with pytest.raises(InputError, match=message):
        chunks[3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"task": ["a"] * 3 + [None] + ["a"] * 12}, "'task' has no text in row 3: None"),
        ({"task": ["a"] * 3 + [" "] + ["a"] * 12}, "'task' has no text in row 3: ' '"),
        ({"task": [""] * 16}, "'task' has no text in row 0: ''"),
        ({"task": list(range(16))}, "'task' holds int64 and no texts"),
        ({"word": [None] * 3 + [""] + ["a"] * 12}, "'word' has no text in row 3: ''"),
    ],
)
def test_texts_that_say_nothing_are_refused_before_an_example_is_read(columns, message):
    with pytest.raises(InputError, match=message):
        ActionChunks(frames_of(**columns), 2, advantage="word" if "word" in columns else None)


# Order and gaps


def numbered(**columns):
    """The frames with the number and the time of each row in its episode."""
    frame = [i - EPISODES.index(episode) for i, episode in enumerate(EPISODES)]
    return {"frame_index": frame, "timestamp": [number / 10 for number in frame]} | columns


def test_rows_in_order_are_read_with_their_numbers_and_times():
    assert len(ActionChunks(frames_of(**numbered()), 3)) == 16
    assert len(ActionChunks(frames_of(**numbered()).select(range(2, 12)), 3)) == 10  # an episode may begin anywhere


@pytest.mark.parametrize("order", [[0, 3, 1, 2], [0, 1, 3, 4], [0, 0, 1, 2], [3, 2, 1, 0]])
def test_rows_out_of_order_and_gaps_are_refused_by_frame_number(order):
    with pytest.raises(InputError, match=r"column 'frame_index' is \d in row \d and \d in the next row of the same"):
        ActionChunks(frames_of(**numbered(timestamp=None)).select(order), 2)
    assert len(ActionChunks(frames_of(**numbered(timestamp=None)).select(order), 2, frame=None)) == 4


@pytest.mark.parametrize("order", [[0, 3, 1, 2], [6, 7, 8, 11, 12], [0, 0, 1, 2], [4, 3, 2, 1, 0]])
def test_rows_out_of_order_and_gaps_are_refused_by_time(order):
    with pytest.raises(InputError, match=r"column 'timestamp' goes from .* where a step takes"):
        ActionChunks(frames_of(**numbered(frame_index=None)).select(order), 2)
    assert len(ActionChunks(frames_of(**numbered(frame_index=None)).select(order), 2, timestamp=None)) == len(order)


def test_times_may_waver_and_a_named_column_must_be_there():
    times = np.cumsum(np.random.RandomState(0).uniform(0.08, 0.11, 16))
    assert len(ActionChunks(frames_of(**numbered(timestamp=times.tolist())), 2)) == 16
    with pytest.raises(InputError, match=r"no columns \['step'\]"):
        ActionChunks(frames_of(), 2, frame="step")
    with pytest.raises(InputError, match="'timestamp' is nan in row 3"):
        ActionChunks(frames_of(**numbered(timestamp=[0.0] * 3 + [float("nan")] * 13)), 2)


# Forms that datasets have


def test_single_numbers_are_vectors_of_one():
    frames = frames_of(**{"action": [float(row) for row in range(16)], "observation.state": list(range(16))})
    example = ActionChunks(frames, 2, state="observation.state")[6]
    assert example["actions"].tolist() == [[6.0], [7.0]]
    assert example["state"].tolist() == [6.0] and example["state"].dtype == np.float32


def test_several_columns_are_one_vector_in_the_order_they_are_named():
    left, grip = np.random.RandomState(2).randn(16, 2).astype(np.float32), np.arange(16, dtype=np.float32)
    columns = {"action.left_arm": left.tolist(), "action.gripper": grip.tolist(), "action": None}
    chunks = ActionChunks(
        frames_of(**columns),
        2,
        action=["action.gripper", "action.left_arm"],
        state=["observation.state", "action.gripper"],
    )
    wanted = np.concatenate([grip[:, None], left], axis=1)
    np.testing.assert_array_equal(chunks[7]["actions"], wanted[7:9])
    assert chunks[7]["state"].tolist() == [7, 0.5, 7]
    for action, message in (([], "at least one"), (["action.gripper"] * 2, "all different"), (["x"], "no columns")):
        with pytest.raises(InputError, match=message):
            ActionChunks(frames_of(**columns), 2, action=action)


def test_images_that_datasets_leaves_as_bytes_are_decoded():
    frames = frames_of().cast_column("top", datasets.Image(decode=False))
    example = ActionChunks(frames, 2)[3]
    assert [np.asarray(image)[0, 0].tolist() for image in example["images"]] == [[3, 0, 100], [3, 0, 0]]


def test_what_is_no_table_of_rows_is_refused_with_what_to_do():
    for frames in (frames_of().to_iterable_dataset(), datasets.DatasetDict({"train": frames_of()})):
        with pytest.raises(InputError, match=rf"frames is a {type(frames).__name__}; .* streaming=True"):
            ActionChunks(frames, 2)


def test_every_example_says_whose_statistics_it_has():
    assert "unnorm_key" not in ActionChunks(frames_of(), 2)[0]
    assert ActionChunks(frames_of(), 2, unnorm_key="mine")[3]["unnorm_key"] == "mine"
