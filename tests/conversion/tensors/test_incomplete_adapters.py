"""An adapter that lacks something, or holds what is no weight, is refused by the name of what it lacks."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from vlahub.conversion.cli import main

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT = {"vocab_size": 32, **SIZES}
HEADER = "base_model.model."


def llama():
    return LlamaForCausalLM(LlamaConfig(**TEXT))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=3, n_head=2, n_positions=32))


def llava():
    vision = CLIPVisionConfig(**SIZES, image_size=28, patch_size=14)
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=LlamaConfig(**TEXT), image_token_index=3)
    )


def write(folder, make, **options):
    torch.manual_seed(0)
    make().save_pretrained(folder / "base")
    model = get_peft_model(make(), LoraConfig(r=2, init_lora_weights=False, **options))
    model.save_pretrained(folder / "adapter")


def merge(folder, *more):
    sources = ["--base", str(folder / "base"), "--adapter", str(folder / "adapter")]
    return main(["merge-lora", "--family", "generic", *sources, "--output", str(folder / "out"), "--quiet", *more])


def rewrite(folder, change):
    """Change the adapter's tensors; `change` gets and returns all of them."""
    path = folder / "adapter" / "adapter_model.safetensors"
    tensors = {name: value.contiguous() for name, value in change(load_file(path)).items()}
    save_file(tensors, path, {"format": "pt"})


def without(*parts):
    return lambda tensors: {k: v for k, v in tensors.items() if not all(part in k for part in parts)}


CASES = {
    "a list": (llama, {"target_modules": ["q_proj", "v_proj"]}, ["layers.1.self_attn.v_proj"]),
    "a list, all of one kind": (llama, {"target_modules": ["q_proj", "v_proj"]}, ["v_proj"]),
    "full names": (llama, {"target_modules": ["model.layers.2.mlp.up_proj", "q_proj"]}, ["layers.2.mlp.up_proj"]),
    "a regular expression": (llama, {"target_modules": r".*layers\.[02].*\.(q|k)_proj"}, ["layers.2.self_attn.k_proj"]),
    "all linear layers": (llama, {"target_modules": "all-linear"}, ["layers.0.mlp.down_proj"]),
    "some layers": (llama, {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]}, ["layers.2."]),
    "layers of a pattern": (
        llama,
        {"target_modules": ["q_proj"], "layers_to_transform": [1, 2], "layers_pattern": "layers"},
        ["layers.1."],
    ),
    "all but some": (
        llama,
        {"target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*layers\.0.*"},
        ["layers.1.self_attn.k_proj"],
    ),
    "the embedding": (llama, {"target_modules": ["embed_tokens", "q_proj"]}, ["embed_tokens.lora"]),
    "modules to save": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, ["lm_head"]),
    "one of the modules to save": (
        llama,
        {"target_modules": ["q_proj"], "modules_to_save": ["mlp"]},
        ["layers.1.mlp.gate_proj"],
    ),
    "trained tokens": (llama, {"target_modules": ["q_proj"], "trainable_token_indices": [1, 2]}, ["token_adapter"]),
    "trained tokens of the head": (
        llama,
        {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [1], "lm_head": [2]}},
        ["lm_head.token_adapter"],
    ),
    "transposed layers": (gpt2, {"target_modules": ["c_attn"], "fan_in_fan_out": True}, ["h.1.attn.c_attn"]),
    "the vision tower": (llava, {"target_modules": ["q_proj"]}, ["vision_tower", "layers.1."]),
    "the language model": (llava, {"target_modules": r".*language_model.*q_proj"}, ["layers.2."]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_what_the_config_names_and_the_file_lacks_is_named(tmp_path, name, capsys):
    make, options, parts = CASES[name]
    write(tmp_path, make, **options)
    assert merge(tmp_path) == 0
    shutil.rmtree(tmp_path / "out")
    lacking = [
        key for key in load_file(tmp_path / "adapter" / "adapter_model.safetensors") if key not in kept(tmp_path, parts)
    ]
    assert lacking
    rewrite(tmp_path, without(*parts))
    assert merge(tmp_path) == 1
    error = capsys.readouterr().err
    named = lacking[0].removeprefix(HEADER).split(".lora_")[0].split(".token_adapter")[0].removesuffix(".weight")
    assert named.split(".")[-1] in error or "trainable_token_indices" in error
    assert "adapter_config.json" in error
    assert not (tmp_path / "out").exists()


def kept(folder, parts):
    return without(*parts)(load_file(folder / "adapter" / "adapter_model.safetensors"))


@pytest.mark.parametrize("part", ["lora_A", "lora_B"])
def test_half_a_pair_is_refused_by_the_name_of_its_layer(tmp_path, part, capsys):
    write(tmp_path, llama, target_modules=["q_proj"])
    rewrite(tmp_path, without(f"layers.1.self_attn.q_proj.{part}"))
    assert merge(tmp_path) == 1
    error = capsys.readouterr().err
    assert "layers.1.self_attn.q_proj" in error and part in error


def test_an_adapter_without_tensors_is_refused(tmp_path, capsys):
    write(tmp_path, llama, target_modules=["q_proj"])
    rewrite(tmp_path, lambda tensors: {})
    assert merge(tmp_path) == 1
    assert "holds no tensors" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("key", ["lora_A", "lm_head"])
def test_integers_in_an_adapter_are_refused_with_file_key_and_dtype(tmp_path, key, dtype, capsys):
    write(tmp_path, llama, target_modules=["q_proj"], modules_to_save=["lm_head"])
    rewrite(tmp_path, lambda tensors: {k: v.to(dtype) if key in k else v for k, v in tensors.items()})
    assert merge(tmp_path) == 1
    error = capsys.readouterr().err
    assert "adapter_model.safetensors" in error and key in error and str(dtype).removeprefix("torch.") in error


@pytest.mark.parametrize("key", ["model.layers.0.self_attn.q_proj.weight", "model.norm.weight"])
def test_integers_in_the_place_of_a_base_weight_are_refused(tmp_path, key, capsys):
    write(tmp_path, llama, target_modules=["q_proj"])
    path = tmp_path / "base" / "model.safetensors"
    save_file({k: v.to(torch.int32) if k == key else v for k, v in load_file(path).items()}, path, {"format": "pt"})
    assert merge(tmp_path) == 1
    error = capsys.readouterr().err
    assert key in error and "int32" in error and "model.safetensors" in error


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_a_buffer_of_integers_is_copied_as_it_is(tmp_path, dtype):
    write(tmp_path, llama, target_modules=["q_proj"])
    path = tmp_path / "base" / "model.safetensors"
    save_file({**load_file(path), "model.position_ids": torch.arange(7)}, path, {"format": "pt"})
    assert merge(tmp_path, "--dtype", dtype) == 0
    found = load_file(tmp_path / "out" / "model.safetensors")["model.position_ids"]
    assert found.dtype == torch.int64 and torch.equal(found, torch.arange(7))


@pytest.mark.parametrize("field", ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"])
def test_a_pattern_that_never_ends_is_refused(tmp_path, field, monkeypatch, capsys):
    from vlahub.conversion.tensors import adapter_patterns

    monkeypatch.setattr(adapter_patterns, "SECONDS", 1)
    write(tmp_path, llama, target_modules=["q_proj"])
    path = tmp_path / "adapter" / "adapter_config.json"
    value = {r"(.+)+!x": 8} if "pattern" in field else r"(.+)+!x"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    assert merge(tmp_path) == 1
    assert "does not end within" in capsys.readouterr().err


RUN_CASES = {
    "a layer of the language model": (["language_model.model.layers.1.self_attn.q_proj"], "layers.1.self_attn.q_proj"),
    "one kind": (["mlp.up_proj"], "mlp.up_proj"),
    "a block of a tower": (["vision_backbone.featurizer.blocks.1.mlp.fc1"], "featurizer.blocks.1.mlp.fc1"),
    "all": ([""], "holds no tensors"),
    "half a pair": (["language_model.model.layers.1.self_attn.q_proj.lora_A"], "layers.1.self_attn.q_proj"),
}


@pytest.mark.parametrize("name", RUN_CASES)
@pytest.mark.parametrize("targets", ["full names", "last names", "all-linear"])
def test_an_incomplete_run_of_openvla_is_refused_by_name(openvla, tmp_path, name, targets, capsys):
    run = openvla.copied(tmp_path)
    parts, named = RUN_CASES[name]
    path = run.run / "lora_adapter" / "adapter_model.safetensors"
    save_file(without(*parts)(load_file(path)), path, {"format": "pt"})
    path = run.run / "lora_adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    if targets == "last names":
        config["target_modules"] = sorted({module.split(".")[-1] for module in config["target_modules"]})
        config["exclude_modules"] = r".*patch_embed.*"
    elif targets == "all-linear":
        config["target_modules"] = targets
    path.write_text(json.dumps(config))
    assert run.merge(tmp_path / "out", "--decoding", "autoregressive") == 1
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_integers_in_a_run_are_refused_with_file_key_and_dtype(cogvla, tmp_path, capsys):
    run = cogvla.copied(tmp_path)
    path = next(run.run.glob("action_head--*.pt"))
    torch.save({k: v.to(torch.int16) for k, v in torch.load(path, weights_only=True).items()}, path)
    assert run.merge(tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert path.name in error and "int16" in error and "module." in error


def unknown_class(folder):
    """Make the base one whose code only its own repository has."""
    path = folder / "base" / "config.json"
    config = json.loads(path.read_text()) | {"model_type": "somebody_own", "architectures": ["SomebodyOwnModel"]}
    path.write_text(json.dumps(config))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], r".*layers\.[02].*(q|v)_proj", "all-linear"])
def test_a_base_of_an_unknown_class_is_measured_by_its_own_names(tmp_path, targets, capsys):
    write(tmp_path, llama, target_modules=targets)
    assert merge(tmp_path) == 0
    wanted = load_file(tmp_path / "out" / "model.safetensors")
    shutil.rmtree(tmp_path / "out")
    unknown_class(tmp_path)
    assert merge(tmp_path) == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(found[key], value) for key, value in wanted.items())
    rewrite(tmp_path, without("layers.2.self_attn.v_proj"))
    shutil.rmtree(tmp_path / "out")
    assert merge(tmp_path) == 1
    assert "layers.2.self_attn.v_proj" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [{"target_modules": ["lm_head"]}, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}]
)
def test_a_tie_of_an_unknown_class_is_not_guessed(tmp_path, options, capsys):
    write(tmp_path, lambda: LlamaForCausalLM(LlamaConfig(**TEXT, tie_word_embeddings=True)), **options)
    unknown_class(tmp_path)
    assert merge(tmp_path) == 1
    assert "lm_head.weight" in capsys.readouterr().err


def test_a_config_of_a_million_layers_is_refused_at_once(tmp_path, capsys):
    write(tmp_path, llama, target_modules=["q_proj"])
    path = tmp_path / "base" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 10**6}))
    assert merge(tmp_path) == 1
    assert "num_hidden_layers" in capsys.readouterr().err
