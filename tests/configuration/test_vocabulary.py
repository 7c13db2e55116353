"""One word for one thing in the configs of all families, beside the words of published checkpoints."""

import copy
import json
import pickle

import pytest
import torch
from transformers import AutoConfig

import vlahub
from vlahub.configuration.vla_config import words_on_disk
from vlahub.errors import ConfigError

WORDS = {  # another word: the project's own
    "action_horizon": "num_action_chunks",
    "proprio_dim": "state_dim",
    "use_proprio": "use_state",
    "num_views": "num_images_in_input",
    "num_steps": "num_inference_steps",
    "num_inference_timesteps": "num_inference_steps",
}
ROBOT = {"action_dim": 5, "num_action_chunks": 4, "state_dim": 3, "use_state": True, "num_inference_steps": 6}
STATISTICS = {"action": {"q01": [0.0] * 5, "q99": [1.0] * 5}, "state": {"q01": [0.0] * 3, "q99": [1.0] * 3}}
CLASSES = {
    "cogvla": vlahub.CogVLAConfig,
    "mapanything_llava3d": vlahub.MapAnythingLlava3DConfig,
    "dit_action_head": vlahub.DiTActionHeadConfig,
    "multimodal_vla": vlahub.MultimodalVLAConfig,
    "alpamayo_r1": vlahub.AlpamayoR1Config,
}
FIELDS = {
    "cogvla": ROBOT | {"num_images_in_input": 2, "norm_stats": {"a": STATISTICS}, "action_head": "diffusion"},
    "mapanything_llava3d": ROBOT | {"norm_stats": {"a": STATISTICS}},
    "dit_action_head": {name: ROBOT[name] for name in ROBOT if name != "use_state"},
    "multimodal_vla": ROBOT | {"norm_stats": {"a": STATISTICS}, "action_head": "flow"},
    "alpamayo_r1": {"num_action_chunks": 8, "num_inference_steps": 3},
}
# What config.json says, in the words that were published.
ON_DISK = {
    "cogvla": ("num_action_chunks", "proprio_dim", "num_images_in_input", "num_inference_steps"),
    "mapanything_llava3d": ("action_horizon", "state_dim", "use_state", "num_inference_steps"),
    "dit_action_head": ("action_horizon", "state_dim", "num_inference_timesteps"),
    "multimodal_vla": ("num_action_chunks", "proprio_dim", "use_proprio", "num_inference_steps"),
    "alpamayo_r1": (),
}
FAMILIES = [family for family in CLASSES if family != "dit_action_head"]
ALL_WORDS = {*WORDS, *WORDS.values()}


def other_words(fields):
    """The same fields by each of their other words."""
    for other, own in WORDS.items():
        if own in fields:
            yield {name: value for name, value in fields.items() if name != own} | {other: fields[own]}


@pytest.mark.parametrize("family", CLASSES)
def test_every_word_of_a_field_makes_the_same_config(family):
    config = CLASSES[family](**FIELDS[family])
    assert {name: getattr(config, name) for name in FIELDS[family]} == FIELDS[family]
    for fields in other_words(FIELDS[family]):
        other = CLASSES[family](**fields)
        assert other == config and {name: getattr(other, name) for name in fields} == fields


@pytest.mark.parametrize("family", CLASSES)
def test_every_word_writes_the_field(family):
    for other, own in WORDS.items():
        if own in FIELDS[family] and own != "use_state":
            config = CLASSES[family]()
            setattr(config, other, 2)
            assert (getattr(config, other), getattr(config, own)) == (2, 2)
            setattr(config, own, 3)
            assert (getattr(config, other), getattr(config, own)) == (3, 3)


@pytest.mark.parametrize("family", CLASSES)
def test_two_words_for_one_field_must_say_the_same(family, tmp_path):
    CLASSES[family](**FIELDS[family]).save_pretrained(tmp_path)
    for other, own in WORDS.items():
        if own in FIELDS[family]:
            value = FIELDS[family][own]
            assert CLASSES[family](**FIELDS[family], **{other: value}) == CLASSES[family](**FIELDS[family])
            different = not value if isinstance(value, bool) else value + 1
            with pytest.raises(ConfigError, match=f"{own}={value} and {other}={different}, two words for one field"):
                CLASSES[family](**FIELDS[family], **{other: different})
            with pytest.raises(ConfigError, match=f"{own}={value} and {other}={different}, two words for one field"):
                CLASSES[family].from_pretrained(tmp_path, **{own: value, other: different})
            assert CLASSES[family].from_pretrained(tmp_path, **{own: value, other: value}) is not None


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("family", [family for family in CLASSES if "use_state" in FIELDS[family]])
def test_what_is_changed_while_loading_is_what_the_constructor_makes_of_it(family, order, tmp_path):
    fields = FIELDS[family] | {"state_dim": 3, "use_state": False}
    CLASSES[family](**FIELDS[family]).save_pretrained(tmp_path)
    changes = dict([("use_state", False), ("state_dim", 3)][::order])
    found, made = CLASSES[family].from_pretrained(tmp_path, **changes), CLASSES[family](**fields)
    assert (found.use_state, found.state_dim) == (made.use_state, made.state_dim) and not found.use_state


@pytest.mark.parametrize("family", CLASSES)
def test_config_json_has_the_published_words_alone(family, tmp_path):
    for number, fields in enumerate((FIELDS[family], *other_words(FIELDS[family]))):
        config = CLASSES[family](**fields)
        config.save_pretrained(tmp_path / str(number))
        found = json.loads((tmp_path / str(number) / "config.json").read_text())
        assert ALL_WORDS.intersection(found) == set(ON_DISK[family])
        assert ALL_WORDS.intersection(config.to_dict()) == set(ON_DISK[family])
        assert {name: found[name] for name in ON_DISK[family]} == {
            name: FIELDS[family][WORDS.get(name, name)] for name in ON_DISK[family]
        }


@pytest.mark.parametrize("family", CLASSES)
def test_a_config_comes_back_whole_from_disk_from_a_dict_and_from_a_copy(family, tmp_path):
    config = CLASSES[family](**FIELDS[family])
    config.save_pretrained(tmp_path)
    read = CLASSES[family].from_pretrained(tmp_path)
    assert {name: getattr(read, name) for name in FIELDS[family]} == FIELDS[family]
    assert CLASSES[family].from_dict(config.to_dict()).to_dict() == config.to_dict()
    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config and twin.to_dict() == config.to_dict()
        twin.num_action_chunks = 7
        assert twin.num_action_chunks == twin.action_horizon == 7
    assert CLASSES[family](**{**FIELDS[family], "num_action_chunks": 5}) != config


@pytest.mark.parametrize("family", FAMILIES)
def test_a_word_may_change_a_field_while_loading(family, tmp_path):
    CLASSES[family](**FIELDS[family]).save_pretrained(tmp_path)
    for word in ("num_inference_steps", "num_steps"):
        assert AutoConfig.from_pretrained(tmp_path, **{word: 2}).num_inference_steps == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_by_every_word(family):
    config = CLASSES[family]()
    assert {name: hasattr(config, name) for name in ALL_WORDS} == dict.fromkeys(ALL_WORDS, True)
    assert config.action_dim == (2 if family == "alpamayo_r1" else 7)
    assert config.state_size is None and not config.use_state and list(config.norm_stats) == []
    assert CLASSES[family](**FIELDS[family]).state_size == FIELDS[family].get("state_dim")


@pytest.mark.parametrize("family", ["mapanything_llava3d", "multimodal_vla"])
def test_a_state_that_is_no_input_has_no_size(family):
    config = CLASSES[family](**FIELDS[family] | {"use_state": False, "norm_stats": {}})
    assert (config.state_dim, config.state_size) == (3, None)


def test_a_cogvla_without_a_state_has_no_size_of_one():
    config = vlahub.CogVLAConfig(state_dim=3, use_state=False)
    assert (config.state_dim, config.use_proprio, config.proprio_dim) == (None, False, None)
    config.state_dim = 4
    assert config.use_state
    config.use_proprio = False
    assert config.state_dim is None
    with pytest.raises(ConfigError, match="use_state=True needs state_dim"):
        config.use_state = True


def test_a_word_without_a_field_is_refused():
    with pytest.raises(ConfigError, match="no argument num_images_in_input=2"):
        vlahub.MultimodalVLAConfig(num_images_in_input=2)
    with pytest.raises(ConfigError, match="no argument state_dim=2"):
        vlahub.AlpamayoR1Config(state_dim=2)


def test_a_short_form_of_alpamayo_says_what_its_part_says():
    config = vlahub.AlpamayoR1Config(num_action_chunks=8, num_inference_steps=3)
    assert config.action_space_cfg["n_waypoints"] == config.n_waypoints == 8
    assert config.diffusion_cfg == {"num_inference_steps": 3}
    config.n_waypoints, config.num_steps = 16, 5
    assert (config.action_space_cfg["n_waypoints"], config.diffusion_cfg["num_inference_steps"]) == (16, 5)
    assert vlahub.AlpamayoR1Config().diffusion_cfg == {} and vlahub.AlpamayoR1Config().num_inference_steps == 10
    with pytest.raises(ConfigError, match="n_waypoints is 8 in its part's dict and 9 beside it"):
        vlahub.AlpamayoR1Config(action_space_cfg={"n_waypoints": 8}, num_action_chunks=9)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_compiled_function_reads_every_word_without_a_break(family):
    config, x = CLASSES[family](**FIELDS[family]), torch.ones(2)

    def shifted(x):
        size = config.state_size or 0
        return x * config.num_action_chunks + config.action_horizon + config.num_inference_steps + size

    assert torch.equal(torch.compile(shifted, backend="eager", fullgraph=True)(x), shifted(x))


def test_a_word_that_no_field_has_is_refused_where_a_family_names_it():
    with pytest.raises(ConfigError, match="words_on_disk does not know 'chunk', 'horizon': add it to WORDS"):
        words_on_disk("proprio_dim", "horizon", "chunk")
