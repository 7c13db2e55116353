"""merge-lora and convert end to end: every tensor computed again from the run's files, and what stands beside them."""

import copy
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub import CogVLAForActionPrediction, CogVLAImageProcessor, CogVLAProcessor
from vlahub.conversion.cli import main, merge_lora_main

TEXTS = [
    "README.md",
    "config.json",
    "conversion_report.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]
LAST_BLOCK = {"featurizer": 3, "fused_featurizer": 4}  # of the tiny towers; never run, hence not shipped
SCALE = 16 / 4  # alpha / r of the tiny runs


def read_json(path):
    return json.loads(path.read_text())


def as_numpy(tensors):
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}


def sources_of(run):
    """`{file: {key: float32 array}}` of everything that a run and its base hold."""
    shards = [load_file(path) for path in sorted(run.base.glob("*.safetensors"))]
    adapter = load_file(run.run / "lora_adapter" / "adapter_model.safetensors")
    found = {"base": as_numpy({k: v for shard in shards for k, v in shard.items()}), "adapter": as_numpy(adapter)}
    for path in run.run.glob("*.pt"):
        found[path.name.split("--")[0]] = as_numpy(torch.load(path, weights_only=True))
    return found


def with_adapter(name, value, adapter):
    """base + alpha/r * B A, float32, for a weight that the adapter names."""
    key = f"base_model.model.{name.removesuffix('.weight')}"
    if f"{key}.lora_A.weight" not in adapter:
        return value
    return value + np.float32(SCALE) * (adapter[f"{key}.lora_B.weight"] @ adapter[f"{key}.lora_A.weight"])


def shipped(name):
    """Whether a tensor of a tower influences the features: not in the last block, nor the final norm."""
    tower, _, rest = name.removeprefix("vision_backbone.").partition(".")
    return not rest.startswith(("norm.", f"blocks.{LAST_BLOCK[tower]}."))


def wrapped_vision(tensors):
    """The vision side file, its own LoRA merged once."""
    found = {}
    for name, value in tensors.items():
        if ".lora_" in name:
            continue
        if name.startswith("vision_aggr_"):
            found[f"vision_backbone.{name.removeprefix('vision_aggr_')}.aggregation.tokens"] = value
            continue
        module = name.removesuffix(".base_layer.weight")
        if module != name:
            a, b = (tensors[f"{module}.lora_{part}.default.weight"] for part in "AB")
            value = value + np.float32(SCALE) * (b @ a)
        name = name.replace(".base_layer.", ".").replace(".block.", ".")
        name = name.replace(".scale.", ".film.scale.").replace(".shift.", ".film.shift.")
        found[name] = value
    return {name: value for name, value in found.items() if ".aggregation." in name or shipped(name)}


def heads(sources):
    found = {}
    for kind in ("action_head", "proprio_projector", "noisy_action_projector"):
        for key, value in sources.get(kind, {}).items():
            key = key.removeprefix("module.").replace("noise_predictor.mlp_resnet.", "model.")
            found[f"{kind}.{key}"] = value
    return found


def expected_cogvla(sources):
    base, adapter = sources["base"], sources["adapter"]
    found = {k: with_adapter(k, v, adapter) for k, v in base.items() if k.startswith("language_model.")}
    for key, value in sources["non_lora_trainables"].items():
        key = key.replace("aggregation_router.", "")
        found[key if key.startswith("language_model.") else f"moe_aggregator.{key}"] = value
    return {**found, **wrapped_vision(sources["vision_backbone"]), **heads(sources)}


def expected_openvla(sources):
    """Without FiLM and aggregation everything but the heads is base + adapter."""
    found = {name: with_adapter(name, value, sources["adapter"]) for name, value in sources["base"].items()}
    found = {k: v for k, v in found.items() if not k.startswith("vision_backbone.") or shipped(k)}
    return {**found, **heads(sources)}


def assert_weights_are(weights, expected, sources):
    """Merged weights to the last bits of float32, every other bit for bit."""
    assert set(weights) == set(expected)
    originals = {value.tobytes() for tensors in sources.values() for value in tensors.values()}
    for name, value in expected.items():
        got = weights[name].numpy()
        if value.tobytes() in originals:
            np.testing.assert_array_equal(got, value, err_msg=name)
        else:
            np.testing.assert_allclose(got, value, rtol=1e-6, atol=2e-7, err_msg=name)


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


# Weights


def test_every_weight_of_a_cogvla_run_is_the_one_computed_from_its_files(cogvla, merged, weights_of):
    sources = sources_of(cogvla)
    expected = expected_cogvla(sources)
    assert_weights_are(weights_of(merged), expected, sources)
    changed = "language_model.model.layers.0.self_attn.q_proj.weight"
    assert np.abs(expected[changed] - sources["base"][changed]).max() > 0.1  # the adapter is not negligible


@pytest.mark.parametrize("name", ["openvla_oft", "diffusion", "openvla"])
def test_without_film_all_but_the_heads_is_base_and_adapter(name, request, tmp_path, weights_of):
    run = request.getfixturevalue(name)
    options = ["--decoding", "autoregressive"] if name == "openvla" else []
    assert run.merge(tmp_path / "out", "--dtype", "float32", *options) == 0
    sources = sources_of(run)
    assert_weights_are(weights_of(tmp_path / "out"), expected_openvla(sources), sources)


def test_bfloat16_is_float32_rounded_once_and_auto_is_the_dtype_of_the_base(cogvla, merged, tmp_path, weights_of):
    assert cogvla.merge(tmp_path / "auto") == 0
    assert cogvla.merge(tmp_path / "given", "--dtype", "bfloat16") == 0
    rounded = {name: value.bfloat16() for name, value in weights_of(merged).items()}
    assert_same_weights(weights_of(tmp_path / "auto"), rounded)
    assert_same_weights(weights_of(tmp_path / "given"), rounded)
    assert read_json(tmp_path / "auto" / "config.json")["dtype"] == "bfloat16"
    assert read_json(merged / "config.json")["dtype"] == "float32"


def test_auto_follows_a_base_in_float32(cogvla, tmp_path, weights_of, save_weights, merged):
    run = cogvla.copied_with_base(tmp_path)
    for path in run.base.glob("*.safetensors"):
        save_weights({name: value.float() for name, value in load_file(path).items()}, path)
    assert run.merge(tmp_path / "out") == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))


def test_a_pickled_base_gives_the_same_weights_as_safetensors(cogvla, tmp_path, weights_of, merged):
    run = cogvla.copied_with_base(tmp_path)
    tensors = weights_of(run.base)
    for path in [*run.base.glob("*.safetensors"), run.base / "model.safetensors.index.json"]:
        path.unlink()
    torch.save(tensors, run.base / "pytorch_model.bin")
    assert run.merge(tmp_path / "out", "--dtype", "float32") == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))


def test_an_adapter_at_the_root_of_the_run_is_found(cogvla, tmp_path, weights_of, merged):
    run = cogvla.copied(tmp_path)
    for path in list((run.run / "lora_adapter").iterdir()):
        path.rename(run.run / path.name)
    (run.run / "lora_adapter").rmdir()
    assert run.merge(tmp_path / "out", "--dtype", "float32") == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))


def test_the_adapter_stands_in_for_a_lora_that_the_vision_file_lacks(cogvla, tmp_path, weights_of, merged):
    """For vision the adapter repeats what the side file holds."""
    run = cogvla.copied(tmp_path)
    path = next(run.run.glob("vision_backbone--*.pt"))
    tensors = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in tensors.items() if ".lora_" not in name}, path)
    assert run.merge(tmp_path / "out", "--dtype", "float32") == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))


def test_side_files_called_latest_are_found(cogvla, tmp_path, weights_of, merged):
    run = cogvla.copied(tmp_path)
    for path in run.run.glob("*.pt"):
        path.rename(path.with_name(path.name.replace("--10_", "--latest_")))
    assert run.merge(tmp_path / "out", "--dtype", "float32") == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))


def test_the_weights_do_not_depend_on_the_name_of_the_base_folder(cogvla, tmp_path, weights_of, merged):
    shutil.copytree(cogvla.base, tmp_path / "openvla-7b finetuned")
    arguments = ["--base", str(tmp_path / "openvla-7b finetuned"), "--adapter", str(cogvla.run)]
    assert merge_lora_main([*arguments, "--output", str(tmp_path / "out"), *cogvla.options, "--dtype", "float32"]) == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))
    inputs = read_json(tmp_path / "out" / "conversion_report.json")["inputs"]
    assert inputs == {"base": "openvla-7b finetuned", "run": "run"}


# What stands in the folder


def test_the_output_holds_exactly_these_files(merged):
    """Beside the code, which `test_remote_code.py` knows."""
    assert {path.name for path in merged.iterdir() if path.suffix != ".py"} == {"model.safetensors", *TEXTS}
    assert [path.name for path in merged.parent.iterdir()] == ["out"]  # no work folder, no lock


def test_the_weights_are_as_readable_as_the_other_files(merged):
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in merged.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]


def test_a_small_shard_size_gives_shards_and_an_index_that_load_strictly(cogvla, merged, tmp_path, weights_of):
    output = tmp_path / "out"
    assert cogvla.merge(output, "--dtype", "float32", "--max-shard-size", "300KB") == 0
    index = read_json(output / "model.safetensors.index.json")
    shards = sorted(output.glob("*.safetensors"))
    assert [path.name for path in shards] == [
        f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))
    ]
    assert not (output / "model.safetensors").exists() and len(shards) > 4
    held = {}
    for path in shards:
        tensors = load_file(path)
        assert len(tensors) == 1 or sum(t.nbytes for t in tensors.values()) <= 300_000, path.name
        held |= dict.fromkeys(tensors, path.name)
    assert held == index["weight_map"]
    assert_same_weights(weights_of(output), weights_of(merged))
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in weights_of(output).values())
    model = CogVLAForActionPrediction.from_pretrained(output)
    assert_same_weights(dict(model.state_dict()), weights_of(merged))


def test_the_weights_carry_the_metadata_that_transformers_asks_for(merged):
    with safe_open(merged / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_the_same_conversion_twice_gives_the_same_bytes(cogvla, tmp_path):
    folders = [tmp_path / name / "out" for name in ("first", "second")]
    for folder in folders:
        assert cogvla.merge(folder, "--max-shard-size", "2MB") == 0
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_overwrite_replaces_everything_that_was_there(cogvla, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "config.json").write_text("{}")
    (output / "model-00001-of-00009.safetensors").write_text("of an older conversion")
    assert cogvla.merge(output, "--overwrite") == 0
    assert not (output / "model-00001-of-00009.safetensors").exists() and (output / "model.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_may_be_the_output(cogvla, tmp_path):
    (tmp_path / "out").mkdir()
    assert cogvla.merge(tmp_path / "out") == 0
    assert (tmp_path / "out" / "config.json").exists()


def test_a_dry_run_prints_the_plan_and_writes_nothing(cogvla, tmp_path, snapshot, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep.txt").write_text("kept")
    loud = cogvla.copied(tmp_path)
    arguments = ["--base", str(loud.base), "--adapter", str(loud.run), "--num-images", "2", "--platform", "libero"]
    before = snapshot(tmp_path, cogvla.base)
    assert merge_lora_main([*arguments, "--output", str(tmp_path / "out"), "--dry-run"]) == 0
    assert merge_lora_main([*arguments, "--output", str(tmp_path / "new" / "out"), "--dry-run"]) == 0
    assert snapshot(tmp_path, cogvla.base) == before
    plan = capsys.readouterr().out
    for line in (
        r"num_images_in_input +2 +- +given \(--num-images\)",
        r"num_action_chunks +8 +- +given \(--platform libero\)",
        r"action_dim +7 +- +read \(action head\)",
        r"proprio_dim +8 +- +read \(proprio projector\)",
        r"action_attention +block +- +inferred",
        r"norm_stats +\['demo_tabletop'\] +- +read \(dataset_statistics.json\)",
        r"dtype +bfloat16 +- +read",
        r"1 +merge_lora +base/model-00002-of-00002.safetensors",
        r"6 +unused +base/model-00001-of-00002.safetensors: the MoE aggregator replaces it",
    ):
        assert len(re.findall(line, plan)) == 2, line


def test_quiet_prints_nothing(cogvla, tmp_path, capfd):
    """Where nothing had to be assumed."""
    assert cogvla.merge(tmp_path / "out", "--no-center-crop") == 0
    assert capfd.readouterr() == ("", "")


# Report and card


@pytest.mark.parametrize("name", ["cogvla", "openvla_oft", "diffusion"])
def test_the_report_accounts_for_every_source_tensor_exactly_once(name, request, tmp_path):
    run = request.getfixturevalue(name)
    assert run.merge(tmp_path / "out") == 0
    report = read_json(tmp_path / "out" / "conversion_report.json")
    used = [source for tensor in report["tensors"].values() for source in tensor["sources"]]
    left = [entry["source"] for entry in report["leftovers"]]
    accounted = used + left
    assert len(accounted) == len(set(accounted))
    held = {f"base/{p.name}:{key}" for p in run.base.glob("*.safetensors") for key in load_file(p)}
    adapter = run.run / "lora_adapter" / "adapter_model.safetensors"
    held |= {f"run/lora_adapter/{adapter.name}:{key}" for key in load_file(adapter)}
    held |= {f"run/{p.name}:{key}" for p in run.run.glob("*.pt") for key in torch.load(p, weights_only=True)}
    assert set(accounted) == held
    assert {entry["status"] for entry in report["leftovers"]} <= {"superseded", "unused"}
    assert all(len(entry["reason"]) > 10 for entry in report["leftovers"])


def test_the_report_says_what_was_superseded_and_why(merged):
    report = read_json(merged / "conversion_report.json")
    reasons = {entry["source"]: (entry["status"], entry["reason"]) for entry in report["leftovers"]}
    assert reasons["base/model-00001-of-00002.safetensors:vision_backbone.featurizer.pos_embed"] == (
        "superseded",
        "run/vision_backbone--10_checkpoint.pt has it",
    )
    vision = "run/lora_adapter/adapter_model.safetensors:base_model.model.vision_backbone.vision_backbone.featurizer"
    assert reasons[f"{vision}.blocks.0.block.attn.qkv.lora_A.weight"][0] == "superseded"
    assert reasons[f"{vision}.blocks.3.block.attn.qkv.lora_A.weight"] == (
        "unused",
        "features are taken before the tower's last block",
    )
    assert reasons["base/model-00001-of-00002.safetensors:projector.fc1.weight"][0] == "unused"


def test_the_report_and_the_model_agree_on_names_and_shapes(merged, weights_of):
    report = read_json(merged / "conversion_report.json")
    shapes = {name: tensor["shape"] for name, tensor in report["tensors"].items()}
    assert shapes == {name: list(tensor.shape) for name, tensor in weights_of(merged).items()}


def test_no_written_text_holds_a_path_of_this_machine(merged, cogvla):
    for path in merged.iterdir():
        if path.suffix != ".safetensors":
            text = path.read_text()
            for folder in (cogvla.base, merged):
                assert str(folder.parent) not in text, path.name


def test_the_card_shows_how_to_load_and_leaves_no_placeholder(merged):
    card = (merged / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert 'unnorm_key="demo_tabletop"' in card and "(batch, 8, 7)" in card and "$" not in card


# Settings


def test_statistics_are_those_of_the_run(cogvla, merged):
    statistics = read_json(cogvla.run / "dataset_statistics.json")
    assert "base_only" in read_json(cogvla.base / "config.json")["norm_stats"]
    for name in ("config.json", "processor_config.json"):
        assert read_json(merged / name)["norm_stats"] == statistics


def test_the_processor_has_the_rules_of_its_model(merged):
    config, processor = (read_json(merged / f"{name}.json") for name in ("config", "processor_config"))
    for name in ("norm_stats", "normalization_type", "proprio_dim"):
        assert processor[name] == config[name] is not None, name


def test_a_cogvla_run_keeps_the_settings_that_its_config_and_tensors_record(merged):
    config = CogVLAForActionPrediction.from_pretrained(merged).config
    expected = {
        "vision_aggregate_type": "moe",
        "use_film": True,
        "num_vision_aggr": 4,
        "lfp_type": "shiftedcos_decay_0.78_0.15",
        "lfp_average_factor": 0.3,
        "lfp_enable_film": True,
        "lfp_schedule_layers": 32,
        "action_head": "l1",
        "action_attention": "block",
        "proprio_dim": 8,
        "num_images_in_input": 2,
        "num_action_chunks": 8,
        "action_dim": 7,
        "normalization_type": "bounds_q99",
    }
    assert {name: getattr(config, name) for name in expected} == expected
    towers = config.featurizer_config, config.fused_featurizer_config
    assert [(t.hidden_size, t.num_hidden_layers, t.num_attention_heads, t.image_size) for t in towers] == [
        (32, 3, 2, 56),
        (48, 4, 2, 56),
    ]


def test_an_openvla_oft_run_gets_bidirectional_attention(openvla_oft, tmp_path):
    assert openvla_oft.merge(tmp_path / "out") == 0
    config = read_json(tmp_path / "out" / "config.json")
    assert config["action_attention"] == "bidirectional" and config["vision_aggregate_type"] == "concat"
    assert not (config["use_film"] or config["use_aggr"] or config["use_lfp"])


def test_a_diffusion_run_keeps_its_steps_and_those_of_its_predictions(diffusion, tmp_path):
    assert diffusion.merge(tmp_path / "all") == 0
    assert diffusion.merge(tmp_path / "fewer", "--num-inference-steps", "2") == 0
    configs = [read_json(tmp_path / name / "config.json") for name in ("all", "fewer")]
    found = [(c["action_head"], c["num_diffusion_steps"], c["num_inference_steps"]) for c in configs]
    assert found == [("diffusion", 3, None), ("diffusion", 3, 2)]
    assert (
        main(["verify", str(tmp_path / "fewer"), "--against", str(diffusion.run), "--base", str(diffusion.base)]) == 0
    )


def test_the_size_of_a_diffusion_heads_action_is_the_action_dim(diffusion, tmp_path):
    assert diffusion.merge(tmp_path / "out") == 0
    model = CogVLAForActionPrediction.from_pretrained(tmp_path / "out")
    assert model.config.action_dim == 7 and model.noisy_action_projector.fc1.in_features == 1


def test_autoregressive_decoding_needs_no_further_option(openvla, tmp_path):
    assert openvla.merge(tmp_path / "out", "--decoding", "autoregressive") == 0
    config = read_json(tmp_path / "out" / "config.json")
    expected = {"action_attention": "causal", "action_head": "discrete", "num_action_chunks": 1, "action_dim": 7}
    expected |= {"num_images_in_input": 1, "normalization_type": "bounds_q99"}
    assert {name: config[name] for name in expected} == expected and config.get("proprio_dim") is None


def test_parallel_decoding_of_discrete_tokens_is_openvla_oft(openvla, tmp_path):
    options = ["--decoding", "parallel", "--num-images", "1", "--num-action-chunks", "5", "--normalization", "bounds"]
    assert openvla.merge(tmp_path / "out", *options) == 0
    config = read_json(tmp_path / "out" / "config.json")
    assert (config["action_attention"], config["num_action_chunks"], config["action_dim"]) == ("bidirectional", 5, 7)
    assert config["normalization_type"] == "bounds"
    assert CogVLAProcessor.from_pretrained(tmp_path / "out").normalization_type == "bounds"


def test_parallel_decoding_of_a_cogvla_is_its_own(cogvla, merged, tmp_path):
    assert cogvla.merge(tmp_path / "out", "--decoding", "parallel") == 0
    found, known = (read_json(folder / "config.json")["action_attention"] for folder in (tmp_path / "out", merged))
    assert found == known == "block"


def test_single_options_stand_in_for_the_platform_and_win_over_it(cogvla, tmp_path):
    base = ["--base", str(cogvla.base), "--adapter", str(cogvla.run), "--num-images", "3", "--quiet"]
    single = ["--num-action-chunks", "5", "--action-dim", "7", "--normalization", "bounds"]
    assert merge_lora_main([*base, *single, "--output", str(tmp_path / "single")]) == 0
    assert merge_lora_main([*base, *single, "--platform", "calvin", "--output", str(tmp_path / "both")]) == 0
    single, both = (read_json(tmp_path / name / "config.json") for name in ("single", "both"))
    assert (single["num_action_chunks"], single["normalization_type"], single["num_images_in_input"]) == (
        5,
        "bounds",
        3,
    )
    assert single == both


def test_the_platform_fits_runs_of_other_sizes(write_run, tmp_path):
    run = write_run(
        *("--num-images", "3", "--platform", "aloha", "--quiet"),
        cogvla=False,
        layers=2,
        action_dim=14,
        proprio_dim=14,
    )
    assert run.merge(tmp_path / "out") == 0
    config = read_json(tmp_path / "out" / "config.json")
    sizes = [config[name] for name in ("num_action_chunks", "action_dim", "proprio_dim", "normalization_type")]
    assert sizes == [25, 14, 14, "bounds"]


def test_center_crop_lands_in_the_image_processor(cogvla, merged, tmp_path):
    assert cogvla.merge(tmp_path / "out", "--center-crop") == 0
    assert CogVLAImageProcessor.from_pretrained(tmp_path / "out").center_crop is True
    assert CogVLAImageProcessor.from_pretrained(merged).center_crop is False


def test_the_image_processor_has_the_published_means_and_as_many_views_as_the_model(cogvla, merged):
    processor = CogVLAImageProcessor.from_pretrained(merged)
    published = read_json(cogvla.run / "preprocessor_config.json")
    assert [processor.means, processor.stds] == [published["means"], published["stds"]]
    assert processor.image_sizes == [56, 56] and processor.num_images_in_input == 2


def test_the_tokenizer_is_copied_and_read_the_same_by_both_lines(cogvla, merged):
    assert (merged / "tokenizer.json").read_bytes() == (cogvla.run / "tokenizer.json").read_bytes()
    settings = read_json(merged / "tokenizer_config.json")
    assert (settings["tokenizer_class"], settings["processor_class"]) == ("PreTrainedTokenizerFast", "CogVLAProcessor")
    assert settings["model_max_length"] == 2048


def test_all_files_of_a_tokenizer_travel(cogvla, tmp_path):
    run = cogvla.copied(tmp_path)
    others = {"added_tokens.json": {"<PAD>": 32000}, "special_tokens_map.json": {"pad_token": "<PAD>"}}
    for name, content in others.items():
        (run.run / name).write_text(json.dumps(content))
    assert run.merge(tmp_path / "out") == 0
    for name, content in others.items():
        assert read_json(tmp_path / "out" / name) == content


def test_a_tokenizer_that_only_the_base_has_is_taken_from_there(cogvla, tmp_path):
    run = cogvla.copied(tmp_path)
    for path in run.run.glob("tokenizer*"):
        path.unlink()
    assert run.merge(tmp_path / "out") == 0
    assert CogVLAProcessor.from_pretrained(tmp_path / "out").tokenizer.pad_token_id == 32000


def test_a_source_without_tokenizer_gives_a_warning_and_a_model_that_loads(cogvla, tmp_path, capfd):
    run = cogvla.copied_with_base(tmp_path)
    for path in [*run.run.glob("tokenizer*"), *run.base.glob("tokenizer*")]:
        path.unlink()
    run = replace(run, options=tuple(option for option in run.options if option != "--quiet"))
    assert run.merge(tmp_path / "out") == 0
    assert "no tokenizer.json" in "".join(capfd.readouterr())
    assert not (tmp_path / "out" / "tokenizer_config.json").exists()
    inputs = {
        "input_ids": torch.tensor([[1, 300, 301, 29871]]),
        "pixel_values": torch.zeros(1, 12, 56, 56),
        "proprio": torch.zeros(1, 8),
    }
    model = CogVLAForActionPrediction.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert model.predict_action(**inputs).shape == (1, 8, 7)


def test_a_run_without_state_projector_becomes_a_model_without_state(cogvla, tmp_path, capsys):
    """No published file says whether a run used the state, so that it is assumed aloud."""
    run = cogvla.copied(tmp_path)
    next(run.run.glob("proprio_projector--*.pt")).unlink()
    arguments = ["--base", str(run.base), "--adapter", str(run.run), "--num-images", "2", "--platform", "libero"]
    assert merge_lora_main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert "assumed (no proprio_projector--*_checkpoint.pt: trained without" in capsys.readouterr().out
    model = CogVLAForActionPrediction.from_pretrained(tmp_path / "out")
    assert model.proprio_projector is None and model.config.proprio_dim is None


# Runs that are merged already


def merged_copy(run, folder, merged_language, save_weights, dtype=torch.float32):
    """The run as its training leaves it with `merge_lora_during_training`: two shards of merged weights inside."""
    copy = run.copied(folder)
    weights = {name: value.to(dtype) for name, value in merged_language(run).items()}
    names = sorted(weights)
    shards = {
        "model-00001-of-00002.safetensors": names[: len(names) // 2],
        "model-00002-of-00002.safetensors": names[len(names) // 2 :],
    }
    for name, held in shards.items():
        save_weights({key: weights[key] for key in held}, copy.run / name)
    index = {"metadata": {}, "weight_map": {key: name for name, held in shards.items() for key in held}}
    (copy.run / "model.safetensors.index.json").write_text(json.dumps(index))
    return copy


def test_a_run_merged_already_converts_to_the_same_weights(
    cogvla, merged, tmp_path, merged_language, save_weights, weights_of
):
    run = merged_copy(cogvla, tmp_path, merged_language, save_weights)
    assert run.convert(tmp_path / "out", "--dtype", "float32") == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))
    report = read_json(tmp_path / "out" / "conversion_report.json")
    language = "run/lora_adapter/adapter_model.safetensors:base_model.model.language_model."
    left = [entry for entry in report["leftovers"] if entry["source"].startswith(language)]
    assert len(left) == 2 * (8 * 7 + 1) and {entry["status"] for entry in left} == {"superseded"}


def test_merge_lora_does_not_add_the_adapter_to_merged_weights_a_second_time(
    cogvla, merged, tmp_path, merged_language, save_weights, weights_of
):
    run = merged_copy(cogvla, tmp_path, merged_language, save_weights)
    assert run.merge(tmp_path / "with_base", "--dtype", "float32") == 0
    assert main(["merge-lora", "--adapter", str(run.run), "--output", str(tmp_path / "out"), *run.options]) == 0
    assert_same_weights(weights_of(tmp_path / "with_base"), weights_of(merged))
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))  # dtype auto: that of the merged weights


def test_a_single_file_with_the_heads_under_their_names_converts(
    cogvla, merged, tmp_path, merged_language, save_weights, weights_of
):
    """Everything merged and in one file, the towers still under the names of FiLM's wrapper."""
    tensors = {k: v for k, v in merged_language(cogvla).items() if not k.startswith("vision_backbone.")}
    sources = sources_of(cogvla)
    vision = sources["vision_backbone"]
    for name, value in vision.items():
        module = name.removesuffix(".base_layer.weight")
        if module != name:
            a, b = (torch.from_numpy(vision[f"{module}.lora_{part}.default.weight"]) for part in "AB")
            value = (torch.from_numpy(value) + SCALE * (b @ a)).numpy()
        if ".lora_" not in name:
            tensors[f"vision_backbone.{name.replace('.base_layer.', '.')}"] = torch.from_numpy(value)
    for kind in ("non_lora_trainables", "action_head", "proprio_projector"):
        for name, value in sources[kind].items():
            prefix = "" if kind == "non_lora_trainables" else f"{kind}."
            tensors[prefix + name.removeprefix("module.")] = torch.from_numpy(value)
    (tmp_path / "source").mkdir()
    save_weights(tensors, tmp_path / "source" / "model.safetensors")
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(cogvla.run / name, tmp_path / "source" / name)
    arguments = ["convert", str(tmp_path / "source"), str(tmp_path / "out"), *cogvla.options]
    assert main([*arguments, "--dtype", "float32"]) == 0
    assert_same_weights(weights_of(tmp_path / "out"), weights_of(merged))
    assert list(read_json(tmp_path / "out" / "config.json")["norm_stats"]) == ["base_only"]  # all that there is


def test_a_diffusion_checkpoint_with_all_heads_in_one_file_converts(
    diffusion, tmp_path, merged_language, save_weights, weights_of
):
    tensors = merged_language(diffusion)
    adapter = sources_of(diffusion)["adapter"]
    for name in [k for k in tensors if not k.startswith("language_model.")]:
        tensors[name] = torch.from_numpy(with_adapter(name, tensors[name].float().numpy(), adapter))
    for path in diffusion.run.glob("*.pt"):
        kind = path.name.split("--")[0]
        for name, value in torch.load(path, weights_only=True).items():
            tensors[f"{kind}.{name.removeprefix('module.')}"] = value.float()
    (tmp_path / "source").mkdir()
    save_weights(tensors, tmp_path / "source" / "model.safetensors")
    shutil.copyfile(diffusion.run / "config.json", tmp_path / "source" / "config.json")
    assert (
        main(["convert", str(tmp_path / "source"), str(tmp_path / "out"), *diffusion.options, "--dtype", "float32"])
        == 0
    )
    assert diffusion.merge(tmp_path / "reference", "--dtype", "float32") == 0
    ours, reference = weights_of(tmp_path / "out"), weights_of(tmp_path / "reference")
    assert ours.keys() == reference.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], reference[name], rtol=1e-6, atol=2e-7)


# The arithmetic is PEFT's

VARIANTS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "rank and alpha patterns": {"rank_pattern": {"q_proj": 2, "up_proj": 8}, "alpha_pattern": {"up_proj": 3}},
    "a pattern for one layer": {"alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 64}, "use_rslora": True},
}


def randomised(model, part="lora_"):
    """The model with other numbers in the parameters whose names hold `part`; magnitudes of DoRA stay positive."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if part in name:
            parameter.data += 0.1 * torch.rand(parameter.shape, generator=generator)
    return model


def assert_equal_to_peft(model, config, folder):
    """A model's adapter merged by us from files, against PEFT's merge of the model in memory, bit for bit."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (folder / "base").mkdir()
    save_file(before, folder / "base" / "model.safetensors")
    (folder / "base" / "config.json").write_text('{"model_type": "anything"}')
    wrapped = randomised(get_peft_model(model, config))
    wrapped.save_pretrained(folder / "adapter")
    sources = ["--base", str(folder / "base"), "--adapter", str(folder / "adapter")]
    assert merge_lora_main([*sources, "--output", str(folder / "out"), "--quiet"]) == 0
    merged, expected = load_file(folder / "out" / "model.safetensors"), wrapped.merge_and_unload().state_dict()
    assert_same_weights(merged, expected)
    assert any(not torch.equal(merged[name], before[name]) for name in before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_merged_llama_is_the_one_that_peft_merges(variant, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes))
    targets = ["q_proj", "o_proj", "up_proj", "lm_head"]
    config = LoraConfig(r=4, lora_alpha=16, target_modules=targets, **VARIANTS[variant])
    assert_equal_to_peft(llama, config, tmp_path)


OTHER_LAYERS = {
    "with a bias": (nn.Sequential(nn.Linear(8, 24), nn.GELU(), nn.Linear(24, 8)), ["0", "2"], {}),
    "DoRA with a bias": (nn.Sequential(nn.Linear(8, 24), nn.Linear(24, 8)), ["0", "1"], {"use_dora": True}),
    "a LoRA that has a bias": (nn.Sequential(nn.Linear(8, 24), nn.Linear(24, 8)), ["1"], {"lora_bias": True}),
    "embedding": (nn.Sequential(nn.Embedding(16, 8), nn.Linear(8, 8)), ["0"], {}),
    "convolution": (nn.Sequential(nn.Conv2d(3, 8, 2), nn.Conv2d(8, 4, 3)), ["0", "1"], {"use_rslora": True}),
}


@pytest.mark.parametrize("case", OTHER_LAYERS)
def test_a_merged_layer_of_another_kind_is_the_one_that_peft_merges(case, tmp_path):
    model, targets, settings = OTHER_LAYERS[case]
    model = randomised(copy.deepcopy(model), "")
    assert_equal_to_peft(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, **settings), tmp_path)


def test_a_run_with_rslora_and_patterns_is_merged_with_its_own_strengths(cogvla, merged, tmp_path, weights_of):
    """The strength follows from the run's adapter_config.json, for side files too."""
    run = cogvla.copied(tmp_path)
    path = run.run / "lora_adapter" / "adapter_config.json"
    path.write_text(json.dumps({**read_json(path), "use_rslora": True, "alpha_pattern": {"q_proj": 2}}))
    assert run.merge(tmp_path / "out", "--dtype", "float32") == 0
    weights, sources = weights_of(tmp_path / "out"), sources_of(run)
    for projection, alpha in (("q_proj", 2), ("k_proj", 16)):
        name = f"language_model.model.layers.5.self_attn.{projection}.weight"
        key = f"base_model.model.{name.removesuffix('.weight')}"
        delta = sources["adapter"][f"{key}.lora_B.weight"] @ sources["adapter"][f"{key}.lora_A.weight"]
        expected = sources["base"][name] + np.float32(alpha / 4**0.5) * delta
        np.testing.assert_allclose(weights[name].numpy(), expected, rtol=1e-6, atol=2e-7)
    qkv = "vision_backbone.featurizer.blocks.0.attn.qkv.weight"
    assert not torch.equal(weights[qkv], weights_of(merged)[qkv])


def test_patterns_that_are_followed_cause_no_warning_that_they_are_ignored(openvla_oft, tmp_path, recwarn):
    """PEFT sees one layer at a time and calls a pattern unmatched that is meant for another."""
    run = openvla_oft.copied(tmp_path)
    path = run.run / "lora_adapter" / "adapter_config.json"
    path.write_text(json.dumps({**read_json(path), "alpha_pattern": {"q_proj": 2}}))
    assert run.merge(tmp_path / "out") == 0
    assert [str(warning.message) for warning in recwarn if "ignored" in str(warning.message)] == []


def test_the_biases_of_a_runs_lora_are_merged(openvla_oft, tmp_path, weights_of):
    run = openvla_oft.copied(tmp_path)
    folder, layers = run.run / "lora_adapter", [f"projector.fc{number}" for number in (1, 2, 3)]
    tensors = {k: v for k, v in load_file(folder / "adapter_model.safetensors").items() if ".projector." in k}
    for layer in layers:
        rows = len(tensors[f"base_model.model.{layer}.lora_B.weight"])
        tensors[f"base_model.model.{layer}.lora_B.bias"] = torch.arange(rows).float()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {**read_json(folder / "adapter_config.json"), "lora_bias": True, "target_modules": layers}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert run.merge(tmp_path / "out", "--dtype", "float32") == 0
    found, base = weights_of(tmp_path / "out"), weights_of(run.base)
    for layer in layers:
        grown = found[f"{layer}.bias"] - base[f"{layer}.bias"].float()
        expected = torch.arange(len(grown)).float() * (config["lora_alpha"] / config["r"])
        torch.testing.assert_close(grown, expected, atol=1e-5, rtol=1e-5)


def test_a_run_writes_as_it_says_else_as_its_base(cogvla, tmp_path):
    run = cogvla.copied_with_base(tmp_path)
    for number, (folder, ends) in enumerate([(run.base, [2, 7]), (run.run, [2, 9])]):
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        assert run.merge(tmp_path / str(number), "--no-verify") == 0
        written, config = (
            read_json(tmp_path / str(number) / f"{name}.json") for name in ("generation_config", "config")
        )
        assert written["eos_token_id"] == ends and written["pad_token_id"] == config["pad_token_id"] is not None
    (run.run / "generation_config.json").write_text("[")
    assert run.merge(tmp_path / "out", "--dry-run") == 1
