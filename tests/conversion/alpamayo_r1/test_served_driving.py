"""A served Alpamayo-R1 gives the trajectories of `sample_trajectories`, and refuses what is no scene."""

import json

import json_numpy
import numpy as np
import pytest
import torch
from families import FAMILIES

from vlahub.conversion.alpamayo_r1.served_driving import driving_policy_of
from vlahub.conversion.serving.act_requests import read_act
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.openpi_websocket import read_frame
from vlahub.errors import InputError

SAMPLING = {"num_traj_samples": 2, "top_k": 1, "max_new_tokens": 4}
VIEWS = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
XYZ = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1)
SCENE = {"ego_history_xyz": XYZ, "ego_history_rot": np.tile(np.eye(3), (16, 1, 1))}


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    made = driving_policy_of(FAMILIES["alpamayo_r1"].make(tmp_path_factory.mktemp("driver")))
    made.load("cpu")
    return made


def read(policy, **changes):
    fields = {"images": [[view] for view in VIEWS], **SCENE, **SAMPLING, **changes}
    return read_act(json_numpy.dumps(fields).encode(), policy, Limits(), None)


def test_a_scene_gives_bit_for_bit_what_sample_trajectories_gives(policy):
    inputs = policy.processor(images=VIEWS.transpose(0, 3, 1, 2)[:, None], **SCENE)
    torch.manual_seed(7)
    wanted = policy.model.sample_trajectories(**inputs, **SAMPLING)
    for images in ([[view] for view in VIEWS], VIEWS[:, None], list(VIEWS)):
        act, others = read(policy, images=images, seed=7), torch.get_rng_state()
        (found,) = policy.predicted([policy.prepared(act.observation)])
        assert torch.equal(torch.get_rng_state(), others)
        assert np.array_equal(found["pred_xyz"], wanted.pred_xyz[0, 0].numpy())
    answer = json.loads(json.dumps(act.answer(found, {"model": "m"})))
    assert np.shape(answer["pred_xyz"]) == (2, policy.model.config.num_action_chunks, 3) and answer["model"] == "m"
    assert answer["reasoning"] == list(wanted.reasoning[0][0]) and len(answer["has_start_token"]) == 2
    assert policy.facts()["answers"] == "trajectories" and policy.facts()["num_history_poses"] == 16
    (first,) = policy.predicted([policy.prepared(policy.blank())])
    assert np.isfinite(first["pred_xyz"]).all()


def test_poses_are_those_of_the_processor_with_turns_too(policy, monkeypatch):
    """Four tokens a pose: 12 poses are 48 placeholders."""
    monkeypatch.setattr(policy.processor, "history_token_config", {"predict_yaw": True})
    scene = {"ego_history_xyz": XYZ[4:], "ego_history_rot": SCENE["ego_history_rot"][4:]}
    assert policy.facts()["num_history_poses"] == policy.num_poses == 12
    assert policy.prepared(read(policy, **scene).observation)
    with pytest.raises(InputError, match=r"64 tokens; .* with 4 tokens a pose, give 12 poses"):
        policy.processor(images=VIEWS.transpose(0, 3, 1, 2)[:, None], **SCENE)


REFUSED = {
    "the scene lacks images": {"images": None},
    "ego_history_xyz holds values that are not finite": {"ego_history_xyz": np.full((16, 3), np.nan)},
    "ego_history_xyz has shape (15, 3)": {"ego_history_xyz": XYZ[1:]},
    "ego_history_xyz has shape none": {"ego_history_xyz": [[1.0], [1.0, 2.0]]},
    "ego_history_rot": {"ego_history_rot": np.zeros((16, 3, 3))},
    "the scene holds instruction": {"instruction": "left"},
    "num_traj_samples is 65": {"num_traj_samples": 65},
    "max_new_tokens is 2.5": {"max_new_tokens": 2.5},
    "temperature is inf": {"temperature": float("inf")},
    "text is '  '": {"text": "  "},
    "advantage is [['a']]": {"advantage": [["a"]]},
    "history_frame is array": {"history_frame": XYZ},
    "top_p is 'all'": {"top_p": "all"},
    "seed is -1": {"seed": -1},
    "this model drives": {"session": "car"},
    "ask by images and ego_history_xyz": {"full_image": VIEWS[0]},
    "image 0, frame 0 is float64": {"images": [[VIEWS[0] / 255]]},
    "at most 16 images": {"images": [[VIEWS[0]] * 9] * 2},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_scene_is_refused_by_name(message, policy):
    with pytest.raises(InputError) as error:
        policy.prepared(read(policy, **REFUSED[message]).observation)
    assert message in str(error.value)


def test_openpis_protocol_and_statistics_are_of_robots(policy):
    with pytest.raises(InputError, match="ask by POST /act"):
        read_frame(b"", policy, Limits(), None)
    with pytest.raises(InputError, match="drives, and has no statistics"):
        policy.check_unnorm_key("a")
