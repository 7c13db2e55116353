"""What of the policy for LeRobot can be held without LeRobot; its own tests are run by `make test-lerobot`."""

import ast
import configparser
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vlahub
from vlahub.errors import ConfigError, InputError
from vlahub.training.finetuning.unread_options import OF_KINDS
from vlahub.training.training_stages import STAGES

REPOSITORY = Path(__file__).parents[1]
PLUGIN = REPOSITORY / "integrations" / "lerobot_policy_vlahub" / "lerobot_policy_vlahub"


def loaded(name):
    """A file of the plugin that imports nothing of LeRobot."""
    spec = importlib.util.spec_from_file_location(name, PLUGIN / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


features, observations = loaded("robot_features"), loaded("robot_observations")
places, actions, stages = loaded("checkpoint_folders"), loaded("robot_actions"), loaded("stage_options")
first_actions = loaded("first_actions")


@pytest.mark.parametrize("file", sorted(PLUGIN.glob("*.py")), ids=lambda file: file.stem)
def test_every_name_that_the_plugin_imports_of_vlahub_is_there(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vlahub"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), (node.module, node.lineno)


def test_the_plugin_is_no_part_of_vlahubs_own_distribution():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    assert "integrations" not in setup["options"]["packages"] + setup["options"]["package_dir"]


def test_every_eight_bit_value_comes_back_from_lerobots_floats():
    """As LeRobot's scripts make them: in place by `/= 255`, and of a dataset by `/ 255.0`."""
    image = torch.arange(256, dtype=torch.uint8).repeat(3, 1).reshape(1, 3, 16, 16)
    for given in (image.type(torch.float32).div_(255), image.to(torch.float32) / 255.0, image):
        [found] = observations.uint8_images("image", given)
        assert found.shape == (16, 16, 3) and np.array_equal(found, image[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 3, 4, 4), 1.01), "values of 1.01 to 1.01; 0 to 1 is needed"),
        (torch.full((1, 3, 4, 4), float("nan")), "values of nan"),
        (torch.zeros(1, 4, 4, 3), r"camera has the shape \(1, 4, 4, 3\)"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "camera holds torch.int64"),
    ],
)
def test_images_of_another_form_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        observations.uint8_images("camera", images)


def test_what_lies_between_eight_bit_values_becomes_the_nearest():
    """As images that were resized have it."""
    given = torch.tensor([0.2, 0.8, 100.4, 100.6, 254.4, 254.6]).repeat(3, 1).reshape(1, 3, 1, 6) / 255
    [found] = observations.uint8_images("image", given)
    assert found[0].tolist() == [[value] * 3 for value in (0, 1, 100, 101, 254, 255)]


@pytest.mark.parametrize("shape", [(2, 7), (2, 9), (8,), (1, 2, 8)])
def test_a_state_of_another_form_is_refused_and_one_that_fits_stays_as_it_is(shape):
    state = torch.arange(16.0).reshape(2, 8)
    assert torch.equal(observations.state_of({"state": state}, "state", 8), state)
    assert observations.state_of({"state": state}, "state", None) is None
    for batch in ({"state": torch.zeros(shape)}, {}):
        with pytest.raises(InputError, match=r"state.*this checkpoint needs"):
            observations.state_of(batch, "state", 8)


TWO = ["observation.images.wrist", "observation.images.primary"]


@pytest.mark.parametrize(
    ("images", "names", "count", "views", "expected"),
    [
        (TWO, ["primary", "wrist"], 2, {}, [TWO[1], TWO[0]]),
        ([*TWO, "observation.images.side"], ["primary", "wrist"], None, {}, [TWO[1], TWO[0]]),
        (TWO, None, 2, {}, [TWO[1], TWO[0]]),
        (["observation.image"], ["primary"], 1, {}, ["observation.image"]),
        (["observation.image"], None, None, {}, ["observation.image"]),
        (["a", "b"], ["primary", "wrist"], 2, {"wrist": "a", "primary": "b"}, ["b", "a"]),
        (["a", "b"], ["primary", "wrist"], 2, {"primary": "a", "wrist": "a"}, ["a", "a"]),
        (["a", "b"], None, 2, {"first": "b", "second": "a"}, ["b", "a"]),
    ],
)
def test_a_view_is_the_feature_of_its_name_or_the_only_one_that_it_can_be(images, names, count, views, expected):
    assert features.view_keys(images, names, count, views) == expected


@pytest.mark.parametrize(
    ("images", "names", "count", "views", "message"),
    [
        (["a", "b"], ["primary", "wrist"], 2, {}, r"\['a', 'b'\].*\['primary', 'wrist'\].*--policy.views"),
        (["a", "b"], None, 2, {}, "records no names.*--policy.views"),
        (["a"], None, 2, {}, r"sees 2 views, and \['a'\] are 1"),
        ([], ["primary"], 1, {}, r"\[\].*\['primary'\]"),
        (["a"], ["primary"], 1, {"primary": "b"}, r"names \['b'\]; the images are \['a'\]"),
        (["a"], ["primary"], 1, {"main": "a"}, r"views \['main'\]; those of this checkpoint are \['primary'\]"),
        (["a", "b"], None, 1, {"one": "a", "two": "b"}, "sees 1 views"),
        (["wrist", *TWO], ["primary", "wrist"], 2, {}, r"\['wrist', .*\['primary', 'wrist'\].*--policy.views"),
        (["a", "b"], ["wrist"], 1, {"wrist": "a", TWO[0]: "b"}, r"\['wrist', 'observation.images.wrist'\]: with and"),
        (["a", "b"], None, None, {"wrist": "a", TWO[0]: "b"}, "a name is the same"),
    ],
)
def test_views_that_cannot_be_told_apart_are_refused(images, names, count, views, message):
    with pytest.raises(InputError, match=message):
        features.view_keys(images, names, count, views)


@pytest.mark.parametrize("shape", [(6,), (8,), (1, 7), (7, 1), ()])
def test_a_vector_is_a_feature_of_as_many_numbers_and_of_one_dimension(shape):
    features.check_vector("action", {"action": (7,), "other": shape}, 7, "actions")
    with pytest.raises(InputError, match=r"action has the shape .*; actions of this checkpoint have 7 numbers"):
        features.check_vector("action", {"action": shape}, 7, "actions")
    with pytest.raises(InputError, match="needs actions of 7 numbers"):
        features.check_vector("action", {"actions": (7,)}, 7, "actions")


def test_a_state_in_parts_is_joined_only_where_there_is_none_as_a_whole():
    parts = ["observation.state.eef_pos", "observation.state.gripper"]
    assert features.is_joined("observation.state", parts)
    assert not features.is_joined("observation.state", [*parts, "observation.state"])
    assert not features.is_joined("observation.state", ["observation.states", "observation.images.state"])


def test_a_gripper_of_openvla_is_closed_by_1_and_opened_by_minus_1_and_the_arm_moves_as_it_was_told():
    told = actions.robosuite_gripper(
        torch.tensor([[[0.3, -2.0, 0.0], [0.3, 0.1, 0.4]], [[1.0, 0.0, 1.0], [0.7, 0.7, 0.6]]])
    )
    assert told[..., -1].tolist() == [[1, 1], [-1, -1]]
    assert torch.equal(told[..., :-1], torch.tensor([[[0.3, -2.0], [0.3, 0.1]], [[1.0, 0.0], [0.7, 0.7]]]))


@dataclass
class Stage:
    stage: str = "full"
    top_layers: int = 4
    backbone_lr_scale: float = 0.1


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["top_layers", "backbone_lr_scale"])
def test_an_option_of_another_stage_is_refused_as_by_the_command_train(stage, name):
    stages.check_stage(Stage(stage), False)
    given = Stage(stage, **{name: 2})
    if stage in OF_KINDS[name]:
        stages.check_stage(given, False)
    else:
        with pytest.raises(ConfigError, match=f"{name}=2 is for stage B.*what trains is stage {stage}"):
            stages.check_stage(given, False)


@pytest.mark.parametrize("given", [{"stage": "A"}, {"top_layers": 2}, {"backbone_lr_scale": 1.0}])
def test_where_adapters_train_no_option_of_a_stage_is_read(given):
    stages.check_stage(Stage(), True)
    with pytest.raises(ConfigError, match=r"what trains is the adapters of --peft; leave it out"):
        stages.check_stage(Stage(**given), True)


def test_every_sample_has_a_task_or_the_users_instruction():
    assert observations.instructions_of({"task": ["a", "b"]}, 2, None) == ["a", "b"]
    assert observations.instructions_of({"task": "a"}, 2, None) == ["a", "a"]
    assert observations.instructions_of({"task": ["a", ""]}, 2, "c") == ["c", "c"]
    for tasks in (["a"], ["a", " "], "", None):
        with pytest.raises(InputError, match=r"--policy.instruction"):
            observations.instructions_of({"task": tasks}, 2, None)


def test_a_config_may_name_what_is_loaded_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)

    def check(checkpoint, revision=None, name="a", asked=None):
        places.check_same(SimpleNamespace(checkpoint=checkpoint, revision=revision), name, asked)

    for same in (None, "a", "a/", str(tmp_path / "a")):
        check(same)
    check("me/vla", "v1", "me/vla", "v1")
    check(None, None, "me/vla", "v1")
    for other in (("b",), ("me/vla",), ("a", "v1"), ("me/vla", "v1", "me/vla"), ("me/vla", "v1", "me/vla", "v2")):
        with pytest.raises(ConfigError, match="name one checkpoint alone"):
            check(*other)
    with pytest.raises(ConfigError, match="revision=v1: a is a folder"):
        places.policy_folder("a", "v1")
    assert places.policy_folder("a") == Path("a")


def test_a_repository_is_read_at_the_revision_that_was_asked_for(monkeypatch):
    asked = {}
    monkeypatch.setattr(places, "source_folder", lambda name, **options: asked.update(options) or Path(name))
    assert places.checkpoint_folder("you/vla", "v2", weights=False) == Path("you/vla")
    assert asked == {"weights": False, "revision": "v2"}


def test_a_checkpoint_that_predicts_no_actions_is_no_policy(tmp_path):
    vlahub.AlpamayoR1Config().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"a alpamayo_r1 that predicts trajectories"):
        places.robot_config(tmp_path)


RADIANS = {"q01": [-1.0, -2.0], "q99": [1.0, 2.0], "mean": [0.0, 0.0], "std": [0.5, 1.0], "mask": [True, True]}


def batches_of(scale, count=8):
    """Batches of four examples, in a chunk of three actions each."""
    draws = np.random.default_rng(0)
    rows = scale * draws.uniform([-1, -2], [1, 2], (count, 4, 3, 2))
    return [[{"actions": torch.tensor(chunk)} for chunk in batch] for batch in rows]


def test_a_training_begins_with_actions_of_its_statistics_or_ends():
    config = SimpleNamespace(normalization_type="bounds_q99", bounded_actions=False)
    right = first_actions.FirstActions(RADIANS, config)
    for batch in [*batches_of(1), *batches_of(57.3)]:  # the first 32 examples alone are looked at
        right.look_at(batch)
    wrong = first_actions.FirstActions(RADIANS, config)
    for batch in batches_of(57.3, 7):
        wrong.look_at(batch)
    with pytest.raises(InputError, match=r"in dimension 0 \(-1 to 1\): .*--policy.statistics=FILE"):
        wrong.look_at(batches_of(57.3, 1)[0])


def test_what_fills_a_chunk_is_not_looked_at():
    config = SimpleNamespace(normalization_type="bounds_q99", bounded_actions=False)
    looking = first_actions.FirstActions(RADIANS, config)
    for batch in batches_of(1):
        is_pad = np.array([False, True, True])
        chunks = [torch.cat([each["actions"][:1], torch.full((2, 2), 99.0)]) for each in batch]
        looking.look_at([{"actions": chunk, "action_is_pad": is_pad} for chunk in chunks])


def test_a_head_that_ends_at_one_is_not_trained_on_deviations():
    config = SimpleNamespace(normalization_type="normal", bounded_actions=True, action_head="discrete")
    looking = first_actions.FirstActions(RADIANS, config)
    with pytest.raises(InputError, match="cut off"):
        for batch in batches_of(1):
            looking.look_at(batch)
