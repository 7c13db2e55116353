"""Evaluation loops as they were published, against a server of a checkpoint: the robot does what `predict_action` says.

Each loop has the robot that it was written for, with a small untrained composed model.
"""

import importlib.util
import json
import sys
from types import ModuleType

import json_numpy
import numpy as np
import pytest
import transformers
from running_server import Running
from tiny_configs import bounds
from tiny_models import write_model

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.conversion.serving.robot_policy import robot_policy_of

pytest.importorskip("openpi_client", reason="it needs numpy below 2: pip install --no-deps openpi-client")
import published_scripts
from openpi_client.runtime.agents.policy_agent import PolicyAgent
from openpi_client.runtime.runtime import Runtime
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from published_scripts import AlohaEnvironment, Scenes

TASK = "pick up the bowl"
IMAGE = (48, 64)
ARMS = ["cam_high", "cam_left_wrist", "cam_right_wrist"]
ROBOTS = {  # views, state, actions, actions of a chunk
    "libero": (["image", "wrist_image"], 8, 7, 5),
    "droid": (["exterior_image_1_left", "wrist_image_left"], 8, 8, 10),
    "aloha": (["cam_high", "cam_low", *ARMS[1:]], 14, 14, 6),
    "oft aloha": (ARMS, 14, 14, 6),
    "openvla": (None, None, 7, 1),
}


def make_policy(folder, views, state, actions, steps):
    """A composed model of a robot, loaded."""
    statistics = {"demo": {"action": bounds(actions)} | ({"proprio": bounds(state)} if state else {})}
    robot = {"action_dim": actions, "num_action_chunks": steps, "norm_stats": statistics}
    robot |= {"use_state": True, "state_dim": state} if state else {"use_state": False, "state_dim": None}
    write_model("multimodal_vla", folder, **robot)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.norm_stats, processor.view_names = statistics, views
    processor.save_pretrained(folder)
    policy = robot_policy_of(folder)
    policy.load("cpu", quiet=True)
    return policy


@pytest.fixture
def served(request, tmp_path):
    """A server of a robot's policy, and the policy."""
    policy = make_policy(tmp_path, *ROBOTS[request.param])
    service = PredictionService()
    service.add("m", policy, Batching(), ActionSessions(), instruction=TASK if request.param == "aloha" else None)
    running = Running(service)
    yield running, policy
    running.stop()


@pytest.fixture
def patched(monkeypatch):
    """What `json_numpy.patch()` does."""
    for name in ("dumps", "loads"):
        monkeypatch.setattr(json, name, getattr(json_numpy, name))


def wanted(policy, images, state=None):
    given = {"images": images, "instruction": TASK, "state": state}
    return policy.predicted([policy.prepared(given)])[0]


def client_of(running):
    host, port = running.url.removeprefix("http://").split(":")
    return WebsocketClientPolicy(host, int(port))


def of(name):
    return pytest.mark.parametrize("served", [name], indirect=True)


@of("libero")
def test_openpis_libero_loop(served):
    running, policy = served
    sizes = {"agentview": IMAGE, "eye_in_hand": IMAGE, "eef_pos": (3,), "axis_angle": (3,), "gripper_qpos": (2,)}
    scenes = Scenes(sizes)
    published_scripts.libero(client_of(running), scenes, TASK, steps=7, replan_steps=3)
    chunks = [
        wanted(policy, [each["observation/image"], each["observation/wrist_image"]], each["observation/state"])
        for each in scenes.asked
    ]
    assert len(chunks) == 3 and np.array_equal(scenes.actions, np.concatenate([chunk[:3] for chunk in chunks])[:7])


@of("droid")
def test_openpis_droid_loop(served):
    running, policy = served
    sizes = {"left_image": IMAGE, "wrist_image": IMAGE, "joint_position": (7,), "gripper_position": (1,)}
    scenes = Scenes(sizes)
    published_scripts.droid(client_of(running), scenes, TASK, steps=10, open_loop_horizon=8, shape=(10, 8))
    views = ("observation/exterior_image_1_left", "observation/wrist_image_left")
    parts = ("observation/joint_position", "observation/gripper_position")
    chunks = [
        wanted(policy, [each[view] for view in views], np.concatenate([each[part] for part in parts]))
        for each in scenes.asked
    ]
    done = np.concatenate([chunks[0][:8], chunks[1][:2]])
    assert np.array_equal(np.array(scenes.actions)[:, :7], np.clip(done[:, :7], -1, 1).astype(np.float64))


@pytest.fixture
def broker(monkeypatch):
    """The real ActionChunkBroker; where dm-tree is not there, which it needs, its one function is put in its place."""
    if importlib.util.find_spec("tree") is None:
        tree = ModuleType("tree")
        tree.map_structure = map_structure
        monkeypatch.setitem(sys.modules, "tree", tree)
    return importlib.import_module("openpi_client.action_chunk_broker").ActionChunkBroker


def map_structure(function, value):
    if isinstance(value, dict):
        return {name: map_structure(function, each) for name, each in value.items()}
    return function(value)


@of("aloha")
def test_openpis_aloha_runtime_whose_observations_have_no_prompt(served, broker):
    running, policy = served
    client = client_of(running)
    facts = client.get_server_metadata()
    assert facts["instruction"] == TASK
    scenes = Scenes(dict.fromkeys(ROBOTS["aloha"][0], IMAGE) | {"qpos": (14,)})
    environment = AlohaEnvironment(scenes, steps=5, reset_position=facts.get("reset_pose"))
    agent = PolicyAgent(policy=broker(policy=client, action_horizon=4))
    Runtime(environment, agent, subscribers=[], num_episodes=2).run()
    planned = [scenes.asked[i] for i in (0, 4, 5, 9)]  # a new episode begins with a new chunk
    chunks = [
        wanted(policy, {name: np.moveaxis(image, 0, -1) for name, image in each["images"].items()}, each["state"])
        for each in planned
    ]
    done = [chunk[:count] for chunk, count in zip(chunks, (4, 1, 4, 1), strict=True)]
    assert len(scenes.asked) == 10 and np.array_equal(scenes.actions, np.concatenate(done))


@of("oft aloha")
def test_openvla_ofts_aloha_loop(served, patched):
    running, policy = served
    scenes = Scenes(dict.fromkeys(ARMS, IMAGE) | {"qpos": (14,)})
    published_scripts.oft_aloha(running.url, scenes, TASK, steps=8, open_loop_steps=6)
    names = ("full_image", "left_wrist_image", "right_wrist_image")
    chunks = [wanted(policy, [each[name] for name in names], each["state"]) for each in scenes.asked]
    assert np.array_equal(scenes.actions, np.concatenate([chunks[0], chunks[1][:2]]))


@of("openvla")
def test_openvlas_loop(served, patched):
    running, policy = served
    scenes = Scenes({"image": IMAGE})
    published_scripts.openvla(running.url, scenes, TASK, steps=3, unnorm_key="demo")
    assert np.array_equal(scenes.actions, [wanted(policy, [each["image"]])[0] for each in scenes.asked])
