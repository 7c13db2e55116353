"""Actions one at a time, what a client's observation is, and which image is which view, against naive oracles."""

import asyncio
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import Dataset
from drawn import SEEDS, floats
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlahub.configuration.view_names import LEROBOT_PREFIX, checked_view_names
from vlahub.conversion.alpamayo_r1.camera_names import in_trained_order, numbers_of
from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.observation_map import read_map, value_at
from vlahub.conversion.serving.observed_views import views_of
from vlahub.errors import ConfigError, ConversionError, InputError
from vlahub.processing.alpamayo_r1.camera_labels import (
    CAMERAS,
    camera_name,
    frames_of_cameras,
    labels_before,
    read_indices,
    recorded_indices,
)
from vlahub.training.dataset_columns import camera_columns

# ---- sessions


class Robot:
    """A model whose chunks are numbered, and fails on request; its numbers say which step they are for."""

    def __init__(self, chunk, seed):
        self.chunk, self.random, self.predicted = chunk, np.random.default_rng(seed), []

    async def predict(self):
        self.predicted.append(self.random.standard_normal((self.chunk, 2)).astype(np.float32))
        return self.predicted[-1]


# What happens at a step: to which session, with which task, whether an episode begins.
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["pick", "pick", "place"]), st.sampled_from([False] * 5 + [True])),
    min_size=1,
    max_size=25,
)


def played(sessions, robot, steps):
    """The actions of all steps, and how many chunks were predicted before each."""

    async def play():
        found = []
        for name, task, begins in steps:
            before = len(robot.predicted)
            found.append((await sessions.next_action(name, task, begins, robot.predict), before))
        return found

    return asyncio.run(play())


@given(STEPS, st.integers(1, 5), st.one_of(st.none(), st.integers(1, 6)), SEEDS)
def test_a_queue_gives_the_first_actions_of_each_chunk_in_their_order(steps, chunk, taken, seed):
    robot = Robot(chunk, seed)
    found = played(ActionSessions(taken), robot, steps)
    left, tasks = {}, {}
    for (name, task, begins), (action, before) in zip(steps, found, strict=True):
        if begins or tasks.get(name) != task or not left.get(name):
            left[name] = list(robot.predicted[before])[:taken]
            assert before < len(robot.predicted)
        tasks[name] = task
        assert np.array_equal(action, left[name].pop(0))


@given(STEPS, st.integers(1, 5), floats(0, 3), SEEDS)
def test_ensembling_weighs_what_all_chunks_say_of_a_step_the_oldest_first(steps, chunk, m, seed):
    robot = Robot(chunk, seed)
    found = played(ActionSessions(ensemble=m), robot, steps)
    history, tasks = {}, {}
    for (name, task, begins), (action, before) in zip(steps, found, strict=True):
        if begins or tasks.get(name) != task:
            history[name] = []
        tasks[name] = task
        history[name].append(robot.predicted[before])
        now = len(history[name]) - 1
        said = [each[now - start] for start, each in enumerate(history[name]) if now - start < chunk]
        weights = [math.exp(-m * i) for i in range(len(said))]
        wanted = sum(w * each.astype(np.float64) for w, each in zip(weights, said, strict=True)) / sum(weights)
        np.testing.assert_allclose(action, wanted, atol=1e-5)
        assert action.dtype == np.float32


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=30), st.integers(1, 3))
def test_sessions_that_were_not_asked_for_longest_make_room(names, most):
    robot, sessions, kept = Robot(100, 0), ActionSessions(most=most), []
    played(sessions, robot, [(name, "pick", False) for name in names])
    chunks = 0
    for name in names:
        chunks += name not in kept
        kept = [*(other for other in kept if other != name), name][-most:]
    assert list(sessions.sessions) == kept and len(robot.predicted) == chunks


# ---- observations

KEY = st.sampled_from(["images", "cam_high", "cam left", "state", "joints", "prompt", "x", "observation.images.a"])
PATHS = st.lists(KEY, min_size=1, max_size=3)


@st.composite
def observations(draw):
    """(nested mappings, {path: value}) of a client; every path is there, flat or nested."""
    paths = draw(st.lists(PATHS.map(tuple), min_size=1, max_size=6, unique=True))
    paths = [path for path in paths if not any(path != other and path == other[: len(path)] for other in paths)]
    given_values, wanted = {}, {}
    for number, path in enumerate(paths):
        wanted["/".join(path)] = float(number)
        place, rest = given_values, path
        if draw(st.booleans()):
            rest = ("/".join(path),)
        for part in rest[:-1]:
            place = place.setdefault(part, {})
        place[rest[-1]] = float(number)
    return given_values, wanted


@given(observations(), st.data())
def test_a_key_is_found_flat_or_nested_and_a_missing_one_is_named(observation, data):
    given_values, wanted = observation
    for key, value in wanted.items():
        assert value_at(given_values, key) == value
    missing = "/".join([*data.draw(PATHS), "nowhere"])
    assert value_at(given_values, missing, is_optional=True) is None
    with pytest.raises(InputError, match="has no"):
        value_at(given_values, missing)


@given(observations(), st.integers(1, 3), st.integers(0, 2), st.booleans(), st.data())
def test_a_map_hands_over_what_it_names_and_nothing_else(observation, cameras, parts, named, data):
    given_values, wanted = observation
    keys = data.draw(st.permutations(sorted(wanted)))
    images, state = keys[:cameras], [data.draw(st.sampled_from(keys)) for _ in range(parts)]
    instruction = data.draw(st.sampled_from(keys))
    views = {f"view {i}": key for i, key in enumerate(images)}
    content = {"images": views if named else images, "state": state, "instruction": instruction}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.yaml"
        path.write_text(yaml.safe_dump(content))
        found = read_map(path).observation(given_values)
        path.write_text(yaml.safe_dump(content | {"images": [*images, images[0]]}))
        with pytest.raises(ConversionError, match="each key once"):
            read_map(path)
    values = {view: wanted[key] for view, key in views.items()}
    assert found["images"] == (values if named else list(values.values()))
    assert (found["state"] is None) if not state else found["state"].tolist() == [wanted[key] for key in state]
    assert found["instruction"] == wanted[instruction]


# ---- views

NAMES = st.lists(
    st.sampled_from(
        ["primary", "top", "front", "left_view", "right_view", "wrist", "wrist_image", "left_wrist", "right_wrist",
         "wrist_left", "wrist_right", "Wrist_RIGHT_2", "exterior_image_1_left", "full_image"]
    ),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip


def kind(name):
    name = name.lower()
    sides = [side for side in ("left", "right") if side in name]
    return "wrist" in name, sides[0] if len(sides) == 1 else ""


@given(NAMES, NAMES, st.booleans(), st.data())
def test_every_view_gets_one_image_of_its_kind_and_side_or_it_is_an_error(names, given_names, prefixed, data):
    prefix = LEROBOT_PREFIX if prefixed else ""
    images = {prefix + name: number for number, name in enumerate(given_names)}
    try:
        found = views_of(images, names)
    except InputError as error:
        assert str(names) in str(error)
        assert set(names) != set(given_names)
        mains = [sum(not kind(name)[0] for name in each) for each in (names, given_names)]
        wrists = [sum(kind(name)[0] for name in each) for each in (names, given_names)]
        if mains == [1, 1] and wrists in ([0, 0], [1, 1]):  # nothing to choose from: only sides can speak against it
            assert any({kind(a)[1], kind(b)[1]} == {"left", "right"} for a in names for b in given_names)
        return
    assert sorted(found) == sorted(names) and sorted(found.values()) == list(range(len(given_names)))
    for view, number in found.items():
        theirs = given_names[number]
        assert kind(view)[0] == kind(theirs)[0]
        assert {kind(view)[1], kind(theirs)[1]} != {"left", "right"}
        assert view not in given_names or view == theirs
    order = data.draw(st.permutations(list(images)))
    assert views_of({name: images[name] for name in order}, data.draw(st.permutations(names))) == found


@given(NAMES, st.booleans())
def test_a_model_without_names_of_views_sees_the_main_camera_first(given_names, is_ordered):
    images = {name: name for name in given_names}
    mains = [name for name in given_names if not kind(name)[0]]
    wrists = [name for name in given_names if kind(name)[0]]
    if len(mains) > 1 or (len(wrists) > 1 and not is_ordered):
        with pytest.raises(InputError, match="observation-map"):
            views_of(images, None, is_ordered)
    else:
        assert views_of(images, None, is_ordered) == mains + wrists


@given(NAMES, st.data())
def test_two_images_of_one_name_are_an_error(names, data):
    twice = data.draw(st.sampled_from(names))
    images = dict.fromkeys([*names, LEROBOT_PREFIX + twice])
    with pytest.raises(InputError, match=twice):
        views_of(images, names)
    with pytest.raises(InputError, match=twice):
        views_of(images, None, is_ordered=True)
    with pytest.raises(ConfigError, match="twice"):
        checked_view_names(list(images))
    frames = Dataset.from_dict({name: [Image.new("RGB", (2, 2))] for name in images})
    with pytest.raises(InputError, match=f"several are the view '{twice}'"):
        camera_columns(frames, names)
    others = [name for name in names if name != twice]
    assert camera_columns(frames, others) == others


# ---- cameras of cars


@given(st.lists(st.sampled_from(sorted(CAMERAS)), min_size=1, unique=True), st.data())
def test_cameras_of_a_car_are_put_in_the_order_of_their_numbers(names, data):
    folders = [Path(f"clip/{name.upper() if data.draw(st.booleans()) else name}") for name in names]
    ordered = in_trained_order(folders)
    assert numbers_of(None, {}, ordered, True) == sorted(CAMERAS[name] for name in names)
    assert sorted(ordered) == sorted(folders)
    assert in_trained_order(data.draw(st.permutations(folders))) == ordered
    assert recorded_indices([folder.name for folder in ordered]) == numbers_of(None, {}, ordered, True)
    assert numbers_of(None, {}, [*ordered, Path("clip/mine")], True) is None


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True), st.integers(1, 3), st.data())
def test_labels_name_each_camera_once_and_number_its_frames(indices, frames, data):
    counts = [data.draw(st.integers(1, 3)) for _ in indices]
    wanted = []
    for index, count in zip(indices, counts, strict=True):
        wanted += [f"{camera_name(index)}: frame 0 ", *(f"frame {i} " for i in range(1, count))]
    assert labels_before(indices, counts) == wanted
    groups = [[np.zeros((2, 2, 3))] * count for count in counts]
    assert frames_of_cameras(groups, len(indices)) == counts
    assert frames_of_cameras([np.zeros((2, 2, 3))] * len(indices) * frames, len(indices)) == [frames] * len(indices)
    assert frames_of_cameras(np.zeros((len(indices), frames, 3, 2, 2)), len(indices)) == [frames] * len(indices)
    for form in (indices, np.array(indices), [indices] * 2, np.array([indices] * 2)):
        assert read_indices(form, 2) == [indices] * 2
    with pytest.raises(InputError, match="twice"):
        read_indices([*indices, indices[0]], 1)
