"""A LLaVA-3D checkpoint from published parts: what is copied, what is initialised, and that it loads and trains."""

import argparse
import importlib.util
import json
import os
import shutil

import numpy as np
import pytest
import torch
from base_statistics import statistics_of
from fresh_python import in_fresh_python
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from vlahub import MapAnythingLlava3DForConditionalGeneration, MapAnythingLlava3DProcessor
from vlahub.conversion.cli import main
from vlahub.conversion.mapanything_llava3d.options import add_assembly_arguments
from vlahub.conversion.tensors import computation, initialised
from vlahub.modeling import seeded_numbers

EXPERTS = {
    "deep_fusion": ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--expert-mlp-ratio", "2"),
    "dit": ("--dit-num-layers", "2", "--context", "concat"),
    "deep_fusion+dit": ("--dit-num-layers", "2", "--use-state"),
}
CHUNK = ("--action-horizon", "4")

FRESH_PROCESS = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "vlahub":
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocker())
import numpy as np
import torch
import transformers

torch.set_num_threads(1)
folder, state = json.loads(sys.argv[1])
processor = transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True)
views = [np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)] * 2
inputs = processor(images=views, text="Put the red block on the tray", state=state)
actions = []
for name in ("AutoModel", "AutoModelForImageTextToText"):
    model = getattr(transformers, name).from_pretrained(folder, trust_remote_code=True, dtype="auto")
    assert type(model).__module__.startswith("transformers_modules.")
    actions.append(model.predict_action(**inputs, noise=torch.ones(1, 4, 7)).tolist())
print("RESULT" + json.dumps(actions))
"""


@pytest.mark.parametrize("word", ["--num-action-chunks", "--action-horizon"])
def test_the_number_of_actions_goes_by_both_names(word):
    parser = argparse.ArgumentParser()
    add_assembly_arguments(parser)
    assert parser.parse_args(["--vision", "v", "--language", "l", word, "4"]).num_action_chunks == 4


def report_of(folder):
    return json.loads((folder / "conversion_report.json").read_text())


def predicted(model, **inputs):
    config = model.config
    ids = torch.tensor([[1, *[config.image_token_id] * 32, 40, 50]])
    state = {"state": torch.ones(1, config.state_dim)} if config.use_state else {}
    pixels = torch.linspace(-1, 1, 2 * 3 * 56 * 56).view(1, 2, 3, 56, 56)
    noise = torch.ones(1, config.action_horizon, config.action_dim)
    return model.eval().predict_action(ids, pixels, noise=noise, **state, **inputs)


def assert_refused(code, capsys, *words):
    error = capsys.readouterr().err
    assert code == 1 and error.startswith("error: "), error
    assert all(word in error for word in words), error


# Loading


def test_an_assembled_checkpoint_predicts_in_a_process_without_vlahub(assembled, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    state = [0.1 * i for i in range(8)]
    arguments = json.dumps([str(assembled), state])
    child = in_fresh_python(["-I", "-c", FRESH_PROCESS, arguments], env=environment, cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    first, second = torch.tensor(json.loads(child.stdout.split("RESULT")[1]))
    processor = MapAnythingLlava3DProcessor.from_pretrained(assembled)
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(assembled)
    views = [np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)] * 2
    inputs = processor(images=views, text="Put the red block on the tray", state=state)
    expected = model.predict_action(**inputs, noise=torch.ones(1, 4, 7))
    assert first.shape == (1, 4, 7) and expected.std() > 0.01
    torch.testing.assert_close(first, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(second, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("expert", EXPERTS)
def test_every_expert_type_can_be_assembled_loaded_and_trained(parts, tmp_path, expert):
    assert parts.assemble(tmp_path / "out", "--action-expert-type", expert, *CHUNK, *EXPERTS[expert]) == 0
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert model.config.action_expert_type == expert
    assert predicted(model, unnorm_key="demo_tabletop").shape == (1, 4, 7)
    ids = torch.tensor([[1, *[model.config.image_token_id] * 16, 40]])
    state = torch.ones(1, 8) if model.config.use_state else None
    model.train()(ids, torch.zeros(1, 3, 56, 56), actions=torch.zeros(1, 4, 7), state=state).loss.backward()
    assert model.fusion_projector.weight.grad.abs().sum() > 0
    assert main(["verify", str(tmp_path / "out"), "--quiet"]) == 0


def test_options_reach_the_config(parts, tmp_path):
    options = ["--expert-layer-alignment", "even", "--prefix-attention", "causal", "--geometry-normalization", "none"]
    options += ["--normalization", "bounds", "--state-dim", "8", *EXPERTS["deep_fusion"], *CHUNK]
    options += ["--pixel-range", "unit"]
    assert parts.assemble(tmp_path / "out", *options) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    found = [config[name] for name in ("expert_layer_alignment", "prefix_attention", "geometry_normalization")]
    assert found == ["even", "causal", "none"]
    assert (config["normalization_type"], config["use_state"], config["state_dim"]) == ("bounds", True, 8)
    expert = config["expert_config"]
    assert (expert["hidden_size"], expert["num_hidden_layers"], expert["intermediate_size"]) == (32, 2, 64)
    processor = json.loads((tmp_path / "out" / "processor_config.json").read_text())
    assert (processor["normalization_type"], processor["state_dim"]) == ("bounds", 8)
    images = MapAnythingLlava3DProcessor.from_pretrained(tmp_path / "out").image_processor
    assert config["pixel_range"] == images.pixel_range == "unit"


def test_sizes_come_from_tensors_and_heads_from_the_published_configs(assembled):
    config = MapAnythingLlava3DForConditionalGeneration.from_pretrained(assembled).config
    assert (config.vision_config.hidden_size, config.vision_config.num_attention_heads) == (32, 4)
    assert (config.vision_config.image_size, config.num_image_tokens) == (56, 16)
    text = config.text_config
    assert (text.model_type, text.num_attention_heads, text.num_key_value_heads, text.vocab_size) == (
        "llama",
        4,
        2,
        354,
    )
    geometry = config.geometry_config
    assert (geometry.hidden_size, geometry.info_sharing_hidden_size, geometry.image_size) == (64, 32, 70)
    assert (geometry.num_attention_heads, geometry.info_sharing_num_attention_heads) == (1, 2)


def test_the_image_token_lies_behind_the_vocabulary_of_the_language_model(assembled):
    tokenizer = AutoTokenizer.from_pretrained(assembled)
    config = json.loads((assembled / "config.json").read_text())
    assert tokenizer.convert_tokens_to_ids("<image>") == config["image_token_id"] == 354
    assert config["text_config"]["vocab_size"] == 354
    assert tokenizer.tokenize("pick <image> up").count("<image>") == 1


@pytest.mark.parametrize(("published_type", "ours"), [("llava_mistral", "mistral"), ("llama", "llama")])
def test_other_language_models_are_taken_by_their_type(write_parts, tmp_path, published_type, ours):
    parts = write_parts(language_type=published_type)
    assert parts.assemble(tmp_path / "out", *CHUNK, *EXPERTS["deep_fusion"]) == 0
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert model.config.text_config.model_type == model.config.expert_config.model_type == ours
    assert predicted(model).isfinite().all()


def test_parts_of_one_width_need_no_vision_projector(write_parts, tmp_path):
    assert write_parts(vision_width=64).assemble(tmp_path / "out", *CHUNK) == 0
    assert not [name for name in report_of(tmp_path / "out")["tensors"] if name.startswith("vision_projector")]


def test_without_geometry_no_branch_is_built(parts, tmp_path):
    assert parts.assemble(tmp_path / "out", "--no-geometry", *CHUNK, leave_out="geometry") == 0
    names = report_of(tmp_path / "out")["tensors"]
    assert not [name for name in names if name.startswith(("geometric_", "fusion_projector"))]
    assert predicted(MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out")).shape == (1, 4, 7)


def test_a_siglip_that_is_a_vision_model_alone_is_taken_too(parts, tmp_path, assembled, weights_of):
    shutil.copytree(parts.folder, tmp_path / "parts")
    folder = tmp_path / "parts" / "vision"
    config = json.loads((folder / "config.json").read_text())["vision_config"]
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in tensors.items() if "vision_model." in k}, folder / "model.safetensors", {"format": "pt"}
    )
    options = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--use-state", *CHUNK)
    assert type(parts)(tmp_path / "parts").assemble(tmp_path / "out", *options) == 0
    expected = weights_of(assembled)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(tmp_path / "out").items())


def test_the_base_frequency_of_the_rotary_embedding_is_not_lost(parts, tmp_path):
    shutil.copytree(parts.folder, tmp_path / "parts")
    edit_config(tmp_path / "parts", "language", rope_theta=500000.0)
    assert type(parts)(tmp_path / "parts").assemble(tmp_path / "out", *CHUNK) == 0
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out")
    expected = 500000.0 ** -(torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(model.language_model.decoder.rotary_emb.inv_freq, expected)
    torch.testing.assert_close(model.language_model_with_expert.expert.rotary_emb.inv_freq, expected)


TEXT = {"rms_norm_eps": 3e-5, "hidden_act": "gelu", "max_position_embeddings": 600, "initializer_range": 0.03}
TEXT |= {"model_type": "mistral", "sliding_window": 7}
TOWER = {"layer_norm_eps": 3e-4, "hidden_act": "gelu", "attention_dropout": 0.25}


def test_what_no_tensor_shows_is_as_in_the_published_configs(parts, tmp_path):
    shutil.copytree(parts.folder, tmp_path / "parts")
    edit_config(tmp_path / "parts", "language", **TEXT)
    path = tmp_path / "parts" / "vision" / "config.json"
    vision = json.loads(path.read_text())
    vision.get("vision_config", vision).update(TOWER)
    path.write_text(json.dumps(vision))
    assert type(parts)(tmp_path / "parts").assemble(tmp_path / "out", *CHUNK, "--no-verify") == 0
    config = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").config
    for known, found in ((TEXT, config.text_config), (TOWER, config.vision_config)):
        assert {name: getattr(found, name) for name in known} == known


# What is copied


def test_every_published_tensor_is_copied_bit_for_bit_or_left_out_with_a_reason(parts, assembled, weights_of):
    report, weights = report_of(assembled), weights_of(assembled)
    left = {row["source"]: row["reason"] for row in report["leftovers"]}
    copied = {
        source: name for name, t in report["tensors"].items() for source in t["sources"] if t["operation"] == "copy"
    }
    for role in ("vision", "language", "geometry"):
        for file in (parts.folder / role).glob("*.safetensors"):
            for key, value in load_file(file).items():
                source = f"{role}/{file.name}:{key}"
                assert (source in copied) != bool(left.get(source)), source
                if source in copied:
                    assert torch.equal(weights[copied[source]], value), source


def test_the_text_side_of_siglip_and_the_vision_side_of_llava_are_left_out(assembled):
    reasons = {row["source"].split(":")[1]: row["reason"] for row in report_of(assembled)["leftovers"]}
    assert "text" in reasons["text_model.head.weight"] and "text" in reasons["logit_scale"]
    assert "pooling" in reasons["vision_model.head.probe"]
    assert "take its place" in reasons["model.mm_projector.0.weight"]
    assert "take its place" in reasons["model.video_tower.prompt_encoder.pos_emb3d.0.weight"]
    assert "read before" in reasons["scale_token"] and "read before" in reasons["dpt_feature_head.scratch.weight"]


# What is initialised


def test_what_is_new_is_initialised_as_the_model_would_do_it(parts, tmp_path, weights_of):
    options = ("--action-expert-type", "deep_fusion+dit", "--use-state", *CHUNK)
    assert parts.assemble(tmp_path / "out", *options) == 0
    weights, report = weights_of(tmp_path / "out"), report_of(tmp_path / "out")
    torch.manual_seed(0)
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").config
    fresh = MapAnythingLlava3DForConditionalGeneration(model).state_dict()
    new = [name for name, tensor in report["tensors"].items() if tensor["operation"] == "initialised"]
    assert len(new) > 80
    for name in new:
        ours, theirs = weights[name], fresh[name]
        if theirs.std(unbiased=False) == 0:
            assert torch.equal(ours, theirs), name
        else:
            tolerance = 6 * theirs.std() / ours.numel() ** 0.5
            assert abs(ours.std() - theirs.std()) < tolerance and abs(ours.mean()) < tolerance, name


def test_the_plan_and_the_report_say_what_was_initialised_and_how(parts, assembled, tmp_path, capsys):
    tensors = report_of(assembled)["tensors"]
    weight, bias = tensors["action_expert.time_mlp_in.weight"], tensors["action_expert.time_mlp_in.bias"]
    assert (weight["operation"], weight["sources"]) == ("initialised", ["normal, deviation 0.02, seed 0"])
    assert bias["sources"] == ["all 0"]
    assert tensors["language_model_with_expert.expert.norm.weight"]["sources"] == ["all 1"]
    assert report_of(assembled)["settings"]["seed"]["value"] == 0
    assert parts.assemble(tmp_path / "out", *CHUNK, "--seed", "3", "--dry-run") == 0
    assert not (tmp_path / "out").exists()
    command = ["assemble", "--family", "mapanything_llava3d", "--output", str(tmp_path / "out"), "--dry-run", *CHUNK]
    command += [w for role in ("vision", "language", "geometry") for w in (f"--{role}", str(parts.folder / role))]
    assert main([*command, "--action-dim", "7", "--seed", "3"]) == 0
    assert "initialised  normal, deviation 0.02, seed 3" in capsys.readouterr().out


def test_the_same_parts_and_seed_give_the_same_bytes(parts, assembled, tmp_path, snapshot):
    options = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--action-horizon", "4", "--use-state")
    assert parts.assemble(tmp_path / "out", *options) == 0
    first, second = (list(snapshot(folder).values()) for folder in (assembled, tmp_path / "out"))
    assert first == second


def test_create_of_this_family_is_assemble(parts, tmp_path, snapshot):
    words = [word for role in ("vision", "language") for word in (f"--{role}", str(parts.folder / role))]
    words += ["--family", "mapanything_llava3d", "--no-geometry", "--action-dim", "7", *CHUNK, "--quiet", "--output"]
    for command in ("create", "assemble"):
        assert main([command, *words, str(tmp_path / command)]) == 0
    first, second = (list(snapshot(tmp_path / command).values()) for command in ("create", "assemble"))
    assert first == second


def test_another_seed_changes_what_is_drawn_and_nothing_else(parts, assembled, tmp_path, weights_of):
    options = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--action-horizon", "4", "--use-state")
    assert parts.assemble(tmp_path / "out", *options, "--seed", "1") == 0
    before, after, report = weights_of(assembled), weights_of(tmp_path / "out"), report_of(assembled)
    drawn = {name for name, tensor in report["tensors"].items() if tensor["sources"][0].startswith("normal")}
    assert {name for name in before if not torch.equal(before[name], after[name])} == drawn


def test_new_numbers_depend_on_neither_shards_nor_blocks(parts, assembled, tmp_path, weights_of, monkeypatch):
    monkeypatch.setattr(computation, "BLOCK_ELEMENTS", 100)
    options = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--action-horizon", "4", "--use-state")
    assert parts.assemble(tmp_path / "out", *options, "--max-shard-size", "200KB") == 0
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 4
    expected = weights_of(assembled)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(tmp_path / "out").items())


def test_rows_of_a_new_tensor_are_rows_of_the_whole_across_pieces(monkeypatch):
    monkeypatch.setattr(seeded_numbers, "PIECE", 64)
    tensor = initialised.InitialisedTensor("a.weight", (30, 7), seed=5, deviation=0.5)
    whole = tensor.load()
    assert torch.equal(torch.cat([tensor.load(slice(i, min(i + 4, 30))) for i in range(0, 30, 4)]), whole)
    assert 0.4 < whole.std() < 0.6
    assert not torch.equal(initialised.InitialisedTensor("b.weight", (30, 7), seed=5, deviation=0.5).load(), whole)


def test_a_checkpoint_in_bfloat16_is_rounded_once(parts, assembled, tmp_path, weights_of):
    options = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--action-horizon", "4", "--use-state")
    assert parts.assemble(tmp_path / "out", *options, "--dtype", "bfloat16") == 0
    expected = weights_of(assembled)
    assert all(torch.equal(v, expected[name].bfloat16()) for name, v in weights_of(tmp_path / "out").items())
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


# The card


def test_the_card_says_loudly_that_nothing_was_trained_and_names_every_licence(assembled):
    card = (assembled / "README.md").read_text()
    assert "**This checkpoint is not trained.**" in card and "untrained" in card.split("---")[1]
    assert "seed 0 and **never trained**" in card and "`action_expert`" in card
    for role, licence in (("vision", "apache-2.0"), ("language", "llama2"), ("geometry", "cc-by-nc-4.0")):
        assert f"- {role}, `{role}`: `{licence}`" in card
    assert "license: other" in card.split("---")[1]
    assert "| `demo_tabletop` | 3 | 120 | 6 |" in card


# Merging what was trained on it


def trained_adapter(assembled, folder):
    """A LoRA on both stacks, and all of the action expert's own layers."""
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(assembled)
    targets = r"language_model(_with_expert)?\..*\.(q_proj|v_proj|down_proj)"
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=targets, modules_to_save=["action_expert"])
    torch.manual_seed(1)
    model = get_peft_model(model, settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)


def test_a_lora_trained_on_an_assembled_checkpoint_merges_as_peft_merges_it(assembled, tmp_path):
    trained_adapter(assembled, tmp_path / "adapter")
    sources = ["--base", str(assembled), "--adapter", str(tmp_path / "adapter"), *statistics_of(assembled)]
    assert main(["merge-lora", *sources, "--output", str(tmp_path / "merged"), "--quiet"]) == 0
    base = MapAnythingLlava3DForConditionalGeneration.from_pretrained(assembled)
    untrained = predicted(base)
    expected = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    found = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "merged")
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert torch.equal(predicted(found), predicted(expected))
    assert (predicted(found) - untrained).abs().max() > 0.01
    assert main(["verify", str(tmp_path / "merged"), "--quiet"]) == 0
    assert MapAnythingLlava3DProcessor.from_pretrained(tmp_path / "merged").image_token_id == 354
    mark = json.loads((tmp_path / "merged" / "conversion_report.json").read_text())["untrained"]
    parts = {name.split(".")[0] for name in mark["tensors"]}  # trained were the expert and, by LoRA, both stacks
    assert "action_expert" not in parts and parts | {"action_expert"} == untrained_parts(assembled)
    assert not [name for name in mark["tensors"] if ".layers." in name]
    assert mark["is_start"] is False
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "**Parts of this checkpoint were never trained**" in card and f"`{min(parts)}`" in card
    assert "not trained.**" not in card and "- untrained" in card.split("---")[1]


def untrained_parts(folder):
    """First words of the tensors that a start has initialised."""
    tensors = json.loads((folder / "conversion_report.json").read_text())["tensors"]
    return {name.split(".")[0] for name, entry in tensors.items() if entry["operation"] == "initialised"}


# Refusals


def test_verify_finds_a_tensor_that_is_gone(assembled, tmp_path, capsys):
    shutil.copytree(assembled, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    del tensors["action_expert.action_out_proj.bias"]
    save_file(tensors, tmp_path / "out" / "model.safetensors", {"format": "pt"})
    assert_refused(main(["verify", str(tmp_path / "out"), "--quiet"]), capsys, "action_expert.action_out_proj.bias")


def test_verifying_an_assembled_checkpoint_against_sources_is_refused(assembled, parts, capsys):
    code = main(["verify", str(assembled), "--against", str(parts.folder / "vision"), "--quiet"])
    assert_refused(code, capsys, "assembled", "same bytes")


def spoil_shape(folder):
    path = folder / "language" / "model-00001-of-00002.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.self_attn.k_proj.weight"] = torch.zeros(8, 64)
    save_file(tensors, path, {"format": "pt"})


def add_tensor(folder):
    path = folder / "vision" / "model.safetensors"
    save_file({**load_file(path), "vision_model.adapter.weight": torch.zeros(2)}, path, {"format": "pt"})


def edit_config(folder, role, **changes):
    path = folder / role / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE = {
    "no horizon": (lambda folder: None, (), ("action_horizon", "--action-horizon")),
    "a part without weights": (lambda f: (f / "vision" / "model.safetensors").unlink(), CHUNK, ("vision", "no model")),
    "a part without config": (lambda f: (f / "language" / "config.json").unlink(), CHUNK, ("config.json", "language")),
    "no tokenizer": (
        lambda f: (f / "language" / "tokenizer.json").unlink(),
        CHUNK,
        ("tokenizer.json", "--tokenizer DIR"),
    ),
    "another language model": (
        lambda f: edit_config(f, "language", model_type="qwen2"),
        CHUNK,
        ("'qwen2'", "llava_llama"),
    ),
    "a quantised language model": (
        lambda f: edit_config(f, "language", quantization_config={"quant_method": "bitsandbytes"}),
        CHUNK,
        ("bitsandbytes",),
    ),
    "a config of another model": (
        lambda f: edit_config(f, "language", num_hidden_layers=9),
        CHUNK,
        ("num_hidden_layers=9", "3"),
    ),
    "a tensor of another shape": (spoil_shape, CHUNK, ("model.layers.1.self_attn.k_proj.weight", "(8, 64)")),
    "a tensor of no known name": (add_tensor, CHUNK, ("vision_model.adapter.weight",)),
    "an expert that is deeper than its base": (
        lambda f: None,
        (*CHUNK, "--expert-num-layers", "9"),
        ("num_hidden_layers=9",),
    ),
    "sizes of an expert that there is not": (
        lambda f: None,
        (*CHUNK, "--action-expert-type", "dit", "--expert-hidden-size", "32"),
        ("--expert-hidden-size 32 is given, but the model will have no joined expert",),
    ),
    "geometry and none": (lambda f: None, (*CHUNK, "--no-geometry"), ("--no-geometry",)),
    "statistics that are none": (
        lambda f: (f / "dataset_statistics.json").write_text('{"a": {"mean": [1]}}'),
        CHUNK,
        ("dataset_statistics.json", "'a'"),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_assembled_is_refused_by_name_and_leaves_nothing(parts, tmp_path, capsys, name):
    damage, options, words = DAMAGE[name]
    shutil.copytree(parts.folder, tmp_path / "parts")
    damage(tmp_path / "parts")
    code = type(parts)(tmp_path / "parts").assemble(tmp_path / "out" / "checkpoint", *options)
    assert_refused(code, capsys, *words)
    assert not (tmp_path / "out" / "checkpoint").exists()


@pytest.mark.skipif(importlib.util.find_spec("sentencepiece") is not None, reason="needs a machine without it")
def test_a_tokenizer_in_the_slow_form_alone_is_refused_with_what_to_do(parts, tmp_path, capsys):
    shutil.copytree(parts.folder, tmp_path / "parts")
    (tmp_path / "parts" / "language" / "tokenizer.json").rename(tmp_path / "parts" / "language" / "tokenizer.model")
    code = type(parts)(tmp_path / "parts").assemble(tmp_path / "out", *CHUNK)
    assert_refused(code, capsys, "sentencepiece", "--tokenizer DIR")


def test_further_special_tokens_are_written_in_the_form_that_both_lines_read(parts, tmp_path):
    shutil.copytree(parts.folder, tmp_path / "parts")
    path = tmp_path / "parts" / "language" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "additional_special_tokens": ["<pose>"]}))
    assert type(parts)(tmp_path / "parts").assemble(tmp_path / "out", *CHUNK) == 0
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["additional_special_tokens"] == ["<pose>"]
    assert isinstance(config.get("extra_special_tokens", {}), dict)


def test_a_tokenizer_from_elsewhere_can_be_named(parts, tmp_path):
    shutil.copytree(parts.folder, tmp_path / "parts")
    (tmp_path / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "parts" / "language" / name).rename(tmp_path / "tokenizer" / name)
    options = ("--tokenizer", str(tmp_path / "tokenizer"), *CHUNK)
    assert type(parts)(tmp_path / "parts").assemble(tmp_path / "out", *options) == 0
    assert MapAnythingLlava3DProcessor.from_pretrained(tmp_path / "out").image_token_id == 354


def test_a_tokenizer_that_is_named_wins_over_that_of_the_language_model(parts, tmp_path):
    named = tmp_path / "tokenizer"
    named.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(parts.folder / "language" / name, named / name)
    config = json.loads((named / "tokenizer_config.json").read_text())
    (named / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 123}))
    assert parts.assemble(tmp_path / "out", "--tokenizer", str(named), *CHUNK) == 0
    assert MapAnythingLlava3DProcessor.from_pretrained(tmp_path / "out").tokenizer.model_max_length == 123


# An expert of the base's layers

FROM_BASE = ("--expert-init", "base", *CHUNK)
EXPERT, DECODER = "language_model_with_expert.expert.", "language_model.model.model."


def tensors_of(folder):
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ((), [0, 1, 2]),
        (("--expert-num-layers", "2"), [1, 2]),
        (("--expert-num-layers", "2", "--expert-layer-alignment", "even"), [0, 2]),
        (("--expert-num-layers", "2", "--expert-init-layers", "2", "0"), [2, 0]),
    ],
)
def test_an_expert_can_start_from_layers_of_the_base(parts, tmp_path, options, layers):
    """Those that it attends with, unless they are named; all of them and the last norm are the base's bits."""
    assert parts.assemble(tmp_path / "out", *FROM_BASE, *options, "--dtype", "bfloat16") == 0
    written, report = tensors_of(tmp_path / "out"), report_of(tmp_path / "out")
    expert = {name for name in written if name.startswith(EXPERT)}
    assert {name.split(".")[3] for name in expert if ".layers." in name} == {str(i) for i in range(len(layers))}
    for name in expert:
        source = f"{DECODER}{name.removeprefix(EXPERT)}"
        if ".layers." in name:
            own = int(name.split(".")[3])
            source = source.replace(f"layers.{own}.", f"layers.{layers[own]}.")
        assert torch.equal(written[name], written[source]), name
        assert report["tensors"][name]["operation"] == "copy"
        assert report["tensors"][name]["sources"] == report["tensors"][source]["sources"]
    assert report["settings"]["expert_init"]["value"] == f"layers {', '.join(map(str, layers))} of the base"
    config = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").config
    assert config.expert_hidden_size == config.text_config.hidden_size
    assert config.expert_config.intermediate_size == config.text_config.intermediate_size
    untrained = (tmp_path / "out" / "README.md").read_text().split("never trained**:")[1].split("The rest")[0]
    assert "`action_expert`" in untrained and "language_model_with_expert" not in untrained


def test_an_expert_of_all_layers_computes_what_the_base_does(parts, tmp_path):
    """Over a prefix of nothing but the same states, and one after the other."""
    assert parts.assemble(tmp_path / "out", *FROM_BASE, "--prefix-attention", "causal") == 0
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    joined = model.language_model_with_expert
    states = torch.randn(1, 5, model.config.text_config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = model.language_model.model.model(inputs_embeds=states).last_hidden_state
        _, cache = joined(inputs_embeds=[states[:, :4], None], use_cache=True)
        (_, last), _ = joined(inputs_embeds=[None, states[:, 4:]], past_key_values=cache)
    torch.testing.assert_close(last, both[:, 4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--expert-hidden-size", "32"), ["expert_hidden_size=32 is not the base's 64"]),
        (("--expert-mlp-ratio", "2"), ["expert_mlp_ratio=2 is not the base's"]),
        (("--expert-init-layers", "0", "1"), ["names 2 layers and the expert has 3"]),
        (("--expert-num-layers", "1", "--expert-init-layers", "3"), ["expert_init_layers has 3", "layers 0 to 2"]),
        (("--action-expert-type", "dit"), ["--expert-init base", "action_expert_type is 'dit'"]),
    ],
)
def test_an_expert_that_cannot_be_a_copy_is_refused(parts, tmp_path, capsys, options, words):
    assert_refused(parts.assemble(tmp_path / "out", *FROM_BASE, *options), capsys, *words)
    assert not (tmp_path / "out").exists()


def test_layers_to_copy_without_a_copy_are_refused(parts, tmp_path, capsys):
    code = parts.assemble(tmp_path / "out", *CHUNK, "--expert-init-layers", "0", "1", "2")
    assert_refused(code, capsys, "copied with expert_init='base' alone")


def test_what_is_assembled_writes_as_its_language_model(parts, tmp_path):
    copy = type(parts)(shutil.copytree(parts.folder, tmp_path / "parts"))
    settings = {"eos_token_id": [2, 7], "max_new_tokens": 33, "temperature": 0.2, "do_sample": False}
    (copy.folder / "language" / "generation_config.json").write_text(json.dumps(settings))
    assert copy.assemble(tmp_path / "out", *CHUNK) == 0
    found = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (found["eos_token_id"], found["max_new_tokens"]) == ([2, 7], 33) and "temperature" not in found
