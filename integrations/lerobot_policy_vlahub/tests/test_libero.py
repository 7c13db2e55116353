"""LIBERO's observations and actions, with LeRobot's own config and step; the simulator itself is not needed."""

import numpy as np
import pytest
import torch
from lerobot.envs.configs import LiberoEnv
from lerobot.policies.act.modeling_act import ACTTemporalEnsembler
from lerobot.processor.env_processor import LiberoProcessorStep
from lerobot_lines import env_to_policy_features
from observations import TASKS, as_lerobot, policy_of, predicted_by_vlahub, seen

from vlahub.errors import VLAError

VIEWS = {"primary": "observation.images.image", "wrist": "observation.images.image2"}


def libero_policy(checkpoint, **fields):
    """A policy as `lerobot-eval --env.type=libero` makes it; its features have the state in parts."""
    features = env_to_policy_features(LiberoEnv())
    del features["action"]
    return policy_of(checkpoint, features, views=VIEWS, **fields)


def observed(count):
    """What LIBERO gives, upside down, and the same as a checkpoint learnt it."""
    learnt, draws = seen(count), np.random.default_rng(1)
    pose, fingers = (torch.tensor(draws.normal(size=(count, n)), dtype=torch.float32) for n in (3, 2))
    turned = {name: np.ascontiguousarray(image[:, ::-1, ::-1]) for name, image in learnt["pixels"].items()}
    given = as_lerobot({"pixels": {"image": turned["primary"], "image2": turned["wrist"]}}, TASKS[:count])
    half = torch.tensor([0.0, 0.0, np.sin(0.2), np.cos(0.2)], dtype=torch.float32)  # x, y, z, w
    eef = {"pos": pose, "quat": half.expand(count, 4)}
    given["observation.robot_state"] = {"eef": eef, "gripper": {"qpos": fingers}}
    turn = torch.tensor([[0.0, 0.0, 0.4]]).expand(count, 3)
    return given, learnt | {"agent_pos": torch.cat([pose, turn, fingers], dim=1).numpy()}


def test_a_checkpoint_sees_libero_as_it_learnt_it(make_checkpoint):
    policy, before, _ = libero_policy(make_checkpoint("cogvla"))
    given, learnt = observed(2)
    chunk = policy.predict_action_chunk(before(LiberoProcessorStep().observation(given)))
    torch.testing.assert_close(chunk, predicted_by_vlahub(policy, learnt, TASKS), rtol=1e-4, atol=1e-5)
    assert list(policy.config.input_features) == [*VIEWS.values(), "observation.state"]


def test_a_state_that_is_joined_of_other_parts_is_refused_with_the_first_observation(make_checkpoint):
    policy, before, _ = libero_policy(make_checkpoint("cogvla"))
    given, _ = observed(1)
    given["observation.robot_state"]["gripper"]["qpos"] = torch.zeros(1, 1)
    with pytest.raises(VLAError, match=r"observation.state has the shape \(1, 7\).*\(batch, 8\)"):
        policy.select_action(before(LiberoProcessorStep().observation(given)))


def published(action):
    """`normalize_gripper_action(binarize=True)` and `invert_gripper_action` of OpenVLA, by hand."""
    action = np.array(action)
    action[..., -1] = -np.sign(2 * (action[..., -1] - 0.0) / (1.0 - 0.0) - 1)
    return action


def test_libero_is_told_openvlas_gripper_in_its_own_units(make_checkpoint):
    """Also of averages over chunks: what is averaged are predictions, and not signs."""
    checkpoint = make_checkpoint("cogvla")
    policy, before, _ = policy_of(checkpoint, openvla_gripper=True)
    averaging, *_ = policy_of(checkpoint, openvla_gripper=True, temporal_ensemble_coeff=0.5)
    average = ACTTemporalEnsembler(0.5, 4)
    for seed in range(3):
        batch, wanted = (
            before(as_lerobot(seen(1, seed), TASKS[:1])),
            predicted_by_vlahub(policy, seen(1, seed), TASKS[:1]),
        )
        assert set(published(wanted)[..., -1].ravel()) <= {-1, 1}
        assert np.array_equal(policy.predict_action_chunk(batch), published(wanted))
        policy.reset()
        assert np.array_equal(policy.select_action(batch), published(wanted)[:, 0])
        assert np.array_equal(averaging.select_action(batch), published(average.update(wanted)))


def test_openvlas_gripper_is_not_for_training(make_checkpoint):
    policy, *_ = policy_of(make_checkpoint("cogvla"), openvla_gripper=True)
    with pytest.raises(VLAError, match="openvla_gripper=True: what is learnt is the dataset's gripper"):
        policy.get_optim_params()
