"""A served policy answers what `predict_action` answers, for one observation and for several, and refuses the rest."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import FAMILIES, INSTRUCTION, make_llava3d
from PIL import Image
from served_observations import ROBOTS, observation
from tiny_configs import bounds
from tiny_vlms import TINY_VLMS, tiny_vlm

import vlahub
from vlahub.conversion.serving import robot_policy
from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.conversion.serving.robot_policy import RobotPolicy, forms_of, is_same, robot_policy_of
from vlahub.errors import ConversionError, InputError


def asked(policy, given, **options):
    """What a caller without a server gets."""
    texts = {"images": given["images"], "text": given["instruction"], "state": given["state"]}
    return policy.model.predict_action(**policy.processor(**texts), **options)


@pytest.mark.parametrize("family", ROBOTS)
def test_one_observation_gives_bit_for_bit_what_predict_action_gives(family, policy_of):
    policy, given = policy_of(family), observation()
    torch.manual_seed(3)
    wanted = asked(policy, given)[0].numpy()
    assert np.array_equal(policy.predicted([policy.prepared({**given, "seed": 3})])[0], wanted)
    pictures = [Image.fromarray(image) for image in given["images"]]
    key = FAMILIES[family].unnorm_key if family != "cogvla" else next(iter(policy.config.norm_stats))
    again = {**given, "images": pictures, "unnorm_key": key, "seed": 3}
    assert np.array_equal(policy.predicted([policy.prepared(again)])[0], wanted)


def test_one_thread_reads_at_a_time():
    """Fast tokenizers raise "Already borrowed" where two threads use one."""
    inside, most = [], []

    def processor(**given):
        inside.append(given)
        most.append(len(inside))
        time.sleep(0.02)
        return inside.pop()

    processor.view_names = processor.state_dim = None
    processor.image_processor = SimpleNamespace(num_images_in_input=1)
    policy = RobotPolicy(Path("robot"), processor, SimpleNamespace(num_action_chunks=4))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: policy.read({"images": i, "instruction": "go", "seed": 1}), range(4)))
    assert found == [{"images": i, "text": "go"} for i in range(4)] and set(most) == {1}


@pytest.mark.parametrize("family", ROBOTS)
def test_a_seed_leaves_the_noise_of_other_clients_as_it_would_be(family, policy_of):
    policy = policy_of(family)
    seeded, free = (policy.prepared(observation(seed=seed)) for seed in (3, None))
    torch.manual_seed(0)
    wanted = [policy.predicted([free])[0] for _ in range(2)]
    torch.manual_seed(0)
    found = []
    for _ in range(2):
        own = policy.predicted([seeded])[0]
        found.append(policy.predicted([free])[0])
    assert np.array_equal(found, wanted) and np.array_equal(policy.predicted([seeded])[0], own)


@pytest.mark.parametrize("family", ROBOTS)
def test_several_observations_are_merged_into_what_the_processor_makes_of_all(family, policy_of):
    policy = policy_of(family)
    scenes = [observation(i, instruction=INSTRUCTION + " red" * i) for i in range(3)]
    requests = [policy.prepared(scene) for scene in scenes]
    assert len({request.group for request in requests}) == 1
    merged = policy.merged([request.inputs for request in requests])
    lists = {name: [scene[key] for scene in scenes] for name, key in (("images", "images"), ("text", "instruction"))}
    wanted = policy.processor(**lists, state=[scene["state"] for scene in scenes])
    assert set(merged) == set(wanted) and all(torch.equal(merged[name], wanted[name]) for name in wanted)
    torch.manual_seed(0)
    actions = policy.predicted(requests)
    torch.manual_seed(0)
    assert np.array_equal(np.stack(actions), policy.model.predict_action(**wanted).numpy())
    assert not np.allclose(actions[0], actions[1])


def test_a_batch_gives_what_each_gives_alone_up_to_rounding(policy_of):
    policy = policy_of("cogvla")  # whose head draws nothing
    requests = [policy.prepared(observation(i, instruction=INSTRUCTION + " red" * i)) for i in range(3)]
    alone = [policy.predicted([request])[0] for request in requests]
    np.testing.assert_allclose(policy.predicted(requests), alone, atol=1e-5)


def test_requests_of_two_datasets_are_of_two_groups(policy_of, monkeypatch):
    policy = policy_of("cogvla")
    both = {key: next(iter(policy.config.norm_stats.values())) for key in ("a", "b")}
    for owner in (policy.config, policy.processor):
        monkeypatch.setattr(owner, "norm_stats", both)
    first, again, second = (policy.prepared({**observation(), "unnorm_key": key}).group for key in ("a", "a", "b"))
    assert first == again != second and first is not None


@pytest.mark.parametrize("family", ROBOTS)
def test_a_request_with_a_seed_is_predicted_by_itself(family, policy_of):
    """Of several together the first one's noise would be all others', too."""
    policy = policy_of(family)
    assert policy.prepared(observation()).group is not None
    assert all(policy.prepared(observation(seed=seed)).group is None for seed in (0, 3))


def test_a_checkpoint_without_statistics_is_not_served(folder_of, tmp_path):
    shutil.copytree(folder_of("cogvla"), tmp_path / "none")
    for name in ("config.json", "processor_config.json"):
        content = json.loads((tmp_path / "none" / name).read_text())
        (tmp_path / "none" / name).write_text(json.dumps(content | {"norm_stats": {}}))
    with pytest.raises(ConversionError, match="has no statistics, so that it knows no robot units"):
        robot_policy_of(tmp_path / "none")


def robot(config=None, **fields):
    """A policy without a model; config, fields: what it has of a config and of a processor."""
    fields = {"view_names": None, "state_dim": None, "image_processor": SimpleNamespace(num_images_in_input=1)} | fields
    known = {"model_type": "robot", "predicts": "actions", "action_dim": 2, "num_action_chunks": 3} | (config or {})
    known = {"num_embodiments": 1, "norm_stats": {key: {"action": {"names": [key]}} for key in "ba"}} | known
    return RobotPolicy(Path("robot"), SimpleNamespace(**fields), SimpleNamespace(**known))


def test_facts_and_defaults_are_of_all_datasets():
    policy = robot()
    facts = policy.facts()
    assert facts["unnorm_keys"] == ["a", "b"] and facts["action_names"] == {"a": ["a"], "b": ["b"]}
    for known in (None, "a", "b"):
        policy.check_unnorm_key(known)
    with pytest.raises(InputError, match="unnorm_key='c' is unknown"):
        policy.check_unnorm_key("c")


def test_of_two_datasets_one_is_named_before_anything_is_read(monkeypatch):
    policy = robot()
    monkeypatch.setattr(policy, "read", lambda observation: pytest.fail("the processor was asked"))
    with pytest.raises(InputError, match="choices"):
        policy.prepared(observation())


def test_what_is_blank_fits_the_model_and_the_middle_of_its_data(monkeypatch):
    ranges = {"a": {"min": [0.0, 2.0], "max": [1.0, 4.0]}}
    policy = robot({"num_embodiments": 2}, state_dim=2, state_statistics=ranges.get)
    blank = policy.blank()
    assert blank["state"] == [0.5, 3.0] and blank["unnorm_key"] == "a" and blank["embodiment_id"] == 0
    assert len(blank["images"]) == 1 and robot().blank()["embodiment_id"] is None
    any_number = SimpleNamespace(num_images_in_input=None)
    for names, count in ((None, 1), (["left", "right"], 2)):
        assert len(robot(view_names=names, image_processor=any_number).blank()["images"]) == count


def test_a_policy_is_loaded_as_it_is_told_and_tries_to_merge_before_clients_come(monkeypatch):
    policy, asked = robot(), []

    def load(*given, **options):
        asked.append((given, options))
        return SimpleNamespace(fast_prediction=None)

    monkeypatch.setattr(robot_policy, "load_model", load)
    monkeypatch.setattr(policy, "read", lambda observation: {"input_ids": torch.tensor([[1]])})
    monkeypatch.setattr(robot_policy, "is_same", lambda *both: False)
    monkeypatch.setattr(policy, "merged", lambda parts: parts[0])
    policy.load("cpu", fast="graphs", quiet=True)
    assert asked == [((Path("robot"), "cpu"), {"fast": "graphs", "quiet": True})]
    assert policy.__dict__["merges"] is False and policy.is_fast is False  # as the model says: a CPU has no graphs


def test_requests_stay_apart_where_prompts_of_two_lengths_are_merged_otherwise(policy_of):
    class Turning(RobotPolicy):
        def merged(self, inputs):
            found = super().merged(inputs)
            lengths = {each["input_ids"].shape[1] for each in inputs}
            return found if len(lengths) == 1 else {**found, "attention_mask": found["attention_mask"].flip(1)}

    policy = policy_of("cogvla")
    assert policy.merges and not Turning(policy.folder, policy.processor, policy.config).merges


def test_inputs_are_of_one_form_where_they_can_stand_one_behind_the_other():
    def form(shape, dtype=torch.float32, length=3):
        return forms_of({"input_ids": torch.zeros(1, length), "pixel_values": torch.zeros(shape, dtype=dtype)})

    assert form((4, 8)) == form((6, 8), length=5)  # patches of all images, as Qwen's processors lay them
    assert form((4, 8)) != form((4, 9)) and form((4, 8)) != form((4, 8), torch.float16)


def test_a_picture_of_another_size_is_of_another_group(monkeypatch):
    policy = robot({"norm_stats": {"a": {}}}, far_values=lambda state, key: [])
    policy.merges = True

    def group(size):
        inputs = {"input_ids": torch.zeros(1, 2), "pixel_values": torch.zeros(1, 3, size, size)}
        monkeypatch.setattr(policy, "read", lambda observation: inputs)
        return policy.prepared(observation()).group

    assert group(4) == group(4) != group(8)


def test_what_predicts_no_actions_is_not_served(tmp_path, monkeypatch):
    monkeypatch.setattr(robot_policy, "load_processor", lambda folder: None)
    monkeypatch.setattr(
        robot_policy, "load_config", lambda folder: SimpleNamespace(predicts="text", norm_stats={"a": 1})
    )
    with pytest.raises(ConversionError, match="has no action expert: it predicts text"):
        robot_policy_of(tmp_path)


@pytest.mark.parametrize("side", ["left", "right"])
def test_requests_are_padded_and_predicted_as_their_processor_and_dataset_say(side, policy_of, monkeypatch):
    policy, asked = policy_of("cogvla"), []
    monkeypatch.setattr(policy.processor, "padding_side", side)

    def predict(**inputs):
        asked.append(inputs)
        return torch.zeros(2, 1, 1)

    monkeypatch.setattr(policy.model, "predict_action", predict)
    key = next(iter(policy.config.norm_stats))
    texts = (INSTRUCTION, INSTRUCTION + " red")
    policy.predicted([policy.prepared(observation(instruction=text, unnorm_key=key)) for text in texts])
    assert asked[0]["unnorm_key"] == key
    mask = asked[0]["attention_mask"]
    assert mask[0, -1 if side == "right" else 0] == 0 and mask[1].all()


@pytest.mark.parametrize(("kind", "merges"), [("llava_next", True), ("gemma3", True), ("minicpmv4_6", False)])
def test_inputs_of_vlms_are_merged_where_their_processor_lays_them_out_one_behind_the_other(kind, merges, tmp_path):
    if kind not in TINY_VLMS:
        pytest.skip("of transformers 5")
    config, own = tiny_vlm(kind)
    head = {"action_head": "mlp", "action_dim": 7, "num_action_bins": 32, "norm_stats": {"a": {"action": bounds(7)}}}
    config = vlahub.MultimodalVLAConfig(vlm_config=config, **head)
    policy = RobotPolicy(tmp_path, vlahub.MultimodalVLAProcessor.for_config(config, own), config)
    scenes = [observation(i, state=None) for i in range(2)]
    first, second = (policy.prepared(scene) for scene in scenes)
    assert policy.merges == merges and (first.group is not None) == merges and (first.group == second.group)
    if merges:
        wanted = policy.processor(images=[scene["images"] for scene in scenes], text=[INSTRUCTION] * 2)
        assert is_same(policy.merged([first.inputs, second.inputs]), wanted)


IMAGE = np.zeros((40, 48, 3), np.uint8)
BAD = {
    "state holds values that are not finite": {"state": [float("nan")] * 8},
    "state has shape (1, 7)": {"state": [0.0] * 7},
    "state must be numbers": {"state": ["a"] * 8},
    "it holds bool": {"state": [True] * 8},
    "it holds object": {"state": [10**400] * 8},
    "state is missing": {"state": None},
    "images are missing": {"images": None},
    "sample 0 has 1 images, expected 2": {"images": [IMAGE]},
    "sample 0 has 0 images": {"images": []},
    "sample 0 has 3 images, expected 2": {"images": [IMAGE] * 3},
    "image 0: got list": {"images": [[IMAGE] * 2] * 2},  # of two observations
    "accepted is a PIL image": {"images": [IMAGE / 255] * 2},
    "got uint8 of shape (40, 48, 4)": {"images": [np.zeros((40, 48, 4), np.uint8)] * 2},
    "the instruction is missing": {"instruction": None},
    "the instruction is '  '": {"instruction": "  "},
    "the instruction is ['lift']": {"instruction": ["lift"]},
    "the instruction has 20000 characters": {"instruction": "lift" * 5000},
    "lone surrogate": {"instruction": "lift \ud800"},
    "unnorm_key='other' is unknown; choices:": {"unnorm_key": "other"},
    "seed is -1": {"seed": -1},
    "seed is True": {"seed": True},
    "advantage is [['a']]": {"advantage": [["a"]]},
    "embodiment_id: this model has one": {"embodiment_id": 0},
    "the observation holds depth, gripper": {"gripper": 1, "depth": 2},
}


@pytest.mark.parametrize("message", BAD)
def test_an_observation_that_does_not_fit_is_refused_by_name(message, policy_of):
    with pytest.raises(InputError) as error:
        policy_of("cogvla").prepared(observation(**BAD[message]))
    assert message in str(error.value)


def test_a_robot_that_a_model_does_not_know_is_refused_before_it_is_asked(tmp_path):
    policy = robot_policy_of(make_llava3d(tmp_path, num_embodiments=3))
    assert policy.prepared(policy.blank() | {"embodiment_id": 2}).inputs["embodiment_id"].tolist() == [2]
    refused = {-1: r"embodiment_id\[0\] is -1; .* 0 to 2", 3: "is 3", None: "is missing: this model has 3 embodiments"}
    for wrong, message in refused.items():
        with pytest.raises(InputError, match=message):
            policy.prepared(policy.blank() | {"embodiment_id": wrong})


def test_the_first_prediction_is_of_every_size_of_batch_that_is_recorded(policy_of, monkeypatch):
    policy, sizes = policy_of("cogvla"), []
    monkeypatch.setattr(policy, "predicted", lambda requests: sizes.append(len(requests)))
    for is_fast, wanted in ((False, [1]), (True, [1, 2, 4])):
        monkeypatch.setattr(policy, "is_fast", is_fast)
        service = PredictionService()
        service.add("m", policy, Batching(size=7), ActionSessions())
        assert set(service.warm_up()) == {"m"} and sizes == wanted
        service.close()
        sizes.clear()
