"""A plain PEFT adapter merges into any transformers model exactly as PEFT itself does it."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import metadata_load
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)

from vlahub.configuration.vla_config import VLAConfig
from vlahub.conversion.cli import main
from vlahub.conversion.generic.card import task_of_base
from vlahub.conversion.generic.checkpoint import with_statistics, with_views, write_settings
from vlahub.conversion.generic.merged_base import similar_key
from vlahub.conversion.model_card import card_metadata_of
from vlahub.conversion.publishing import push_checkpoint
from vlahub.conversion.tensors import computation, verify_tensors
from vlahub.errors import ConversionError

TEXT = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
ATTENTION = ["q_proj", "v_proj"]


def llama(**options):
    return LlamaForCausalLM(LlamaConfig(**TEXT, num_key_value_heads=2, **options))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32))


def llava():
    vision = CLIPVisionConfig(**VISION, image_size=28, patch_size=14)
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=LlamaConfig(**TEXT), image_token_index=3)
    )


def vit_gpt2():
    vision, text = ViTConfig(**VISION | {"hidden_size": 32}, image_size=28, patch_size=14), gpt2().config
    return VisionEncoderDecoderModel(VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text))


def with_bias():
    return llama(attention_bias=True)


CASES = {
    "plain": (llama, {"target_modules": ATTENTION}),
    "all linear layers": (llama, {"target_modules": "all-linear"}),
    "rank-stabilised": (llama, {"target_modules": ATTENTION, "use_rslora": True, "r": 3, "lora_alpha": 7}),
    "DoRA": (llama, {"target_modules": ATTENTION, "use_dora": True}),
    "patterns": (
        llama,
        {
            "target_modules": ATTENTION,
            "rank_pattern": {"layers.1.self_attn.q_proj": 5},
            "alpha_pattern": {".*v_proj": 3},
        },
    ),
    "modules to save": (llama, {"target_modules": ATTENTION, "modules_to_save": ["lm_head", "embed_tokens"]}),
    "embedding": (llama, {"target_modules": ["embed_tokens", "q_proj"]}),
    "tied head": (lambda: llama(tie_word_embeddings=True), {"target_modules": ["lm_head", "q_proj"]}),
    "all biases": (with_bias, {"target_modules": ATTENTION, "bias": "all"}),
    "biases of adapted layers": (with_bias, {"target_modules": ATTENTION, "bias": "lora_only"}),
    "bias of B": (with_bias, {"target_modules": ATTENTION, "lora_bias": True}),
    "some tokens": (llama, {"target_modules": ATTENTION, "trainable_token_indices": {"embed_tokens": [9, 1, 5]}}),
    "some tokens of the embeddings": (llama, {"target_modules": ATTENTION, "trainable_token_indices": [9, 1, 5]}),
    "transposed layers": (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "layers of both kinds": (vit_gpt2, {"target_modules": "all-linear"}),
    "layers of both kinds, said to be of one": (vit_gpt2, {"target_modules": "all-linear", "fan_in_fan_out": True}),
    "image and text": (llava, {"target_modules": ATTENTION}),
    "PiSSA": (llama, {"target_modules": ATTENTION, "init_lora_weights": "pissa"}),
    "OLoRA": (llama, {"target_modules": ATTENTION, "init_lora_weights": "olora"}),
}


def train_adapter(base, folder, seed, **options):
    """An adapter as a training run would leave it, with every trained number moved."""
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(**{"r": 4, "lora_alpha": 6, **options}))  # alpha / r is not 1
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)


def make_case(tmp_path, make, options, dtype=torch.float32, adapters=1):
    """Base and adapters on disk, and PEFT's own result in float32."""
    torch.manual_seed(0)
    model = make().to(dtype)
    model.save_pretrained(tmp_path / "base")
    family = type(model)
    folders = [tmp_path / f"adapter{i}" for i in range(adapters)]
    for seed, folder in enumerate(folders):
        train_adapter(family.from_pretrained(tmp_path / "base", dtype=dtype), folder, seed, **options)
    expected = family.from_pretrained(tmp_path / "base", dtype=torch.float32)
    for folder in folders:
        expected = PeftModel.from_pretrained(expected, folder).merge_and_unload()
    return folders, expected


def merge(tmp_path, folders, *options):
    command = ["merge-lora", "--family", "generic", "--base", str(tmp_path / "base"), "--quiet"]
    for folder in folders:
        command += ["--adapter", str(folder)]
    return main([*command, "--output", str(tmp_path / "out"), *options])


@pytest.mark.parametrize("name", CASES)
def test_a_merge_is_bit_for_bit_what_peft_merges(tmp_path, name):
    folders, expected = make_case(tmp_path, *CASES[name])
    assert merge(tmp_path, folders) == 0
    found = type(expected).from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    for key, value in expected.state_dict().items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("name", ["plain", "DoRA"])
def test_a_bfloat16_base_is_merged_in_float32_and_rounded_once(tmp_path, name):
    folders, expected = make_case(tmp_path, *CASES[name], dtype=torch.bfloat16)
    assert merge(tmp_path, folders) == 0
    found = type(expected).from_pretrained(tmp_path / "out", dtype="auto").state_dict()
    for key, value in expected.state_dict().items():
        assert torch.equal(found[key], value.bfloat16()), key


def test_several_adapters_are_merged_in_order(tmp_path):
    folders, expected = make_case(tmp_path, *CASES["DoRA"], adapters=2)
    assert merge(tmp_path, folders) == 0
    found = type(expected).from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    for key, value in expected.state_dict().items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("name", ["plain", "DoRA", "bias of B", "embedding", "transposed layers"])
def test_merging_in_blocks_of_rows_changes_nothing_but_rounding(tmp_path, monkeypatch, name):
    monkeypatch.setattr(computation, "BLOCK_ELEMENTS", 100)
    folders, expected = make_case(tmp_path, *CASES[name])
    assert merge(tmp_path, folders) == 0
    found = type(expected).from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-7)


def test_dtype_converts_at_the_end(tmp_path):
    folders, expected = make_case(tmp_path, *CASES["plain"])
    assert merge(tmp_path, folders, "--dtype", "bfloat16") == 0
    found = LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert found.dtype == torch.bfloat16
    for key, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], value.bfloat16()), key


def test_a_verified_merge_is_recomputed_from_its_sources_bit_for_bit(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["all linear layers"])
    assert merge(tmp_path, folders) == 0
    against = ["--base", str(tmp_path / "base"), "--against", str(folders[0])]
    assert main(["verify", str(tmp_path / "out"), *against]) == 0
    assert "equal their recomputation" in capsys.readouterr().out


def test_a_flipped_bit_is_found_by_verifying_against_the_sources(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    assert merge(tmp_path, folders) == 0
    path = tmp_path / "out" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    assert main(["verify", str(tmp_path / "out"), "--quiet"]) == 1  # the report has its hash
    against = ["--base", str(tmp_path / "base"), "--against", str(folders[0]), "--quiet"]
    assert main(["verify", str(tmp_path / "out"), *against]) == 1
    assert "these tensors differ" in capsys.readouterr().err


def test_a_quantised_base_is_refused_with_what_to_do(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    path = tmp_path / "base" / "config.json"
    config = json.loads(path.read_text()) | {"quantization_config": {"quant_method": "bitsandbytes"}}
    path.write_text(json.dumps(config))
    assert merge(tmp_path, folders) == 1
    error = capsys.readouterr().err
    assert "bitsandbytes" in error and "full-precision" in error
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_base_is_refused_by_the_name_of_its_layer(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    shutil.rmtree(tmp_path / "base")
    LlamaForCausalLM(LlamaConfig(**TEXT | {"num_hidden_layers": 1}, num_key_value_heads=2)).save_pretrained(
        tmp_path / "base"
    )
    assert merge(tmp_path, folders) == 1
    assert "layers.1.self_attn.q_proj" in capsys.readouterr().err


def test_a_name_that_two_tensors_of_the_base_end_in_is_neither():
    keys = ["first.lm_head.weight", "second.lm_head.weight", "model.norm.weight"]
    assert similar_key("norm.weight", keys, guess=True) == "model.norm.weight"
    with pytest.raises(ConversionError, match=r"lm_head\.weight, which the base does not have"):
        similar_key("lm_head.weight", keys, guess=True)


@pytest.mark.parametrize("start", ["pissa_niter_4", "corda", "loftq"])
def test_an_adapter_whose_start_cannot_be_repeated_is_refused(tmp_path, capsys, start):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    path = folders[0] / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"init_lora_weights": start}))
    assert merge(tmp_path, folders) == 1
    assert start in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_modules_to_save_replace_is_accounted_for(tmp_path):
    folders, _ = make_case(tmp_path, *CASES["modules to save"])
    assert merge(tmp_path, folders) == 0
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    superseded = {row["source"] for row in report["leftovers"] if row["status"] == "superseded"}
    assert superseded == {f"base/model.safetensors:{n}" for n in ("lm_head.weight", "model.embed_tokens.weight")}


def test_a_base_of_mixed_dtypes_keeps_them_and_verifies(tmp_path):
    folders, _ = make_case(tmp_path, *CASES["plain"], dtype=torch.bfloat16)
    path = tmp_path / "base" / "model.safetensors"
    mixed = {k: v.float() if "norm" in k or "v_proj" in k else v for k, v in load_file(path).items()}
    save_file(mixed, path, {"format": "pt"})
    assert merge(tmp_path, folders) == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert {k: v.dtype for k, v in found.items()} == {k: v.dtype for k, v in mixed.items()}
    against = ["--base", str(tmp_path / "base"), "--against", str(folders[0]), "--quiet"]
    assert main(["verify", str(tmp_path / "out"), *against]) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    assert merge(tmp_path, folders, "--device", "cuda") == 1
    assert "--device cuda cannot be used here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_adapter_with_another_method_is_refused(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    path = folders[0] / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peft_type": "IA3"}))
    assert merge(tmp_path, folders) == 1
    assert "IA3" in capsys.readouterr().err


def test_a_result_that_is_not_finite_is_refused_by_name(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    path = folders[0] / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 10**39}))
    assert merge(tmp_path, folders, "--dtype", "float16") == 1
    assert "q_proj.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_a_file_that_travels_holds_no_nan(tmp_path, capsys, name):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    path = tmp_path / "base" / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, "odd": float("inf")}))
    assert merge(tmp_path, folders) == 0  # published configs of state-space models have it
    path.write_text(json.dumps({**content, "odd": [1.0, float("nan")]}))
    assert merge(tmp_path, folders, "--overwrite") == 1
    assert f"{name} holds NaN" in capsys.readouterr().err


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_that_the_config_says_were_trained_are_there(tmp_path, capsys, bias):
    folders, _ = make_case(tmp_path, with_bias, {"target_modules": ATTENTION, "bias": bias})
    file = folders[0] / "adapter_model.safetensors"
    tensors = load_file(file)
    left = {name: value for name, value in tensors.items() if not name.endswith("1.self_attn.v_proj.base_layer.bias")}
    assert len(left) == len(tensors) - 1
    save_file(left, file)
    assert merge(tmp_path, folders) == 1
    assert "lacks model.layers.1.self_attn.v_proj.bias" in capsys.readouterr().err


def test_the_card_has_the_task_languages_and_tags_of_the_base(tmp_path):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    tags = ["robotics", "gguf", "arxiv:2406.09246", "merged", "vla"]
    said = {"pipeline_tag": "robotics", "language": ["en"], "tags": tags, "license": "mit", "widget": [{"text": "x"}]}
    (tmp_path / "base" / "README.md").write_text(f"---\n{json.dumps(said)}\n---\n# Base\n")
    assert merge(tmp_path, folders) == 0
    found = metadata_load(tmp_path / "out" / "README.md")
    assert {name: found[name] for name in ("pipeline_tag", "language", "license")} == {
        "pipeline_tag": "robotics",
        "language": ["en"],
        "license": "mit",
    }
    assert found["tags"] == ["lora", "merged", "robotics", "vla"] and "widget" not in found


@pytest.mark.parametrize("card", ["", "no metadata", "---\ntags: vla\n---\n", "---\n- a list\n---\n", "---\n{\n---\n"])
def test_a_card_of_the_base_that_says_little_or_is_damaged_gives_what_it_has(card, tmp_path):
    assert task_of_base(card_metadata_of(tmp_path)) == {"tags": []}
    (tmp_path / "README.md").write_text(card)
    assert task_of_base(card_metadata_of(tmp_path)) == {"tags": ["vla"] if "vla" in card else []}


OLD, NEW = ({key: {"action": {"q01": [low], "q99": [low + 1.0]}}} for key, low in (("base_data", 0.0), ("mine", 5.0)))


@pytest.mark.parametrize("place", ["dataset_statistics.json", "processor_config.json", "given"])
def test_statistics_of_a_run_replace_those_of_the_base_and_do_not_join_them(place, tmp_path):
    config, given = {"norm_stats": OLD, "normalization_type": "bounds_q99"}, None
    if place == "given":
        given = tmp_path / "given.json"
        given.write_text(json.dumps(NEW))
    else:
        content = NEW if place.startswith("dataset") else {"norm_stats": NEW}
        (tmp_path / place).write_text(json.dumps(content))
    assert with_statistics(config, [tmp_path / "nothing", tmp_path][given is not None :], given)[0]["norm_stats"] == NEW
    assert config["norm_stats"] == OLD


def test_a_run_without_statistics_does_not_silently_get_those_of_its_base(family, family_checkpoint, tmp_path, capsys):
    """An adapter that PEFT saved at the end of a loop of one's own."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    get_peft_model(model, LoraConfig(r=2, target_modules=ATTENTION)).save_pretrained(tmp_path / "run")
    sources = ["--base", str(family_checkpoint), "--adapter", str(tmp_path / "run")]
    words = ["merge-lora", *sources, "--output", str(tmp_path / "out"), "--quiet"]
    if family.config.from_pretrained(family_checkpoint).normalization_type is None:
        assert main([*words, "--dry-run"]) == 0  # it normalises by numbers of its own
        return
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "no statistics to un-normalise actions with" in error and "pass --statistics FILE" in error
    assert not (tmp_path / "out").exists()
    assert main([*words, "--statistics", str(family_checkpoint / "config.json")]) == 0
    against = ["--against", sources[3], "--base", sources[1], "--quiet"]
    assert main(["verify", str(tmp_path / "out"), *against]) == 0


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
def test_an_untied_end_is_changed_alone_whatever_is_in_front_of_its_name(module, tmp_path):
    folders, expected = make_case(tmp_path, llama, {"target_modules": [module]})
    path = tmp_path / "base" / "model.safetensors"
    tensors = {name.replace("lm_head", "language_model.lm_head"): value for name, value in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    assert merge(tmp_path, folders, "--no-verify") == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == tensors.keys()
    for key, value in expected.state_dict().items():
        assert torch.equal(found[key.replace("lm_head", "language_model.lm_head")], value), key


def test_every_tensor_is_recomputed_by_verifying_against_the_sources_and_a_sample_after_writing(tmp_path, monkeypatch):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    asked = []
    plain = verify_tensors.recompute
    monkeypatch.setattr(verify_tensors, "SAMPLE", 4)
    monkeypatch.setattr(
        verify_tensors, "recompute", lambda tensors, *more: asked.append(list(tensors)) or plain(asked[-1], *more)
    )
    assert merge(tmp_path, folders) == 0
    count = len(load_file(tmp_path / "out" / "model.safetensors"))
    assert [len(tensors) for tensors in asked] == [4] and sum(bool(tensor.steps) for tensor in asked[0]) == 3
    asked.clear()
    sources = ["--against", str(folders[0]), "--base", str(tmp_path / "base"), "--quiet"]
    assert main(["verify", str(tmp_path / "out"), *sources]) == 0
    assert [len(tensors) for tensors in asked] == [count] and count > 4


def test_of_several_adapters_the_last_brings_tokenizer_and_processor(tmp_path):
    folders, _ = make_case(tmp_path, *CASES["plain"], adapters=3)
    for number, brings in enumerate(("tokenizer template", "tokenizer", "")):
        if "tokenizer" in brings:
            Tokenizer(WordLevel({f"of{number}": 0}, "of0")).save(str(folders[number] / "tokenizer.json"))
        if "template" in brings:
            (folders[number] / "chat_template.jinja").write_text(f"of{number}")
    assert merge(tmp_path, folders, "--no-verify") == 0
    assert list(Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).get_vocab()) == ["of1"]
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "of0"


def test_no_part_of_an_earlier_tokenizer_is_read_for_that_of_a_run(tmp_path):
    folders, _ = make_case(tmp_path, *CASES["plain"], adapters=2)
    base, run = tmp_path / "base", folders[0]
    for name in ("chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "tokenizer_config.json"):
        (base / name).write_text("{}")
    Tokenizer(WordLevel({"a": 0}, "a")).save(str(run / "tokenizer.json"))
    assert merge(tmp_path, folders, "--no-verify") == 0
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert "chat_template.jinja" in found and not found & {"special_tokens_map.json", "added_tokens.json"}
    (run / "tokenizer_config.json").write_text(json.dumps({"chat_template": "of the run"}))
    (run / "added_tokens.json").write_text("{}")
    assert merge(tmp_path, folders, "--no-verify", "--overwrite") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == found - {"chat_template.jinja"} | {
        "added_tokens.json"
    }


def test_of_several_adapters_the_last_brings_statistics_and_views(tmp_path):
    folders = [tmp_path / name for name in ("first", "second", "third")]
    base = {"norm_stats": OLD, "normalization_type": "bounds_q99"}
    for number, folder in enumerate(folders[:2]):
        folder.mkdir()
        own = {f"of{number}": NEW["mine"]}
        content = {"norm_stats": own, "view_names": [f"view{number}"]}
        (folder / "processor_config.json").write_text(json.dumps(content))
    config, (fact,) = with_statistics(base, folders)
    assert list(config["norm_stats"]) == ["of1"] and "adapter 2" in fact.how
    (folders[0] / "dataset_statistics.json").write_text(json.dumps(NEW))
    assert list(with_statistics(base, folders)[0]["norm_stats"]) == ["of1"]
    model = SimpleNamespace(model=SimpleNamespace(config=VLAConfig()))
    model.model.config.num_images_in_input = 1
    assert with_views(base, model, folders)[0]["view_names"] == ["view1"]
    assert with_views(base, None, folders) == (base, [])


def test_views_of_a_run_win_over_those_of_a_processor_and_reach_the_merged_one(tmp_path):
    (tmp_path / "processor_config.json").write_text(json.dumps({"view_names": ["old"], "norm_stats": OLD}))
    (tmp_path / "view_names.json").write_text(json.dumps({"view_names": ["mine"]}))
    model = SimpleNamespace(model=SimpleNamespace(config=VLAConfig()))
    model.model.config.num_images_in_input = 1
    config, (fact,) = with_views({"norm_stats": NEW}, model, [tmp_path])
    assert config["view_names"] == ["mine"] and "view_names.json" in fact.how
    write_settings(tmp_path, config)
    found = {"view_names": ["mine"], "norm_stats": NEW}
    assert json.loads((tmp_path / "processor_config.json").read_text()) == found
    write_settings(tmp_path, {"norm_stats": NEW, "view_names": None})  # a base that records none
    assert json.loads((tmp_path / "processor_config.json").read_text()) == found


def test_a_merged_model_writes_as_the_last_run_and_stops_where_any_of_them_ends(tmp_path):
    folders, _ = make_case(tmp_path, *CASES["plain"], adapters=3)
    written = tmp_path / "out" / "generation_config.json"
    (tmp_path / "base" / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, "top_k": 7}))
    (folders[0] / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2], "top_k": 8}))
    assert merge(tmp_path, folders, "--no-verify") == 0
    assert json.loads(written.read_text()) == {"eos_token_id": [1, 2], "top_k": 8}
    (folders[1] / "generation_config.json").write_text(json.dumps({"eos_token_id": 5, "top_k": 9}))
    (folders[1] / "config.json").write_text("{}")  # is not taken
    assert merge(tmp_path, folders, "--no-verify", "--overwrite") == 0
    assert json.loads(written.read_text()) == {"eos_token_id": [1, 2, 5], "top_k": 9}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "llama"


def test_settings_of_writing_that_cannot_be_end_a_merge_by_name(tmp_path, capsys):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    (folders[0] / "generation_config.json").write_text(json.dumps({"eos_token_id": "two"}))
    assert merge(tmp_path, folders, "--dry-run") == 1
    assert f"generation_config.json in {folders[0]} cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_a_dry_run_pushes_nothing(options, tmp_path, monkeypatch):
    folders, _ = make_case(tmp_path, *CASES["plain"])
    pushed = []
    monkeypatch.setattr(push_checkpoint, "push_checkpoint", lambda folder, name, **_: pushed.append(name) or "url")
    assert merge(tmp_path, folders, "--no-verify", "--push-to-hub", "me/mine", *options) == 0
    assert pushed == ([] if options else ["me/mine"]) and (tmp_path / "out").exists() is not bool(options)
