"""Requests of published clients, read: arrays and images, keys and views, and everything that is broken."""

import base64
import json

import json_numpy
import msgpack
import numpy as np
import pytest
from client_requests import act, file_of, policy
from PIL import Image

from vlahub.conversion.serving import act_requests
from vlahub.conversion.serving.act_requests import read_act
from vlahub.conversion.serving.client_observations import observation_of_openpi
from vlahub.conversion.serving.json_values import encoded, json_object
from vlahub.conversion.serving.limits import Limits, image_array
from vlahub.conversion.serving.msgpack_values import packed, unpacked_map
from vlahub.conversion.serving.observation_map import read_map
from vlahub.conversion.serving.observed_views import views_of
from vlahub.conversion.serving.openpi_websocket import read_frame
from vlahub.errors import InputError

ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    np.float32(0.1) * np.arange(3, dtype=np.float32),
    np.arange(4)[::2],
    np.float32(0.1),
    np.int32(-7),
    np.array(True),
    np.zeros((0, 3)),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
]
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_arrays_are_those_of_json_numpy_and_of_msgpack_numpy(array):
    theirs = json_object(json_numpy.dumps({"a": [array]}))["a"][0]
    ours = json_numpy.loads(json.dumps(encoded({"a": [array]})))["a"][0]
    again = unpacked_map(packed({"a": array}))["a"]
    for found in (theirs, ours, again):
        assert found.dtype == array.dtype and np.array_equal(found, array)
    assert not array.ndim or (theirs.flags.writeable and again.flags.writeable)


def test_the_three_forms_and_the_double_encoding():
    fields = {"instruction": "lift", "unnorm_key": "a"}
    alone = act({"image": PICTURE, **fields}, policy(num_views=1, state_dim=None))
    assert np.array_equal(alone.observation["images"][0], PICTURE) and alone.observation["unnorm_key"] == "a"
    wrists = {"full_image": PICTURE, "left_wrist_image": PICTURE + 1, "right_wrist_image": PICTURE + 2}
    oft = act({**wrists, "state": np.zeros(8), "instruction": "lift"})
    assert [np.array_equal(oft.observation["images"][i], PICTURE + i) for i in range(3)] == [True] * 3
    texts = {name: json_numpy.dumps(value) for name, value in wrists.items()}  # single values, as its server takes
    again = act({**texts, "state": json_numpy.dumps(np.zeros(8)), "instruction": "lift"})
    assert np.array_equal(again.observation["images"], oft.observation["images"])
    assert np.array_equal(again.observation["state"], np.zeros(8))
    inside = act({"images": {name: texts[name] for name in wrists}, **fields}).observation["images"]
    assert all(np.array_equal(inside[name], image) for name, image in wrists.items())
    in_lines = base64.encodebytes(base64.b64decode(file_of(PICTURE))).decode()
    plain = act({"images": {"front": in_lines, "wrist": f"data:image/png;base64,{file_of(PICTURE)}"}, **fields})
    assert all(np.array_equal(image, PICTURE) for image in plain.observation["images"].values())
    double = act({"encoded": json_numpy.dumps({"image": PICTURE, **fields})})
    chunk = np.arange(14, dtype=np.float32).reshape(2, 7)
    answers = [each.answer(chunk, {"model": "m"}) for each in (alone, oft, plain, double)]
    assert np.array_equal(json_numpy.loads(json.dumps(answers[0])), chunk[0])
    assert np.array_equal(json_numpy.loads(json.dumps(answers[1])), chunk) and isinstance(answers[1], list)
    assert answers[2] == {"actions": chunk.tolist(), "model": "m"}
    assert isinstance(answers[3], str) and np.array_equal(json_numpy.loads(answers[3]), chunk[0])


@pytest.mark.parametrize("form", ["image", "full_image", "images"])
@pytest.mark.parametrize("begins", [None, False, True])
def test_a_session_and_its_beginning_are_of_the_request_and_not_of_the_observation(form, begins):
    fields = {form: [PICTURE] if form == "images" else PICTURE, "instruction": "lift", "session": "mine"}
    found = act(fields | ({} if begins is None else {"reset": begins}), policy(num_views=1, state_dim=None))
    assert (found.session, found.begins) == ("mine", bool(begins))
    assert not {"session", "reset"} & set(found.observation)


def test_a_plain_request_in_one_text_is_answered_in_one_text_with_all_that_is_said():
    found = act({"encoded": json_numpy.dumps({"images": [PICTURE], "instruction": "lift", "session": "a"})})
    answer = found.answer(np.float32([[0.5]]), {"model": "m"})
    assert json.loads(answer) == {"actions": [[0.5]], "model": "m"} and found.session == "a"


@pytest.mark.parametrize("form", ["image", "images"])
def test_an_array_may_have_its_channels_first_and_is_the_same_picture(form):
    """As openpi's clients of ALOHA send them; a picture that is higher than wide stays so."""
    first = PICTURE.transpose(2, 0, 1)
    asked = {"image": first} if form == "image" else {"images": {"front": first}}
    read = act(asked | {"instruction": "lift"}, policy(num_views=1, state_dim=None)).observation["images"]
    [seen] = read.values() if isinstance(read, dict) else read
    assert np.array_equal(seen, PICTURE) and PICTURE.shape[0] != PICTURE.shape[1]


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((4, 5, 3), (4, 5, 3)),
        ((3, 4, 5), (4, 5, 3)),
        ((3, 5, 3), (3, 5, 3)),  # three rows of pixels, and no channels in front
        ((4, 3, 5), None),
        ((0, 5, 3), None),
        ((3, 4, 0), None),
        ((1, 4, 5, 3), None),
        ((4, 6, 3), "has 4 x 6 pixels; at most 20 are read"),
    ],
)
def test_an_image_has_three_channels_behind_or_in_front_and_as_many_pixels_as_may_be(shape, seen):
    value = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    if isinstance(seen, tuple):
        found = image_array(value, "it", Limits(pixels=20))
        assert np.array_equal(found, value if seen == shape else value.transpose(1, 2, 0)) and found.shape == seen
        return
    with pytest.raises(InputError, match=seen or "an image is uint8 of shape"):
        image_array(value, "it", Limits(pixels=20))


def test_a_field_that_is_null_is_as_one_that_is_not_there():
    wanted = act({"image": PICTURE, "instruction": "lift"}, policy(num_views=1, state_dim=None))
    nulls = dict.fromkeys(("full_image", "images", "state", "unnorm_key", "session", "reset"))
    found = act({"image": PICTURE, "instruction": "lift", **nulls}, policy(num_views=1, state_dim=None))
    assert found.observation.keys() == wanted.observation.keys() and found.session is None and not found.begins
    assert np.array_equal(found.observation["images"], wanted.observation["images"])


def test_a_model_without_a_state_does_without_the_state_that_published_clients_send():
    assert act({"full_image": PICTURE, "state": [1.0]}, policy(state_dim=None)).observation["state"] is None


def described(shape, dtype="|u1", data=b"\0" * 12):
    return {"__numpy__": base64.b64encode(data).decode(), "dtype": dtype, "shape": shape}


BOMB = file_of(np.zeros((3000, 3000, 3), np.uint8))
BROKEN = {
    "is no JSON": b"{",
    "is a list; an object": b"[]",
    '"encoded" holds the whole request': json.dumps({"encoded": "{}", "image": 1}).encode(),
    '"encoded" is no JSON': json.dumps({"encoded": "nothing"}).encode(),
    "no base64: ": {"image": {**described([2, 2, 3]), "__numpy__": "äöü"}},
    "__numpy__ is no base64": {"image": {**described([2, 2, 3]), "__numpy__": "AAAA*AAAAAAAAAAAA"}},
    "dtype '|O'": {"image": described([2, 2, 3], "|O")},
    "dtype '<c8'": {"image": PICTURE, "state": described([1], "<c8", b"\0" * 8)},
    "shape [-1, -12]": {"image": described([-1, -12])},
    "shape [True, 12]": {"image": described([True, 12])},
    "dtype [['a', '<f4']]": {"image": described([3], [["a", "<f4"]])},
    "which does not exist": {"image": described([12], "<f3")},
    "shape [2, 2, 3] has 11 bytes": {"image": described([2, 2, 3], data=b"\0" * 11)},
    "shape [2, 2, 3] has 13 bytes": {"image": described([2, 2, 3], data=b"\0" * 13)},
    "shape [-1, 3]": {"image": described([-1, 3])},
    "shape 'x'": {"image": described("x")},
    "image 'image' is float64": {"image": PICTURE / 255},
    "image 'image' is uint8 of shape (8, 6)": {"image": PICTURE[..., 0]},
    "image 'image', frame 0 is a list": {"image": PICTURE.tolist()},
    "image 0, frame 0 is a list": {"images": [PICTURE.tolist()]},
    "cannot be read as PNG or JPEG": {"image": base64.b64encode(b"GIF89a, or what else").decode()},
    "image 'image' cannot be read as PNG or JPEG": {"image": file_of(PICTURE, "GIF")},
    "has 3000 x 3000 pixels; at most 1000000": {"image": BOMB},
    "is no base64 of a PNG or JPEG": {"image": "no picture"},
    "at most 2 images": {"images": [PICTURE] * 3},
    "image and full_image": {"image": PICTURE, "full_image": PICTURE},
    "the request holds gripper": {"image": PICTURE, "gripper": 1},
    "the request holds depth_image": {"image": PICTURE, "depth_image": PICTURE},
    "session is ''": {"image": PICTURE, "session": ""},
    "reset is True": {"image": PICTURE, "reset": True},
    "reset is 1": {"image": PICTURE, "session": "a", "reset": 1},
    "images is a int": {"images": 1},
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_cannot_be_read_is_refused_by_name(message):
    body = BROKEN[message]
    body = body if isinstance(body, bytes) else json_numpy.dumps(body).encode()
    with pytest.raises(InputError) as error:
        read_act(body, policy(), Limits(images=2, pixels=10**6), None)
    assert message in str(error.value)


def test_deep_json_is_refused_and_a_picture_is_not_decoded_before_its_size_is_known(monkeypatch):
    with pytest.raises(InputError, match="no JSON"):
        json_object("[" * 200_000)
    read = []
    monkeypatch.setattr(act_requests, "image_of", lambda value, where, limits: read.append(where))
    with pytest.raises(InputError, match="image 2: at most 2 images"):
        act({"images": [BOMB] * 100}, limits=Limits(images=2))
    assert len(read) == 2
    monkeypatch.undo()
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(InputError, match="pixels"):
        act({"image": BOMB}, limits=Limits(pixels=10**6))


BROKEN_FRAMES = [
    (b"\xc1", "no msgpack"),
    (b"\x91" * 100_000, "no msgpack: StackError"),
    (packed([1]), "is a list; a map"),
    (msgpack.packb({"a": {b"__ndarray__": True, b"data": b"", b"dtype": "|O", b"shape": [1]}}), "dtype '|O'"),
    (msgpack.packb({"a": {b"__ndarray__": True, b"data": b"123", b"dtype": "<f4", b"shape": [1]}}), "3 bytes"),
    (msgpack.packb({"a": {b"__ndarray__": True, b"data": "text", b"dtype": "<f4", b"shape": [1]}}), "data is a str"),
    (msgpack.packb({"a": {b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}}), "which is none"),
    (msgpack.packb({"a": {b"__npgeneric__": True, b"data": 3, b"dtype": "|O"}}), "dtype '|O', which is none"),
    (msgpack.packb({"a": {b"__npgeneric__": True, b"data": 3, b"dtype": "<M8[s]"}}), "which is none"),
    (msgpack.packb({"a": {b"__npgeneric__": True, b"data": 300, b"dtype": "|i1"}}), "which |i1 cannot hold"),
    (msgpack.packb({"a": {b"__npgeneric__": True, b"data": float("nan"), b"dtype": "<i8"}}), "which <i8 cannot hold"),
    (packed({"a": np.zeros(9)})[:-3], "no msgpack"),
]


@pytest.mark.parametrize(("frame", "message"), BROKEN_FRAMES, ids=[message for _, message in BROKEN_FRAMES])
def test_a_frame_that_cannot_be_read_is_refused(frame, message):
    with pytest.raises(InputError) as error:
        unpacked_map(frame)
    assert message in str(error.value)


VIEWS = [
    (["full_image", "wrist_image"], None, ["full_image", "wrist_image"]),
    (["wrist_image", "full_image"], None, ["full_image", "wrist_image"]),
    (["image", "wrist_image"], ["wrist_image", "image"], {"wrist_image": "wrist_image", "image": "image"}),
    (["image", "wrist_image"], ["left_wrist", "primary"], {"left_wrist": "wrist_image", "primary": "image"}),
    (["a", "b"], ["b", "a"], {"b": "b", "a": "a"}),
    (["observation.images.front"], ["front"], {"front": "front"}),
    (["observation.images.a", "b"], ["b", "a"], {"b": "b", "a": "a"}),
    (["b", "observation.images.b"], ["b"], "is the same one"),
    (["full_image"], ["front"], {"front": "full_image"}),
    (["Wrist", "full_image"], None, ["full_image", "Wrist"]),
    (
        ["full_image", "Wrist_RIGHT", "Wrist_LEFT"],
        ["top", "wrist_left", "wrist_right"],
        {"top": "full_image", "wrist_left": "Wrist_LEFT", "wrist_right": "Wrist_RIGHT"},
    ),
    (["full_image", "left_wrist", "right_wrist"], None, "records no names"),
    (["full_image", "other_image"], None, "records no names"),
    (
        ["full_image", "right_wrist_image", "left_wrist_image"],
        ["top", "wrist_left", "wrist_right"],
        {"top": "full_image", "wrist_left": "left_wrist_image", "wrist_right": "right_wrist_image"},
    ),
    (["full_image", "wrist_image", "left_wrist_image"], ["top", "wrist_left", "wrist_right"], "by these names"),
    (["full_image", "wrist_a", "wrist_b"], ["top", "wrist_c", "wrist_d"], "by these names"),
    (["full_image", "left_right_wrist", "right_wrist"], ["top", "wrist_left", "wrist_right"], "by these names"),
    (["full_image", "right_wrist_image"], ["top", "wrist_left"], "by these names"),
    (["full_image"], ["wrist"], "by these names"),
    (["full_image", "wrist_image"], ["front"], "by these names"),
    (["full_image"], ["front", "wrist"], "by these names"),
    ([], ["front"], "by these names"),
]


@pytest.mark.parametrize(("given", "names", "wanted"), VIEWS)
def test_images_are_views_by_name_or_by_being_the_only_one_of_their_kind(given, names, wanted):
    if not isinstance(wanted, str):
        assert views_of({name: name.removeprefix("observation.images.") for name in given}, names) == wanted
        return
    with pytest.raises(InputError) as error:
        views_of(dict.fromkeys(given), names)
    assert wanted in str(error.value)


def read(value, where):
    return value


STATE = np.arange(8.0)
OPENPI = {
    "libero": ({"observation/image": 1, "observation/wrist_image": 2, "observation/state": STATE}, [1, 2]),
    "droid": (
        {
            "observation/exterior_image_1_left": 1,
            "observation/wrist_image_left": 2,
            "observation/joint_position": STATE[:7],
            "observation/gripper_position": STATE[7:],
        },
        [1, 2],
    ),
    "aloha": ({"images": {"cam_high": 1, "cam_left_wrist": 2}, "state": STATE}, [1, 2]),
    "lerobot": ({"observation.images.image": 1, "observation.state": STATE}, [1]),
}


@pytest.mark.parametrize("client", OPENPI)
def test_the_keys_of_openpis_clients(client):
    given, images = OPENPI[client]
    found = observation_of_openpi({**given, "prompt": "lift", "seed": 3}, policy(), read)
    assert found["images"] == images and np.array_equal(found["state"], STATE)
    assert found["instruction"] == "lift" and found["seed"] == 3
    with pytest.raises(InputError, match=r"holds \['observation/depth'\], unknown here: --observation-map"):
        observation_of_openpi({**given, "prompt": "lift", "observation/depth": 3}, policy(), read)
    with pytest.raises(InputError, match="more than one instruction or state"):
        observation_of_openpi({**given, "prompt": "lift", "task": "drop"}, policy(), read)
    other = {"observation/state": STATE} if "state" in given else {"state": STATE}
    with pytest.raises(InputError, match="more than one instruction or state"):
        observation_of_openpi({**given, **other, "prompt": "lift"}, policy(), read)


@pytest.mark.parametrize("twin", ["observation.images.wrist_image", "images/wrist_image", "images"])
def test_one_image_under_two_names_is_refused_and_neither_is_taken_for_the_other(twin):
    given, _ = OPENPI["libero"]
    more = {twin: {"wrist_image": 3} if twin == "images" else 3}
    with pytest.raises(InputError, match="one image under two names"):
        observation_of_openpi({**given, **more, "prompt": "lift"}, policy(), read)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"observation/image": 1, "observation/joint_position": STATE[:7]}, r"holds \['observation/joint_position'\]"),
        ({"observation/image": 1, "front_image": 2}, r"holds \['front_image'\], unknown here"),
        ({"images": {"top": 1, "left_wrist": 2, "right_wrist": 3}}, "records no names of views"),
        ({"images": [1, 2]}, "images is a list; a mapping of name to image is needed"),
    ],
)
def test_what_no_client_of_openpi_sends_is_refused_and_not_guessed(given, message):
    with pytest.raises(InputError, match=message):
        observation_of_openpi({**given, "prompt": "lift"}, policy(num_views=None), read)


def test_a_state_that_openpis_client_sends_is_not_for_a_model_without_one():
    given, _ = OPENPI["lerobot"]
    assert observation_of_openpi({**given, "prompt": "lift"}, policy(state_dim=None), read)["state"] is None


def test_a_stack_of_images_is_the_frames_of_one_camera():
    stack = np.stack([PICTURE, PICTURE + 1])
    found = act({"images": {"front": stack, "wrist": [PICTURE, PICTURE]}, "instruction": "lift"}).observation["images"]
    assert isinstance(found["front"], list) and np.array_equal(found["front"], stack) and len(found["wrist"]) == 2


CHOICES = {"unnorm_key": "a", "advantage": "good", "embodiment_id": 2, "seed": 3}


@pytest.mark.parametrize("form", ["plain", "openvla", "openpi", "mapped openpi", "mapped act"])
def test_what_any_client_may_choose_reaches_the_model_whatever_its_form(form, tmp_path):
    (tmp_path / "map.yaml").write_text("images: [cam]\nstate: s\ninstruction: task")
    by = read_map(tmp_path / "map.yaml")
    one = policy(num_views=1)
    if form.startswith("mapped"):
        fields = {"cam": PICTURE, "s": np.zeros(8), "task": "lift", **CHOICES}
        is_frame = form.endswith("openpi")
        found = read_frame(packed(fields), one, Limits(), by) if is_frame else act(fields, one, by=by).observation
    elif form == "openpi":
        given = {"observation/image": PICTURE, "observation/state": np.zeros(8), "prompt": "lift", **CHOICES}
        found = read_frame(packed(given), one, Limits(), None)
    else:
        image = {"images": [PICTURE]} if form == "plain" else {"image": PICTURE}
        found = act({**image, "state": [0.0] * 8, "instruction": "lift", **CHOICES}, one).observation
    assert {name: found.get(name) for name in CHOICES} == CHOICES and found["instruction"] == "lift"
    assert np.array_equal(found["images"], [PICTURE])


def test_a_client_may_pack_its_keys_as_bytes():
    given = {b"observation/image": PICTURE, b"observation/state": np.zeros(8), b"prompt": "lift"}
    found = read_frame(packed(given), policy(num_views=1), Limits(), None)
    assert found["instruction"] == "lift" and np.array_equal(found["images"], [PICTURE])
