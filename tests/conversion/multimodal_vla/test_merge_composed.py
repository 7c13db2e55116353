"""A LoRA trained on a composed VLA merges as PEFT itself merges it, and the result is as complete as its base."""

import copy
import json

import pytest
import torch
from peft import LoraConfig, get_peft_model

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.conversion.cli import main

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWERS = {
    "siglip": {"model_type": "siglip_vision_model", **SIZES, "image_size": 28, "patch_size": 14},
    "clip": {"model_type": "clip_vision_model", **SIZES, "image_size": 28, "patch_size": 14},
}
HEADS = {"num_attention_heads": 2, "num_hidden_layers": 2}
PAIR = {  # a second tower, both conditioned by the instruction, and a mixture of them
    "second_vision_config": {"model_type": "dinov2", **HEADS, "hidden_size": 16, "image_size": 28, "patch_size": 14},
    **{"vision_aggregate_type": "moe", "use_film": True, "use_aggr": True, "num_vision_aggr": 3},
}
GEMMA = {"model_type": "gemma", **SIZES, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300}
STATISTICS = {"a": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7}}}


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return {"input_ids": torch.randint(3, 200, (2, 6)), "pixel_values": torch.randn(2, 2, 3, 28, 28)}


@pytest.mark.parametrize(("tower", "fields"), [("siglip", {}), ("clip", {}), ("siglip", PAIR)])
@pytest.mark.parametrize(
    ("targets", "whole"),
    [
        (["q_proj", "v_proj", "gate_proj"], ["action_head"]),  # vision tower and language model
        (r"backbone\.language_model.*(q_proj|o_proj|down_proj)", ["action_head", "projector", "action_queries"]),
    ],
)
def test_a_lora_of_a_composed_model_merges_as_peft_does(tower, fields, targets, whole, inputs, tmp_path):
    torch.manual_seed(0)
    config = MultimodalVLAConfig(vision_config=TOWERS[tower], text_config=GEMMA, norm_stats=STATISTICS, **fields)
    inputs["pixel_values"] = inputs["pixel_values"].repeat(1, 1, len(config.towers), 1, 1)
    base = MultimodalVLAForActionPrediction(config).eval()
    base.save_pretrained(tmp_path / "base")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=targets, modules_to_save=whole, init_lora_weights=False)
    trained = get_peft_model(MultimodalVLAForActionPrediction.from_pretrained(tmp_path / "base"), lora).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    trained.save_pretrained(tmp_path / "adapter")

    sources = ["--base", str(tmp_path / "base"), "--adapter", str(tmp_path / "adapter")]
    sources += ["--statistics", str(tmp_path / "base" / "config.json")]
    assert main(["merge-lora", *sources, "--output", str(tmp_path / "out"), "--quiet"]) == 0
    merged = MultimodalVLAForActionPrediction.from_pretrained(tmp_path / "out").eval()
    actions = merged.predict_action(**inputs)
    torch.testing.assert_close(actions, trained.predict_action(**inputs), rtol=1e-5, atol=1e-5)
    assert (actions - base.predict_action(**inputs)).abs().max() > 0.05
    wanted = trained.merge_and_unload().state_dict()
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-6, atol=1e-6, msg=name)
    code = {path.name for path in (tmp_path / "base").glob("*.py")}
    assert code == {path.name for path in (tmp_path / "out").glob("*.py")} and len(code) > 10


def test_of_several_runs_all_files_have_the_statistics_of_the_last(tmp_path):
    """The first run brings the file of statistics, the second a processor alone."""
    config = MultimodalVLAConfig(vision_config=TOWERS["siglip"], text_config=GEMMA, norm_stats=STATISTICS)
    base = MultimodalVLAForActionPrediction(config)
    base.save_pretrained(tmp_path / "base")
    words = ["merge-lora", "--base", tmp_path / "base", "--output", tmp_path / "out", "--quiet"]
    runs = {name: {name: {"action": {"q01": [-3.0] * 7, "q99": [2.0] * 7}}} for name in ("first", "second")}
    for place, module in (("first", "q_proj"), ("second", "v_proj")):
        config = LoraConfig(r=2, target_modules=[module])
        get_peft_model(copy.deepcopy(base), config).save_pretrained(tmp_path / place)
        (tmp_path / place / "processor_config.json").write_text(json.dumps({"norm_stats": runs[place]}))
        words += ["--adapter", tmp_path / place]
    (tmp_path / "first" / "dataset_statistics.json").write_text(json.dumps(runs["first"]))
    assert main([*map(str, words)]) == 0
    for name in ("config.json", "processor_config.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["norm_stats"] == runs["second"]
    assert json.loads((tmp_path / "out" / "dataset_statistics.json").read_text()) == runs["second"]


def test_a_plain_merge_takes_statistics_from_another_folder_and_checks_them(tmp_path, capsys):
    config = MultimodalVLAConfig(vision_config=TOWERS["siglip"], text_config=GEMMA, norm_stats=STATISTICS)
    base = MultimodalVLAForActionPrediction(config)
    base.save_pretrained(tmp_path / "base")
    processor = tmp_path / "base/processor_config.json"  # which un-normalises where no model is at hand
    processor.write_text(json.dumps({"norm_stats": STATISTICS, "kept": 1}))
    (tmp_path / "base" / "dataset_statistics.json").write_text(json.dumps(STATISTICS))
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    given = tmp_path / "dataset_statistics.json"

    def merge(output, statistics, *options):
        given.write_text(json.dumps(statistics))
        words = ["--base", tmp_path / "base", "--adapter", tmp_path / "adapter", "--output", tmp_path / output]
        return main(["merge-lora", *map(str, words), "--quiet", *options])

    mine = {"mine": {"action": {"q01": [-3.0] * 7, "q99": [2.0] * 7}}}
    assert merge("out", mine, "--statistics", str(given)) == 0
    assert MultimodalVLAConfig.from_pretrained(tmp_path / "out").norm_stats == mine
    assert json.loads((tmp_path / "out" / processor.name).read_text()) == {"norm_stats": mine, "kept": 1}
    assert json.loads((tmp_path / "out" / given.name).read_text()) == mine
    mine["mine"]["action"]["q99"][4] = -9.0
    assert merge("bad", mine, "--statistics", str(given), "--dry-run") == 1  # before any work is done
    assert "['mine']['action']['q01'][4] is -3.0, above" in capsys.readouterr().err
    (tmp_path / "adapter" / given.name).write_text(json.dumps(mine))  # as a run leaves them
    assert merge("bad", mine) == 1
    assert "['mine']['action']['q01'][4] is -3.0, above" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()
