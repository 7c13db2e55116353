"""A LLaVA-3D checkpoint of ours gets parts that it has not: in any order, and without losing what it has."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vlahub import MapAnythingLlava3DForConditionalGeneration as Model
from vlahub import MapAnythingLlava3DProcessor
from vlahub.conversion.cli import main
from vlahub.errors import ConfigError

EXPERT = {"action_expert_type": "deep_fusion"}
SIZES = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--num-action-chunks", "4")
DEEP, BOTH = ("--action-expert-type", "deep_fusion"), ("--action-expert-type", "deep_fusion+dit")
DIT = ("--dit-num-layers", "2", "--context", "concat")


def create(base, output, *options):
    words = ["create", "--family", "mapanything_llava3d", "--base", str(base), "--output", str(output), "--quiet"]
    return main([*words, *options])


def weights(folder):
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def refused(code, capsys):
    error = capsys.readouterr().err
    assert code == 1 and error.startswith("error: "), error
    return error


@pytest.fixture(scope="module")
def geometry(parts):
    return "--geometry", str(parts.folder / "geometry")


@pytest.fixture(scope="module")
def statistics(parts):
    return "--statistics", str(parts.folder / "dataset_statistics.json")


@pytest.fixture(scope="module")
def plain(parts, tmp_path_factory):
    """A model that writes text: no expert, state or geometry, and no statistics; not to be changed."""
    output = tmp_path_factory.mktemp("plain") / "out"
    roles = [word for role in ("vision", "language") for word in (f"--{role}", str(parts.folder / role))]
    words = ["create", "--family", "mapanything_llava3d", *roles, "--no-geometry", "--action-expert-type", "none"]
    assert main([*words, "--output", str(output), "--quiet"]) == 0
    return output


@pytest.fixture(scope="module")
def with_expert(plain, statistics, tmp_path_factory):
    """Not to be changed."""
    output = tmp_path_factory.mktemp("expert") / "out"
    assert create(plain, output, *DEEP, *SIZES, *statistics) == 0
    return output


@pytest.mark.parametrize(
    "steps",
    [
        [("expert", "statistics"), ("state", "statistics"), ("head",), ("geometry",)],
        pytest.param([("geometry",), ("expert", "state", "statistics"), ("head",)], marks=pytest.mark.slow),
    ],
)
def test_what_is_switched_on_step_by_step_is_what_is_switched_on_at_once(plain, geometry, statistics, tmp_path, steps):
    options = {"expert": (*DEEP, *SIZES), "state": ("--use-state",), "head": (*BOTH, *DIT), "geometry": geometry}
    options["statistics"] = statistics
    whole = (*BOTH, *SIZES, *DIT, *statistics, *geometry, "--use-state")
    assert create(plain, tmp_path / "whole", *whole) == 0
    before = plain
    for number, names in enumerate(steps):
        after = tmp_path / str(number)
        assert create(before, after, *(word for name in names for word in options[name])) == 0
        old, new = weights(before), weights(after)
        assert all(torch.equal(value, new[key]) for key, value in old.items())
        before = after
    found, expected = Model.from_pretrained(before), Model.from_pretrained(tmp_path / "whole")
    fields = [model.config.to_dict() | {"_name_or_path": ""} for model in (found, expected)]
    assert fields[0] == fields[1]
    assert all(torch.equal(found.state_dict()[key], value) for key, value in expected.state_dict().items())
    processors = [MapAnythingLlava3DProcessor.from_pretrained(f) for f in (before, tmp_path / "whole")]
    assert processors[0].to_dict() == processors[1].to_dict() and processors[0].state_dim == 8


def test_the_text_is_the_bases_bit_for_bit(plain, with_expert):
    before, after = Model.from_pretrained(plain).eval(), Model.from_pretrained(with_expert).eval()
    ids = torch.tensor([[1, *[before.config.image_token_id] * 16, 40, 50]])
    pixels = torch.linspace(-1, 1, 3 * 56 * 56).view(1, 1, 3, 56, 56)
    with torch.no_grad():
        assert torch.equal(before(ids, pixels).logits, after(ids, pixels).logits)
    assert torch.equal(*(model.generate(ids, pixel_values=pixels, max_new_tokens=4) for model in (before, after)))


def test_the_report_lists_what_is_new(plain, with_expert):
    report = json.loads((with_expert / "conversion_report.json").read_text())
    new = {name for name, tensor in report["tensors"].items() if tensor["operation"] == "initialised"}
    assert new == weights(with_expert).keys() - weights(plain).keys()
    assert report["settings"]["new"]["value"] == ["deep_fusion"] and report["inputs"] == {"base": "out"}
    assert "not trained" in (with_expert / "README.md").read_text()


def test_the_processor_stays_the_bases_but_for_state_and_statistics(plain, statistics, tmp_path):
    shutil.copytree(plain, tmp_path / "base")
    words = {"prompt_template": "USER: {instruction} ASSISTANT:", "view_names": ["front", "wrist"]}
    processor = MapAnythingLlava3DProcessor.from_pretrained(plain, **words)
    processor.save_pretrained(tmp_path / "base")
    options = (*DEEP, *SIZES, *statistics, "--use-state", "--normalization", "bounds")
    assert create(tmp_path / "base", tmp_path / "out", *options) == 0
    found = MapAnythingLlava3DProcessor.from_pretrained(tmp_path / "out")
    assert {name: getattr(found, name) for name in words} == words
    config = Model.from_pretrained(tmp_path / "out").config
    assert found.state_dim == 8 and found.norm_stats == config.norm_stats
    assert found.normalization_type == config.normalization_type == "bounds"


def test_the_new_expert_can_be_a_copy_of_layers_of_the_base(plain, statistics, tmp_path):
    options = (*DEEP, "--expert-init", "base", "--expert-num-layers", "1", "--num-action-chunks", "4")
    assert create(plain, tmp_path / "out", *options, *statistics, "--expert-init-layers", "1") == 0
    written = weights(tmp_path / "out")
    at = "language_model_with_expert.expert.layers.0.", "language_model.model.model.layers.1."
    pairs = [(name, at[1] + name.removeprefix(at[0])) for name in written if name.startswith(at[0])]
    assert pairs and all(torch.equal(written[own], written[base]) for own, base in pairs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nothing would be new"),
        (DEEP, "nothing would be new"),
        (("--action-expert-type", "dit"), "switches deep_fusion off"),
        (("--action-expert-type", "none"), "switches deep_fusion off"),
        ((*BOTH, "--expert-hidden-size", "16"), "expert_hidden_size is 32 in the base"),
        ((*BOTH, "--num-action-chunks", "5"), "num_action_chunks is 4 in the base"),
        ((*BOTH, "--action-dim", "6"), "action_dim is 7 in the base"),
        ((*BOTH, "--expert-layer-alignment", "even"), "expert_layer_alignment is 'top' in the base"),
        ((*BOTH, "--expert-init", "base"), "would replace the expert that the base has"),
        (("--state-dim", "3", "--statistics"), "state"),
        (("--vision", "VISION", *BOTH), "--vision is a part that the base has already"),
        (("--pixel-range", "unit", *BOTH), "pixel_range is 'siglip' in the base"),
    ],
)
def test_what_would_lose_or_change_a_part_of_the_base_is_refused(
    with_expert, parts, statistics, tmp_path, capsys, options, words
):
    given = [str(parts.folder / "vision") if word == "VISION" else word for word in options]
    given += statistics[1:] if given[-1:] == ["--statistics"] else []
    assert words in refused(create(with_expert, tmp_path / "out", *given), capsys)
    assert not (tmp_path / "out").exists()


def test_sizes_of_a_first_expert_are_asked_for(plain, tmp_path, capsys):
    assert "--action-dim N, or --statistics" in refused(create(plain, tmp_path / "out", *DEEP), capsys)
    assert "--action-horizon" in refused(create(plain, tmp_path / "out", *DEEP, "--action-dim", "7"), capsys)


def test_a_part_is_no_base_and_a_start_needs_one_or_parts(parts, tmp_path, capsys):
    error = refused(create(parts.folder / "language", tmp_path / "out", *DEEP), capsys)
    assert "--base is a LLaVA-3D checkpoint of ours" in error
    words = ["create", "--family", "mapanything_llava3d", "--output", str(tmp_path / "out"), "--no-geometry"]
    assert "pass --vision DIR, or --base" in refused(main(words), capsys)


# ---- in Python


def test_a_start_in_python_is_that_of_the_command(plain, with_expert, statistics, tmp_path):
    content = json.loads(Path(statistics[1]).read_text())
    sizes = {"expert_hidden_size": 32, "expert_num_layers": 2, "num_action_chunks": 4, "action_dim": 7}
    model = Model.from_base(str(plain), action_expert_type="deep_fusion", norm_stats=content, **sizes)
    assert model.name_or_path == model.config.name_or_path == ""  # which an adapter would name as its base
    written = weights(with_expert)
    assert all(torch.equal(value, written[name]) for name, value in model.state_dict().items())
    model.save_pretrained(tmp_path)
    found, saved = Model.from_pretrained(tmp_path).config, Model.from_pretrained(with_expert).config
    assert found.to_dict() | {"_name_or_path": ""} == saved.to_dict() | {"_name_or_path": ""}
    seeds = [Model.from_base(str(with_expert), seed=seed, dtype=torch.bfloat16, state_dim=8) for seed in (0, 4)]
    assert all(more.dtype == torch.bfloat16 and more.config.use_state for more in seeds)
    assert not torch.equal(*(more.action_expert.state_proj.weight for more in seeds))


def test_a_start_in_python_is_in_the_dtype_of_its_base(plain, tmp_path):
    Model.from_pretrained(plain, dtype=torch.bfloat16).save_pretrained(tmp_path)
    assert Model.from_base(str(tmp_path), **EXPERT, action_dim=7, num_action_chunks=4).dtype == torch.bfloat16


def test_a_copied_expert_in_python(plain, with_expert):
    switches = {"action_expert_type": "deep_fusion", "expert_num_layers": 2, "expert_init": "base"}
    model = Model.from_base(str(plain), **switches, expert_init_layers=[2, 0])
    layers = model.language_model.model.model.layers
    for own, base in zip(model.language_model_with_expert.expert.layers, (layers[2], layers[0]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(own.parameters(), base.parameters(), strict=True))
    with pytest.raises(ConfigError, match="expert_init='base' would replace the expert that the base has"):
        Model.from_base(str(with_expert), expert_init="base")


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"use_geometric_branch": True}, "needs MapAnything's weights"),
        ({"action_expert_type": "dit", "expert_init": "base"}, "action_expert_type is 'dit'"),
        ({"action_expert_type": "dit", "expert_init": "best"}, "expert_init='best' is unknown"),
        (
            {"action_expert_type": "deep_fusion", "expert_init": "base", "expert_hidden_size": 32},
            "expert_hidden_size=32 is not the base's",
        ),
        (
            {"action_expert_type": "deep_fusion", "expert_init": "base", "expert_mlp_ratio": 9},
            "expert_mlp_ratio=9 is not the base's",
        ),
        ({"action_expert": "deep_fusion"}, "action_expert"),
        ({"use_state": True, "state_dim": 0}, "state_dim"),
        ({"vision_config": {"hidden_size": 64}}, "vision_config"),
    ],
)
def test_switches_that_do_not_fit_are_refused(plain, parts, switches, words):
    with pytest.raises(ConfigError, match=words):
        Model.from_base(str(plain), **switches)
    with pytest.raises(ConfigError, match="no LLaVA-3D checkpoint of ours"):
        Model.from_base(str(parts.folder / "language"), **switches)


def test_a_head_begins_with_several_embodiments_and_a_null_condition_and_keeps_them(
    plain, statistics, tmp_path, capsys
):
    dit = ("--action-expert-type", "dit", *DIT, "--num-action-chunks", "4", *statistics)
    options = ("--num-embodiments", "2", "--condition-dropout", "0.1")
    assert create(plain, tmp_path / "out", *dit, *options) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_embodiments"] == config["dit_config"]["num_embodiments"] == 2
    assert config["dit_config"]["condition_dropout"] == 0.1
    found = weights(tmp_path / "out")["dit_action_head.action_decoder.layer1.weight"]
    assert found.ndim == 3 and len(found) == 2 and not torch.equal(found[0], found[1])
    again = create(
        tmp_path / "out", tmp_path / "next", "--action-expert-type", "deep_fusion+dit", "--num-embodiments", "3"
    )
    assert "num_embodiments is 2 in the base" in refused(again, capsys)


def test_a_next_step_writes_as_its_base(plain, statistics, tmp_path):
    base = shutil.copytree(plain, tmp_path / "base")
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7], "max_new_tokens": 33}))
    assert create(base, tmp_path / "out", *DEEP, *SIZES, *statistics) == 0
    by_command = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (by_command["eos_token_id"], by_command["max_new_tokens"]) == ([2, 7], 33)
    found = Model.from_base(str(base), **EXPERT, action_dim=7, num_action_chunks=4).generation_config
    assert found.to_diff_dict() == by_command
