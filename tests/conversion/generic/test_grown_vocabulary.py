"""Adapters that grew the vocabulary, and adapters that were saved as a wrapped model's own state."""

import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GemmaConfig, LlamaConfig, LlamaForCausalLM, PaliGemmaConfig, PaliGemmaForConditionalGeneration

from vlahub.conversion.cli import main

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
IDS = torch.arange(3, 36)[None]
NEW = 37


def llama(**options):
    return LlamaForCausalLM(LlamaConfig(vocab_size=32, **SIZES, **options))


def tied():
    return llama(tie_word_embeddings=True)


def paligemma():
    vision = {"model_type": "siglip_vision_model", **SIZES, "image_size": 28, "patch_size": 14}
    text = GemmaConfig(vocab_size=32, num_key_value_heads=2, head_dim=8, **SIZES)
    return PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(vision_config=vision, text_config=text.to_dict(), image_token_index=31)
    )


def train(model, folder, **options):
    torch.manual_seed(1)
    saving = {"save_embedding_layers": options.pop("save_embedding_layers", "auto")}
    model = get_peft_model(model, LoraConfig(**{"target_modules": ["q_proj"], "r": 2, "lora_alpha": 6, **options}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder, **saving)
    return model


def merge(folder, *adapters):
    sources = ["--base", str(folder / "base")]
    for adapter in adapters or [folder / "adapter"]:
        sources += ["--adapter", str(adapter)]
    return main(["merge-lora", "--family", "generic", *sources, "--output", str(folder / "out"), "--quiet"])


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


GROWN = {
    "saved along": (llama, {"save_embedding_layers": True}),
    "trained whole": (llama, {"modules_to_save": ["embed_tokens", "lm_head"]}),
    "with LoRA on both": (llama, {"target_modules": ["embed_tokens", "lm_head"]}),
    "trained whole and saved along": (
        llama,
        {"modules_to_save": ["embed_tokens", "lm_head"], "save_embedding_layers": True},
    ),
    "one trained whole, both saved along": (llama, {"modules_to_save": ["lm_head"], "save_embedding_layers": True}),
    "tied, trained whole and saved along": (
        tied,
        {"modules_to_save": ["embed_tokens", "lm_head"], "save_embedding_layers": True},
    ),
    "tied, saved along": (tied, {"save_embedding_layers": True}),
    "tied, trained whole": (tied, {"modules_to_save": ["embed_tokens", "lm_head"]}),
    "tied, trained as one": (tied, {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
    "tied, with LoRA": (tied, {"target_modules": ["embed_tokens"]}),
    "with images": (paligemma, {"target_modules": r".*language_model.*q_proj", "save_embedding_layers": True}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rows", [NEW, 30])
@pytest.mark.parametrize("name", GROWN)
def test_a_resized_vocabulary_is_merged_with_its_size(tmp_path, name, rows):
    make, options = GROWN[name]
    torch.manual_seed(0)
    model = make()
    model.save_pretrained(tmp_path / "base")
    model.resize_token_embeddings(rows)
    train(model, tmp_path / "adapter", **options)
    assert merge(tmp_path) == 0
    base = type(model).from_pretrained(tmp_path / "base")
    base.resize_token_embeddings(rows)
    expected = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    found = type(model).from_pretrained(tmp_path / "out")
    assert found.get_input_embeddings().weight.shape[0] == found.config.get_text_config().vocab_size == rows
    state = found.state_dict()
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=0, msg=key)
    if rows == NEW:
        assert torch.equal(logits(found), logits(expected))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("end", ["embed_tokens", "lm_head"])
def test_only_one_grown_end_is_refused_by_both_names(tmp_path, end, capsys):
    torch.manual_seed(0)
    model = llama()
    model.save_pretrained(tmp_path / "base")
    model.resize_token_embeddings(NEW)
    train(model, tmp_path / "adapter", save_embedding_layers=True)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if end not in k}, path, {"format": "pt"})
    assert merge(tmp_path) == 1
    error = capsys.readouterr().err
    assert "37 rows" in error and "32 rows" in error and "embed_tokens" in error and "lm_head" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore")
def test_trained_tokens_beyond_the_base_are_refused(tmp_path, capsys):
    torch.manual_seed(0)
    model = llama()
    model.save_pretrained(tmp_path / "base")
    model.resize_token_embeddings(NEW)
    train(model, tmp_path / "adapter", trainable_token_indices=[3, 35], save_embedding_layers=False)
    assert merge(tmp_path) == 1
    assert "token 35" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_the_tokenizer_of_the_adapter_comes_along(tmp_path):
    torch.manual_seed(0)
    model = llama()
    model.save_pretrained(tmp_path / "base")
    model.resize_token_embeddings(NEW)
    train(model, tmp_path / "adapter", save_embedding_layers=True)
    for name in ("base", "adapter"):
        Tokenizer(WordLevel({"<unk>": 0, name: 1}, unk_token="<unk>")).save(str(tmp_path / name / "tokenizer.json"))
    assert merge(tmp_path) == 0
    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).get_vocab() == {"<unk>": 0, "adapter": 1}


WRAPPINGS = {
    "own state": lambda key: key,
    "DDP": lambda key: f"module.{key}",
    "torch.compile": lambda key: f"_orig_mod.{key}",
    "DDP of a compiled model": lambda key: f"module._orig_mod.{key}",
    "FSDP": lambda key: f"_fsdp_wrapped_module.{key.replace('.layers.0.', '.layers.0._fsdp_wrapped_module.')}",
    "checkpointing": lambda key: key.replace(".layers.1.", ".layers.1._checkpoint_wrapped_module."),
}
RAW = {
    "LoRA": {"target_modules": ["q_proj"]},
    "DoRA": {"target_modules": ["q_proj"], "use_dora": True},
    "an embedding": {"target_modules": ["embed_tokens"]},
    "modules to save": {"modules_to_save": ["embed_tokens", "mlp"]},
    "tokens": {"trainable_token_indices": [1, 5]},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", RAW)
def test_a_wrapped_models_own_state_is_read_as_its_adapter(tmp_path, name, wrapping):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    model = train(LlamaForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "saved", **RAW[name])
    shutil.copytree(tmp_path / "saved", tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    markers = ("lora_", "modules_to_save", "original_module", "trainable_tokens")
    state = {key: value for key, value in model.state_dict().items() if any(marker in key for marker in markers)}
    torch.save(
        {WRAPPINGS[wrapping](key): value for key, value in state.items()}, tmp_path / "adapter" / "adapter_model.bin"
    )
    assert merge(tmp_path) == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    shutil.rmtree(tmp_path / "out")
    assert merge(tmp_path, tmp_path / "saved") == 0
    wanted = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("wrap", [lambda key: f"module.{key}", lambda key: key.replace(".weight", ".default.weight")])
def test_a_wrapped_models_own_state_is_read_in_a_run_of_openvla(openvla, tmp_path, wrap, weights_of):
    run = openvla.copied(tmp_path)
    options = ("--decoding", "autoregressive")
    assert run.merge(tmp_path / "wanted", *options) == 0
    path = run.run / "lora_adapter" / "adapter_model.safetensors"
    save_file({wrap(key): value for key, value in load_file(path).items()}, path, {"format": "pt"})
    assert run.merge(tmp_path / "found", *options) == 0
    wanted, found = weights_of(tmp_path / "wanted"), weights_of(tmp_path / "found")
    assert all(torch.equal(found[name], value) for name, value in wanted.items()) and found.keys() == wanted.keys()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("below", ["checkpoint-10", "lora_adapter/policy"])
def test_an_adapter_one_level_down_is_named(tmp_path, below, capsys):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    train(llama(), tmp_path / "adapter" / below)
    assert merge(tmp_path) == 1
    assert below in capsys.readouterr().err


def test_an_adapter_one_level_down_in_a_run_is_named(openvla, tmp_path, capsys):
    run = openvla.copied(tmp_path)
    (run.run / "lora_adapter").rename(run.run / "policy")
    (run.run / "lora_adapter").mkdir()
    (run.run / "policy").rename(run.run / "lora_adapter" / "policy")
    assert run.merge(tmp_path / "out", "--decoding", "autoregressive") == 1
    assert "lora_adapter/policy" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inside", [".", "lora_adapter"])
@pytest.mark.parametrize(
    "name", ["new_embeddings.safetensors", "new_embeddings.bin", "non_lora_trainables.bin", "non_lora_state_dict.bin"]
)
def test_trained_numbers_beside_an_adapter_are_refused_by_name(tmp_path, name, inside, capsys):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    train(llama(), tmp_path / "adapter" / inside)
    tensors = {"input_embeddings": torch.zeros(2, 16)}
    path = tmp_path / "adapter" / name
    save_file(tensors, path) if name.endswith("safetensors") else torch.save(tensors, path)
    assert merge(tmp_path) == 1
    assert name in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_tokens_that_an_earlier_adapter_added_are_not_lost_to_a_later_one(tmp_path, capsys):
    torch.manual_seed(0)
    llama().save_pretrained(tmp_path / "base")
    rows = llama().config.vocab_size
    grown, ends = llama(), {"modules_to_save": ["embed_tokens", "lm_head"]}
    grown.resize_token_embeddings(rows + 6)
    train(grown, tmp_path / "grown", **ends)
    train(llama(), tmp_path / "plain", **ends)
    assert merge(tmp_path, tmp_path / "grown", tmp_path / "plain") == 1
    assert f"embeddings of {rows} rows, but an adapter before it has {rows + 6}" in capsys.readouterr().err
    assert merge(tmp_path, tmp_path / "plain", tmp_path / "grown") == 0
