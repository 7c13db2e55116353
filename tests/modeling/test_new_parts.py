"""Parts that a checkpoint does not have yet: named, they start as in a new model, and nothing else may be missing."""

import pytest
import torch
from tiny_configs import cogvla_config, composed_config, llava3d_config

import vlahub
from vlahub.errors import ConfigError
from vlahub.modeling.initial_values import described
from vlahub.modeling.new_parts import check_new, is_in_part

pytestmark = pytest.mark.newest

PLAIN = {"use_film": False, "use_aggr": False, "use_lfp": False, "state_dim": None, "norm_stats": {}}
PLAIN |= {"action_head": "discrete", "vision_aggregate_type": "concat"}
LFP = {"use_lfp": True, "lfp_type": "deep_all"}
# Of each case: the class, the config of what is on disk, fields that switch parts on, and their names.
CASES = {
    "film": (vlahub.CogVLAForActionPrediction, cogvla_config, PLAIN, {"use_film": True}, ["film"]),
    "aggregation": (vlahub.CogVLAForActionPrediction, cogvla_config, PLAIN, {"use_aggr": True}, ["aggregation"]),
    "lfp": (vlahub.CogVLAForActionPrediction, cogvla_config, PLAIN, LFP, ["lfp"]),
    "one path": (vlahub.CogVLAForActionPrediction, cogvla_config, PLAIN, LFP, ["layers.*.router"]),
    "heads": (
        vlahub.CogVLAForActionPrediction,
        cogvla_config,
        PLAIN,
        {"action_head": "diffusion", "state_dim": 4},
        ["action_head", "proprio_projector"],
    ),
    "composed": (
        vlahub.MultimodalVLAForActionPrediction,
        composed_config,
        {"fusion": "early", "use_state": False},
        {"fusion": "film", "use_state": True},
        ["film", "proprio_projector"],
    ),
    "llava3d": (
        vlahub.MapAnythingLlava3DForConditionalGeneration,
        llava3d_config,
        {"action_expert_type": None},
        {"action_expert_type": "deep_fusion+dit"},
        ["language_model_with_expert", "action_expert", "dit_action_head", "dit_action_projector"],
    ),
    "llava3d in a word": (
        vlahub.MapAnythingLlava3DForConditionalGeneration,
        llava3d_config,
        {"action_expert_type": None},
        {"action_expert_type": "deep_fusion"},
        ["deep_fusion"],
    ),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """A checkpoint, its class, a config with more parts, and their names."""
    kind, config_of, before, switches, parts = CASES[request.param]
    torch.manual_seed(0)
    kind(config_of(**before)).save_pretrained(tmp_path)
    return tmp_path, kind, config_of(**before | switches), parts


def assert_starts_as_new(model, names):
    """Constants are those of a new model, drawn numbers have its deviation."""
    fresh, initial = described(type(model), model.config)
    for name in names:
        expected, found = initial.of(fresh, name), model.get_parameter(name).detach().float()
        if expected.value is not None:
            assert torch.equal(found, torch.full_like(found, expected.value)), name
        else:
            error = 6 * expected.deviation / found.numel() ** 0.5
            assert abs(found.std(correction=0) - expected.deviation) < error and abs(found.mean()) < error, name


def test_named_parts_start_as_in_a_new_model_and_all_else_is_the_checkpoints(case):
    folder, kind, config, parts = case
    before = kind.from_pretrained(folder, dtype=torch.float32).state_dict()
    model = kind.from_pretrained(folder, config=config, new_parts=parts, dtype=torch.float32)
    tensors = model.state_dict()
    assert all(torch.equal(value, tensors[name]) for name, value in before.items())
    assert_starts_as_new(model, [name for name, _ in model.named_parameters() if name not in before])


def test_whatever_is_missing_is_refused_unless_it_is_named(case):
    folder, kind, config, parts = case
    with pytest.raises(ConfigError, match="missing keys: "):
        kind.from_pretrained(folder, config=config)
    if len(parts) > 1:
        with pytest.raises(ConfigError, match=f"missing keys: .*{parts[0]}"):
            kind.from_pretrained(folder, config=config, new_parts=parts[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_parts_go_with_device_map_and_dtype(tmp_path, dtype):
    torch.manual_seed(0)
    vlahub.CogVLAForActionPrediction(cogvla_config(**PLAIN)).save_pretrained(tmp_path)
    config = cogvla_config(**PLAIN | {"use_film": True, "use_aggr": True, "action_head": "l1"})
    model = vlahub.CogVLAForActionPrediction.from_pretrained(
        tmp_path, config=config, new_parts=["film", "aggregation", "action_head"], dtype=dtype, device_map="cpu"
    )
    parameters = dict(model.named_parameters())
    assert {value.dtype for value in parameters.values()} == {dtype}
    assert {value.device.type for value in parameters.values()} == {"cpu"}
    assert_starts_as_new(model, [name for name in parameters if "film" in name or "action_head" in name])
    assert all(value.isfinite().all() for value in parameters.values())


@pytest.fixture(scope="module")
def with_film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    torch.manual_seed(0)
    vlahub.CogVLAForActionPrediction(cogvla_config(**PLAIN | {"use_film": True})).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("fields", "parts", "message"),
    [
        ({}, ["film"], "'film', but .* holds vision_backbone.*film"),
        ({}, ["flim"], "'flim', of which this model has no parameter.*action_head"),
        ({"action_head": "l1"}, ["action_head", "state"], "'state', of which this model has no parameter"),
        ({"action_head": "l1"}, "action_head", r"must be a list of names, such as \['action_head'\]"),
        ({"action_head": "l1"}, ["*"], "holds language_model"),
        ({"text_config": {"vocab_size": 384}, "action_head": "l1"}, ["action_head"], "mismatched keys: .*embed_tokens"),
    ],
)
def test_parts_that_are_none_or_are_there_are_refused_by_name(with_film, fields, parts, message):
    config = cogvla_config(**PLAIN | {"use_film": True} | fields)
    with pytest.raises(ConfigError, match=message):
        vlahub.CogVLAForActionPrediction.from_pretrained(with_film, config=config, new_parts=parts)


@pytest.mark.parametrize(("more", "said"), [(0, "p7: leave"), (2, "p7 and 2 more: leave")])
def test_of_many_names_the_first_and_the_number_of_the_others_are_said(more, said):
    names = {f"{letter}{i}" for letter, count in (("p", 8), ("q", more)) for i in range(count)}
    with pytest.raises(ConfigError, match=f"holds p0, .*{said}"):
        check_new("a folder", {"film": names}, set())


@pytest.mark.parametrize(
    ("part", "lies_in"),
    [("film", True), ("film.scale", True), ("blocks.*.film", True), ("fil", False), ("ilm", False), ("scal", False)],
)
def test_a_part_is_whole_names_of_a_path(part, lies_in):
    assert is_in_part("tower.blocks.3.film.scale", part) == lies_in


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("action_head", "l1", "action_attention='causal' predicts tokens one by one"),
        ("action_head", "l2", "action_head='l2' is unknown"),
    ],
)
def test_a_config_that_was_changed_after_it_was_made_is_checked_again(with_film, field, value, message):
    config = cogvla_config(**PLAIN | {"use_film": True, "action_attention": "causal"})
    setattr(config, field, value)
    with pytest.raises(ConfigError, match=message):
        vlahub.CogVLAForActionPrediction.from_pretrained(with_film, config=config, new_parts=["action_head"])


def test_a_dit_head_has_the_sizes_of_the_config_around_it(tmp_path):
    torch.manual_seed(0)
    kind = vlahub.MapAnythingLlava3DForConditionalGeneration
    kind(llava3d_config(action_expert_type=None, dit_config=None)).save_pretrained(tmp_path)
    config = vlahub.MapAnythingLlava3DConfig.from_pretrained(tmp_path)
    config.action_expert_type = "dit"
    with pytest.raises(ConfigError, match=r"vl_hidden_size=4096 must be 64.*config.as_dit_config\(None\)"):
        kind.from_pretrained(tmp_path, config=config, new_parts=["dit"])
    config.dit_config = config.as_dit_config(None)
    assert kind.from_pretrained(tmp_path, config=config, new_parts=["dit"]).dit_action_head is not None


def test_how_a_parameter_starts_is_an_error_where_it_cannot_be_repeated():
    class Odd(vlahub.CogVLAForActionPrediction):
        def __init__(self, config):
            super().__init__(config)
            self.odd = torch.nn.Parameter(torch.ones(3) * 0.5)

    model, initial = described(Odd, cogvla_config())
    with pytest.raises(ConfigError, match="odd would be new, and how a Odd starts is not known"):
        initial.of(model, "odd")
