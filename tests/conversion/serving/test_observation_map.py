"""Which key of a client's observation is what, where a small file says it: read, checked and followed."""

import numpy as np
import pytest
from client_requests import act, file_of, policy

from vlahub.conversion.serving.observation_map import read_map
from vlahub.errors import ConversionError, InputError

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
STATE = np.arange(8.0)


BAD_MAPS = (
    "images: [a]\nstat: b",
    "state: b",
    "images: ['']",
    "images: []",
    "images: [a, a]",
    "images: [a]\nstate: [b, 3]",
)
MAP = "images: {primary: images/cam_high, wrist: side}\nstate: [a, b]\ninstruction: goal\n"


def test_an_observation_map_says_which_key_is_what(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(MAP)
    by = read_map(path)
    by.check(policy(["primary", "wrist"]), "m")
    given = {"images": {"cam_high": PICTURE}, "side": PICTURE + 1, "a": STATE[:7], "b": 7, "goal": "lift", "more": 1}
    found = act({**given, "side": file_of(PICTURE + 1)}, by=by).observation
    assert list(found["images"]) == ["primary", "wrist"] and np.array_equal(found["images"]["wrist"], PICTURE + 1)
    assert np.array_equal(found["state"], STATE) and found["instruction"] == "lift" and "more" not in found
    with pytest.raises(InputError, match="the observation has no 'side'"):
        by.observation({"images": {"cam_high": 1}})
    for served, message in (
        (policy(["primary", "hand"]), "those of m are"),
        (policy(["primary", "wrist"], state_dim=None), "takes no state"),
        (policy(["primary", "wrist", "other"]), "those of m are"),
        (policy(None), "not recorded"),
    ):
        with pytest.raises(ConversionError, match=message):
            by.check(served, "m")
    for text in (
        "a: [",
        "- 1",
        "images: 3",
        "images: {a: b, c: b}",
        "imges: {a: b}",
        "images: [a]\nstate: 3",
        *BAD_MAPS,
    ):
        path.write_text(text)
        with pytest.raises(ConversionError, match="--observation-map"):
            read_map(path)
    path.write_text("images: [a]\nstate: [b]")
    with pytest.raises(ConversionError, match="has 1 images; m sees 2 views"):
        read_map(path).check(policy(["primary", "wrist"]), "m")


def test_a_map_may_name_views_as_datasets_do_and_leaves_out_a_state_that_there_is_none_of(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("images: {observation.images.front: cam}")
    by = read_map(path)
    by.check(policy(["front"], num_views=None, state_dim=None), "m")
    found = by.observation({"cam": 1, "state": [3.0]})
    assert found["images"] == {"observation.images.front": 1} and found["state"] is None
    with pytest.raises(ConversionError, match="m needs a state of 8 values"):
        by.check(policy(["front"], num_views=1), "m")
    path.write_text("images: [a, b]")
    read_map(path).check(policy(num_views=None, state_dim=None), "m")  # of a model that takes any number


@pytest.mark.parametrize("name", ["prompt", "instruction", "task"])
def test_an_instruction_is_heard_under_each_usual_key_unless_a_map_names_another(tmp_path, name):
    given = {"cam": PICTURE, "s": np.zeros(8)}

    def heard(named, **more):
        (tmp_path / "map.yaml").write_text(f"images: [cam]\nstate: s\n{named}")
        by = read_map(tmp_path / "map.yaml")
        return act({**given, **more}, policy(num_views=1), by=by).observation["instruction"]

    assert heard("", **{name: "lift"}) == heard("instruction: goal", **{name: "drop", "goal": "lift"}) == "lift"
    assert heard("") is None and heard("instruction: goal") is None  # where --instruction speaks
    with pytest.raises(InputError, match=f"holds {name}; .* its instruction is 'goal'"):
        heard("instruction: goal", **{name: "lift"})
    with pytest.raises(InputError, match=r"prompt and instruction and task; .* one of them"):
        heard("", prompt="lift", instruction="lift", task=3)
    with pytest.raises(ConversionError, match="instruction must name keys"):
        heard("instruction:")


def test_a_key_that_is_there_as_it_stands_goes_before_a_path_and_parts_of_a_state_are_numbers(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("images: [a/b]\nstate: [s, t]")
    by = read_map(path)
    found = by.observation({"a/b": 1, "a": {"b": 2}, "s": [1, 2], "t": 3})
    assert found["images"] == [1] and found["state"].tolist() == [1, 2, 3]
    assert by.observation({"a": {"b": 2}, "s": [1, 2], "t": 3})["images"] == [2]
    for wrong in ("x", [[1, 2]]):
        with pytest.raises(InputError, match="cannot be joined to one vector of numbers"):
            by.observation({"a/b": 1, "s": [1, 2], "t": wrong})


def test_parts_of_a_mapped_state_are_joined_in_the_order_of_the_map(tmp_path):
    (tmp_path / "map.yaml").write_text("images: [cam]\nstate: [robot/joints, gripper, base]\ninstruction: task")
    fields = {"cam": PICTURE, "base": [7, 8], "robot": {"joints": [1, 2, 3]}, "gripper": 0.5, "task": "lift"}
    found = act(fields, policy(num_views=1), by=read_map(tmp_path / "map.yaml")).observation
    assert found["state"].tolist() == [1, 2, 3, 0.5, 7, 8]
