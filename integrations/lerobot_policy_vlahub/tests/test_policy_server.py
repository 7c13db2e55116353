"""LeRobot's asynchronous inference: its own server refuses plugins by a list; ours answers as the policy does."""

import pickle
import time
from concurrent import futures
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import torch
from lerobot.async_inference.configs import PolicyServerConfig
from lerobot.async_inference.constants import SUPPORTED_POLICIES
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedObservation
from lerobot.async_inference.policy_server import PolicyServer
from lerobot.transport import services_pb2, services_pb2_grpc
from lerobot.transport.utils import send_bytes_in_chunks
from lerobot_policy_vlahub.__main__ import write_policy
from lerobot_policy_vlahub.modeling_vlahub import VlahubPolicy
from lerobot_policy_vlahub.policy_server import VlahubPolicyServer
from observations import HEIGHT, TASKS, WIDTH, predicted_by_vlahub, seen

JOINTS = [f"joint_{i}.pos" for i in range(8)]
IMAGE = {"dtype": "image", "shape": (HEIGHT, WIDTH, 3), "names": ["height", "width", "channels"]}
ROBOT = {
    "observation.state": {"dtype": "float32", "shape": (8,), "names": JOINTS},
    "observation.images.primary": IMAGE,
    "observation.images.wrist": IMAGE,
}


@pytest.fixture
def policy_folder(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint("cogvla", processor={"view_names": ["primary", "wrist"]})
    write_policy(tmp_path / "policy", checkpoint=str(checkpoint))
    return tmp_path / "policy"


def test_lerobots_own_server_refuses_the_policy_and_ours_takes_it(policy_folder):
    """When LeRobot's takes plugins, ours is no longer needed."""
    wanted = RemotePolicyConfig("vlahub", str(policy_folder), ROBOT, 3, "cpu")
    request, peer = SimpleNamespace(data=pickle.dumps(wanted)), SimpleNamespace(peer=lambda: "here")
    SUPPORTED_POLICIES[:] = [name for name in SUPPORTED_POLICIES if name != "vlahub"]
    with pytest.raises(ValueError, match="Policy type vlahub not supported"):
        PolicyServer(PolicyServerConfig()).SendPolicyInstructions(request, peer)
    server = VlahubPolicyServer(PolicyServerConfig())
    server.SendPolicyInstructions(request, peer)
    assert isinstance(server.policy, VlahubPolicy)


def test_a_robots_client_gets_the_chunk_of_its_observation(policy_folder):
    """Over loopback, with LeRobot's messages: instructions, an observation in pieces, actions."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    own = VlahubPolicyServer(PolicyServerConfig(inference_latency=0))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(own, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            actions = asked(services_pb2_grpc.AsyncInferenceStub(channel), policy_folder, seen(1))
    finally:
        server.stop(None)
    expected = predicted_by_vlahub(own.policy, seen(1), TASKS[:1])[0, :3]
    assert torch.equal(torch.stack(actions), expected)


def asked(stub, folder, observation):
    """The actions for one observation, as LeRobot's robot client asks."""
    stub.Ready(services_pb2.Empty())
    wanted = RemotePolicyConfig("vlahub", str(folder), ROBOT, 3, "cpu")
    stub.SendPolicyInstructions(services_pb2.PolicySetup(data=pickle.dumps(wanted)))
    raw = dict(zip(JOINTS, observation["agent_pos"][0].tolist(), strict=True)) | {"task": TASKS[0]}
    raw |= {name: image[0] for name, image in observation["pixels"].items()}
    message = pickle.dumps(TimedObservation(time.time(), 0, raw, must_go=True))
    stub.SendObservations(send_bytes_in_chunks(message, services_pb2.Observation))
    found = pickle.loads(stub.GetActions(services_pb2.Empty()).data)
    return [timed.get_action() for timed in found]


def test_images_keep_the_size_of_the_robots_cameras(policy_folder):
    own = VlahubPolicyServer(PolicyServerConfig())
    own.policy, own.lerobot_features = VlahubPolicy.from_pretrained(policy_folder), ROBOT
    assert {feature.shape for feature in own.policy_image_features.values()} == {(3, HEIGHT, WIDTH)}
    assert np.prod(own.policy.config.image_features["observation.images.primary"].shape) == 0
