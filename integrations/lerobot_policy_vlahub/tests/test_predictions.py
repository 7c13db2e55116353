"""A policy gives the actions of the checkpoint's own model and processor, bit for bit, as LeRobot's scripts ask it."""

import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.modeling_act import ACTTemporalEnsembler
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from lerobot_policy_vlahub.modeling_vlahub import VlahubPolicy
from observations import FEATURES, TASKS, as_lerobot, policy_of, predicted_by_vlahub, seen

from vlahub.errors import VLAError

IMAGE = PolicyFeature(FeatureType.VISUAL, (3, 64, 80))


def test_lerobot_finds_config_policy_and_processors_by_their_names():
    assert "vlahub" in PreTrainedConfig.get_known_choices()
    assert get_policy_class("vlahub") is VlahubPolicy
    config = make_policy_config("vlahub", checkpoint="here", device="cpu", input_features=FEATURES)
    before, after = make_pre_post_processors(config)
    assert [type(step).__name__ for step in before.steps][:2] == [
        "RenameObservationsProcessorStep",
        "AddBatchDimensionProcessorStep",
    ]
    assert len(after.steps) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_the_chunk_is_that_of_the_checkpoint_for_every_family(robot_checkpoint, count):
    policy, before, after = policy_of(robot_checkpoint)
    observation, tasks = seen(count), TASKS[:count]
    expected = predicted_by_vlahub(policy, observation, tasks)
    batch = before(as_lerobot(observation, tasks))
    torch.manual_seed(0)
    chunk = policy.predict_action_chunk(batch)
    torch.manual_seed(0)
    first = after(policy.select_action(batch))
    assert torch.equal(chunk, expected) and torch.equal(first, expected[:, 0])
    assert chunk.shape == (count, 4, 7) and first.dtype == torch.float32


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("cogvla", {"action_head": "diffusion"}),
        ("cogvla", {"action_head": "discrete"}),
        ("multimodal_vla", {"action_head": "flow"}),
    ],
)
def test_heads_that_draw_repeat_with_a_seed_and_take_noise(make_checkpoint, family, fields):
    policy, before, _ = policy_of(make_checkpoint(family, **fields))
    observation = seen(1)
    batch = before(as_lerobot(observation, TASKS[:1]))
    torch.manual_seed(5)
    assert torch.equal(policy.predict_action_chunk(batch), predicted_by_vlahub(policy, observation, TASKS[:1], seed=5))
    if fields["action_head"] != "discrete":
        noise = torch.randn(1, 4, 7)
        assert torch.equal(
            policy.predict_action_chunk(batch, noise=noise), policy.predict_action_chunk(batch, noise=noise)
        )


def test_the_queue_gives_as_many_actions_of_a_chunk_as_are_executed(make_checkpoint):
    policy, before, _ = policy_of(make_checkpoint("cogvla"), n_action_steps=2)
    batches = [before(as_lerobot(seen(2, seed), TASKS)) for seed in range(3)]
    chunks = [policy.predict_action_chunk(batch) for batch in batches]
    found = [policy.select_action(batch) for batch in batches]
    assert torch.equal(torch.stack(found), torch.stack([chunks[0][:, 0], chunks[0][:, 1], chunks[2][:, 0]]))
    policy.reset()
    assert torch.equal(policy.select_action(batches[1]), chunks[1][:, 0])


def test_actions_of_another_task_are_never_given(make_checkpoint):
    policy, before, _ = policy_of(make_checkpoint("cogvla"))
    policy.select_action(before(as_lerobot(seen(1), TASKS[:1])))
    other = before(as_lerobot(seen(1, 1), TASKS[1:]))
    assert torch.equal(policy.select_action(other), policy.predict_action_chunk(other)[:, 0])


def test_temporal_ensembling_is_that_of_act(make_checkpoint):
    policy, before, _ = policy_of(make_checkpoint("cogvla"), temporal_ensemble_coeff=0.01)
    acts, batches = ACTTemporalEnsembler(0.01, 4), [before(as_lerobot(seen(1, seed), TASKS[:1])) for seed in range(3)]
    for batch in batches:
        assert torch.equal(policy.select_action(batch), acts.update(policy.predict_action_chunk(batch)))


def test_an_instruction_takes_the_place_of_the_environments(make_checkpoint):
    policy, before, _ = policy_of(make_checkpoint("cogvla"), instruction=TASKS[1])
    expected = predicted_by_vlahub(policy, seen(1), TASKS[1:])
    assert torch.equal(policy.predict_action_chunk(before(as_lerobot(seen(1), [""]))), expected)
    policy.config.instruction = None
    with pytest.raises(VLAError, match=r"tasks of 1 observations are \[''\].*--policy.instruction"):
        policy.select_action(before(as_lerobot(seen(1), [""])))


def test_views_of_other_names_are_mapped_in_the_order_of_training(make_checkpoint):
    checkpoint = make_checkpoint("cogvla", processor={"view_names": ["primary", "wrist"]})
    features = {
        "observation.images.left": IMAGE,
        "observation.image": IMAGE,
        "observation.state": FEATURES["observation.state"],
    }
    views = {"wrist": "observation.images.left", "primary": "observation.image"}
    policy, before, _ = policy_of(checkpoint, features, views=views)
    observation = seen(1)
    batch = as_lerobot(observation, TASKS[:1])
    names = {"observation.image": "observation.images.primary", "observation.images.left": "observation.images.wrist"}
    batch = {other: batch[name] for other, name in names.items()} | {
        name: batch[name] for name in ("observation.state", "task")
    }
    assert torch.equal(policy.predict_action_chunk(before(batch)), predicted_by_vlahub(policy, observation, TASKS[:1]))
    assert list(policy.config.input_features) == [*names, "observation.state"]


@pytest.mark.parametrize("family", ["cogvla", "multimodal_vla"])
def test_one_camera_may_be_several_views(make_checkpoint, family, tmp_path):
    """Of a model that sees any number of views, too, which would not miss one."""
    features = {name: FEATURES[name] for name in ("observation.images.primary", "observation.state")}
    views = dict.fromkeys(("primary", "wrist"), "observation.images.primary")
    policy, before, _ = policy_of(make_checkpoint(family), features, views=views)
    observation = seen(1)
    batch = before(as_lerobot(observation, TASKS[:1]))
    observation["pixels"]["wrist"] = observation["pixels"]["primary"]
    expected = predicted_by_vlahub(policy, observation, TASKS[:1])
    assert torch.equal(policy.predict_action_chunk(batch), expected)
    policy.save_pretrained(tmp_path / "policy")
    assert torch.equal(VlahubPolicy.from_pretrained(tmp_path / "policy").predict_action_chunk(batch), expected)


@pytest.mark.parametrize(
    ("features", "fields", "message"),
    [
        ({"observation.images.a": IMAGE, "observation.images.b": IMAGE}, {}, "observation.images.b.*--policy.views"),
        ({"observation.images.primary": IMAGE}, {}, "observation.images.primary.*--policy.views"),
        ({}, {"views": {"primary": "observation.images.top"}}, "names \\['observation.images.top'\\]"),
        ({}, {"views": {"front": "observation.images.wrist"}}, "views \\['front'\\].*\\['primary', 'wrist'\\]"),
        (
            {"observation.state": PolicyFeature(FeatureType.STATE, (6,))},
            {},
            "observation.state has the shape \\(6,\\).*8",
        ),
        ({"observation.state": None}, {}, "no feature 'observation.state'"),
        ({}, {"state_feature": "observation.pose"}, "no feature 'observation.pose'"),
        ({}, {"n_action_steps": 5}, "n_action_steps=5: a chunk of this checkpoint has 4"),
        ({}, {"chunk_size": 8}, "chunk_size=8: this checkpoint predicts chunks of 4"),
        ({}, {"unnorm_key": "other"}, "other.*drawn"),
        ({}, {"n_obs_steps": 2}, "n_obs_steps=2"),
        ({}, {"n_action_steps": 0}, "n_action_steps=0"),
        ({}, {"instruction": " "}, "instruction=' ' says nothing"),
        ({}, {"dtype": "float8"}, "dtype='float8' is unknown"),
        ({}, {"temporal_ensemble_coeff": 0.1, "n_action_steps": 2}, "n_action_steps=2 has no effect"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused_by_name(make_checkpoint, features, fields, message):
    checkpoint = make_checkpoint("cogvla", processor={"view_names": ["primary", "wrist"]})
    images = {} if any("image" in key for key in features) else FEATURES
    given = {"observation.state": FEATURES["observation.state"]} | images | features
    given = {key: feature for key, feature in given.items() if feature is not None}
    with pytest.raises(VLAError, match=message):
        policy_of(checkpoint, given, **fields)


@pytest.mark.parametrize(
    ("robots", "number", "message"),
    [(3, -1, "is -1; .* 0 to 2"), (3, 3, "is 3;"), (3, None, "missing: .* 3 embodiments"), (1, 0, "one embodiment")],
)
def test_a_robot_that_the_checkpoint_does_not_know_is_refused(make_checkpoint, robots, number, message):
    checkpoint = make_checkpoint("mapanything_llava3d", num_embodiments=robots)
    with pytest.raises(VLAError, match=f"embodiment_id.*{message}"):
        policy_of(checkpoint, embodiment_id=number)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.pop("observation.images.wrist"), "has no observation.images.wrist"),
        (lambda batch: batch.pop("observation.state"), "no observation.state"),
        (lambda batch: batch.pop("task"), "tasks of 1 observations"),
        (lambda batch: batch["observation.images.wrist"].mul_(2).sub_(1), "values of -1 to 1; 0 to 1 is needed"),
        (lambda batch: batch.update({"observation.images.wrist": torch.zeros(1, 64, 80, 3)}), "\\(batch, 3, height"),
        (lambda batch: batch.update({"observation.state": torch.zeros(1, 7)}), "\\(1, 7\\).*\\(batch, 8\\)"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(make_checkpoint, change, message):
    policy, before, _ = policy_of(make_checkpoint("cogvla"))
    batch = before(as_lerobot(seen(1), TASKS[:1]))
    change(batch)
    with pytest.raises(VLAError, match=message):
        policy.select_action(batch)


def test_a_model_of_a_car_and_one_that_is_nowhere_are_refused(make_checkpoint, tmp_path):
    config = make_policy_config("vlahub", checkpoint=str(make_checkpoint("alpamayo_r1")), device="cpu")
    with pytest.raises(VLAError, match="alpamayo_r1 that predicts trajectories"):
        config.action_delta_indices  # noqa: B018
    with pytest.raises(VLAError, match="alpamayo_r1 that predicts trajectories"):
        VlahubPolicy(config)
    with pytest.raises(VLAError, match=r"--policy.checkpoint is missing"):
        VlahubPolicy(make_policy_config("vlahub", device="cpu"))
    with pytest.raises(VLAError, match=r"--policy.revision=main"):
        VlahubPolicy(make_policy_config("vlahub", device="cpu", checkpoint=str(tmp_path), revision="main"))


def test_a_robots_loop_gets_the_action_of_its_observation(make_checkpoint):
    """As lerobot-record (0.4) and lerobot-rollout (0.6) ask: numpy arrays of one observation, and a task."""
    from lerobot_lines import predict_action

    policy, before, after = policy_of(make_checkpoint("cogvla"))
    observation = seen(1)
    frame = {f"observation.images.{name}": image[0] for name, image in observation["pixels"].items()}
    frame["observation.state"] = observation["agent_pos"][0]
    action = predict_action(frame, policy, torch.device("cpu"), before, after, False, TASKS[0], "so101")
    expected = predicted_by_vlahub(policy, observation, TASKS[:1])[:, 0]
    assert np.array_equal(action.numpy().reshape(1, 7), expected.numpy())
