"""Adapters on a tied pair of embeddings: the merged checkpoint is PEFT's merged model, saved and loaded again."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.conversion.cli import main

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {"vocab_size": 32, "num_key_value_heads": 2, "tie_word_embeddings": True, **SIZES}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ROPE = {"type": "mrope", "mrope_section": [1, 1, 2]}
IDS = torch.arange(3, 15)[None]


def llama():
    return LlamaForCausalLM(LlamaConfig(**TEXT, **SPECIAL))


def gemma2():
    return Gemma2ForCausalLM(Gemma2Config(**TEXT, head_dim=8, **SPECIAL))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=1, n_head=2, n_positions=32, **SPECIAL))


def paligemma():
    vision = {"model_type": "siglip_vision_model", **SIZES, "image_size": 28, "patch_size": 14}
    text = {"model_type": "gemma", **TEXT, "head_dim": 8, **SPECIAL}
    return PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(vision_config=vision, text_config=text, image_token_index=31, tie_word_embeddings=True)
    )


def qwen2_vl():
    vision = {"embed_dim": 16, "hidden_size": 16, "depth": 1, "num_heads": 2, "patch_size": 14}
    return Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            vision_config=vision,
            text_config={**TEXT, "rope_scaling": ROPE, **SPECIAL},
            tie_word_embeddings=True,
            image_token_id=28,
            video_token_id=29,
            vision_start_token_id=30,
            vision_end_token_id=31,
        )
    )


def composed():
    vision = {"model_type": "siglip_vision_model", **SIZES, "image_size": 28, "patch_size": 14}
    text = {"model_type": "gemma", **TEXT, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 300}
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7}}}
    return MultimodalVLAForActionPrediction(
        MultimodalVLAConfig(vision_config=vision, text_config=text, norm_stats=statistics)
    )


EMBEDDING, HEAD = "embed_tokens", "lm_head"
TOKENS = {EMBEDDING: [1, 5]}
TRAINED = {
    "LoRA of the embedding": {"target_modules": [EMBEDDING]},
    "LoRA of the head": {"target_modules": [HEAD]},
    "LoRA of both": {"target_modules": [EMBEDDING, HEAD]},
    "LoRA of the embedding, tied": {"target_modules": [EMBEDDING], "ensure_weight_tying": True},
    "LoRA of the head, tied": {"target_modules": [HEAD], "ensure_weight_tying": True},
    "LoRA of both, tied": {"target_modules": [EMBEDDING, HEAD], "ensure_weight_tying": True},
    "DoRA of the embedding": {"target_modules": [EMBEDDING], "use_dora": True},
    "DoRA of the head": {"target_modules": [HEAD], "use_dora": True},
    "DoRA of both": {"target_modules": [EMBEDDING, HEAD], "use_dora": True},
    "the embedding whole": {"modules_to_save": [EMBEDDING]},
    "the head whole": {"modules_to_save": [HEAD]},
    "both whole": {"modules_to_save": [EMBEDDING, HEAD]},
    "the embedding whole, tied": {"modules_to_save": [EMBEDDING], "ensure_weight_tying": True},
    "the head whole, tied": {"modules_to_save": [HEAD], "ensure_weight_tying": True},
    "both whole, tied": {"modules_to_save": [EMBEDDING, HEAD], "ensure_weight_tying": True},
    "the head whole, LoRA of the embedding": {"target_modules": [EMBEDDING], "modules_to_save": [HEAD]},
    "the embedding whole, LoRA of the head": {"target_modules": [HEAD], "modules_to_save": [EMBEDDING]},
    "tokens": {"trainable_token_indices": [1, 5]},
    "tokens of the embedding": {"trainable_token_indices": TOKENS},
    "tokens of the head": {"trainable_token_indices": {HEAD: [1, 5]}},
    "the same tokens of both": {"trainable_token_indices": {**TOKENS, HEAD: [1, 5]}},
    "other tokens of both": {"trainable_token_indices": {**TOKENS, HEAD: [5, 7]}},
}
UNTIED = {name for name in TRAINED if "whole" in name and "tied" not in name}


def train(base, folder, options, seed=1, **saved):
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(**{"target_modules": ["q_proj"], "r": 2, "lora_alpha": 6, **options}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder, **saved)


def store(folder, how, pair):
    """Rewrite the base so that it holds the shared tensor under one name or both."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    shared = next(value for name, value in weights.items() if name in pair)
    weights = {name: value for name, value in weights.items() if name not in pair}
    names = {"once": pair[:1], "twice": pair, "as the head": pair[1:]}[how]
    save_file({**weights, **{name: shared.clone() for name in names}}, path, {"format": "pt"})


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def merge(folder, *adapters, options=()):
    sources = ["--base", str(folder / "base"), *options]
    for adapter in adapters:
        sources += ["--adapter", str(adapter)]
    return main(["merge-lora", "--family", "generic", *sources, "--output", str(folder / "out"), "--quiet"])


def by_peft(family, folder, *adapters):
    """PEFT's merged model, saved and loaded again."""
    model = family.from_pretrained(folder / "base")
    for adapter in adapters:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    model.save_pretrained(folder / "peft")
    return family.from_pretrained(folder / "peft")


def check_equal(expected, folder):
    found = type(expected).from_pretrained(folder / "out")
    state = found.state_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(state[name], value), name
    assert torch.equal(logits(found), logits(expected))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stored", ["once", "twice", "as the head"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_tied_pair_is_merged_as_peft_merges_it(tmp_path, name, stored):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    before = logits(base)
    train(base, tmp_path / "adapter", TRAINED[name])
    expected = by_peft(LlamaForCausalLM, tmp_path, tmp_path / "adapter")
    store(tmp_path / "base", stored, ["model.embed_tokens.weight", "lm_head.weight"])
    assert merge(tmp_path, tmp_path / "adapter") == 0
    check_equal(expected, tmp_path)
    assert (logits(expected) - before).abs().max() > 1e-3
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["tie_word_embeddings"] is (name not in UNTIED)


@pytest.mark.filterwarnings("ignore")
def test_a_pair_stays_tied_where_another_part_was_trained_whole(tmp_path):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    options = {"modules_to_save": ["norm"]}
    train(
        LlamaForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter", options, save_embedding_layers=True
    )
    expected = by_peft(LlamaForCausalLM, tmp_path, tmp_path / "adapter")
    assert merge(tmp_path, tmp_path / "adapter") == 0
    check_equal(expected, tmp_path)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True


FAMILIES = {"gemma2": gemma2, "paligemma": paligemma, "qwen2_vl": qwen2_vl}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "name", ["LoRA of both", "the head whole", "the embedding whole, LoRA of the head", "tokens of the embedding"]
)
def test_models_with_images_untie_where_peft_does(tmp_path, family, name):
    torch.manual_seed(0)
    model = FAMILIES[family]()
    model.save_pretrained(tmp_path / "base")
    train(type(model).from_pretrained(tmp_path / "base"), tmp_path / "adapter", TRAINED[name])
    assert merge(tmp_path, tmp_path / "adapter") == 0
    if name not in UNTIED:
        check_equal(by_peft(type(model), tmp_path, tmp_path / "adapter"), tmp_path)
        return
    found = type(model).from_pretrained(tmp_path / "out")
    trained = PeftModel.from_pretrained(type(model).from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    torch.testing.assert_close(logits(found), logits(trained), rtol=1e-5, atol=1e-5)
    assert not torch.equal(found.get_input_embeddings().weight, found.get_output_embeddings().weight)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    levels = [config, *(config[level] for level in ("text_config",) if level in config)]
    assert [level["tie_word_embeddings"] for level in levels] == [False] * len(levels)


@pytest.mark.filterwarnings("ignore")
def test_a_tied_gpt2_is_merged_under_its_own_names(tmp_path):
    torch.manual_seed(0)
    gpt2().save_pretrained(tmp_path / "base")
    options = {"target_modules": ["c_attn"], "modules_to_save": ["lm_head"], "fan_in_fan_out": True}
    train(GPT2LMHeadModel.from_pretrained(tmp_path / "base"), tmp_path / "adapter", options)
    assert merge(tmp_path, tmp_path / "adapter") == 0
    check_equal(by_peft(GPT2LMHeadModel, tmp_path, tmp_path / "adapter"), tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["LoRA of both", "the head whole"])
def test_a_composed_model_with_a_tied_language_model_is_merged(tmp_path, name):
    torch.manual_seed(0)
    composed().save_pretrained(tmp_path / "base")
    family = MultimodalVLAForActionPrediction
    train(family.from_pretrained(tmp_path / "base"), tmp_path / "adapter", TRAINED[name])
    trained_by = ["--statistics", str(tmp_path / "base" / "config.json")]
    assert merge(tmp_path, tmp_path / "adapter", options=trained_by) == 0
    found = family.from_pretrained(tmp_path / "out")
    trained = PeftModel.from_pretrained(family.from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    state, wanted = found.state_dict(), trained.merge_and_unload().state_dict()
    for key, value in wanted.items():
        torch.testing.assert_close(state[key], value, rtol=1e-6, atol=1e-6, msg=key)


ORDERS = [
    ("the head whole", "LoRA of both"),
    ("LoRA of both", "the head whole"),
    ("LoRA of both", "the embedding whole"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("order", ORDERS)
def test_a_second_adapter_finds_the_pair_as_the_first_left_it(tmp_path, order):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    adapters = [tmp_path / "first", tmp_path / "second"]
    model = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    for seed, (name, folder) in enumerate(zip(order, adapters, strict=True)):
        model.save_pretrained(tmp_path / f"model{seed}")
        fresh = LlamaForCausalLM.from_pretrained(tmp_path / f"model{seed}")
        train(fresh, folder, TRAINED[name], seed)
        model = PeftModel.from_pretrained(model, folder).merge_and_unload()
    assert merge(tmp_path, *adapters) == 0
    check_equal(by_peft(LlamaForCausalLM, tmp_path, *adapters), tmp_path)


def test_a_tied_pair_with_different_numbers_is_refused_by_both_names(tmp_path, capsys):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    train(LlamaForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter", TRAINED["LoRA of the head"])
    store(tmp_path / "base", "twice", ["model.embed_tokens.weight", "lm_head.weight"])
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"] + 1
    save_file(weights, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    assert merge(tmp_path, tmp_path / "adapter") == 1
    error = capsys.readouterr().err
    assert "lm_head.weight" in error and "model.embed_tokens.weight" in error and "tie_word_embeddings" in error
