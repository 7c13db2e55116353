"""A Qwen3-VL, made tiny, becomes the start of an Alpamayo-R1; and that the start of one with another expert."""

import inspect
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3VLForConditionalGeneration

from vlahub import AlpamayoR1, AlpamayoR1Config, AlpamayoR1Processor
from vlahub.conversion.cli import main
from vlahub.errors import ConfigError
from vlahub.modeling.alpamayo_r1.alpamayo_start import expert_sizes, next_config

EMBEDDINGS, HEAD = "vlm.model.language_model.embed_tokens.weight", "vlm.lm_head.weight"
PARTS = ("expert.", "action_in_proj.", "action_out_proj.")
TOKENS = ("--future-bins", "100", "--history-bins", "60", "--min-pixels", "1024", "--max-pixels", "8192")
ROWS, KNOWN, NEW = 288, 282, 188  # rows of the base, its tokens, and those of 160 values and 28 markers


def create(base, output, *options):
    return main(
        ["create", "--family", "alpamayo_r1", "--base", str(base), "--output", str(output), "--quiet", *options]
    )


def refused(code, capsys):
    error = capsys.readouterr().err
    assert code == 1 and error.startswith("error: "), error
    return error


@pytest.fixture(scope="module")
def base(tiny_alpamayo, tmp_path_factory):
    """Not to be changed; float32."""
    folder = tmp_path_factory.mktemp("base") / "qwen"
    tiny_alpamayo.TinyAlpamayo(dtype=torch.float32).write_whole_base(folder)
    return folder


@pytest.fixture(scope="module")
def start(base, tmp_path_factory):
    """Not to be changed."""
    output = tmp_path_factory.mktemp("start") / "out"
    assert create(base, output, *TOKENS) == 0
    return output


@pytest.fixture
def changed(base, tmp_path):
    """A copy of the base to damage, and `change(**fields)` of its config.json."""
    folder = tmp_path / "changed"
    shutil.copytree(base, folder)

    def change(**fields):
        config = json.loads((folder / "config.json").read_text())
        for name, value in fields.items():
            config[name] = {**config[name], **value} if isinstance(value, dict) and name in config else value
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return change


def report_of(folder):
    return json.loads((folder / "conversion_report.json").read_text())


def weights(folder):
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


# ---- what is carried over


def test_all_of_the_base_is_there_bit_for_bit_and_only_the_expert_is_new(base, start):
    source, written, report = weights(base), weights(start), report_of(start)
    for name, value in source.items():
        there = written[f"vlm.{name}"]
        assert torch.equal(there[: len(value)], value), name
        assert len(there) == (KNOWN + NEW if f"vlm.{name}" in (EMBEDDINGS, HEAD) else len(value))
    new = {name for name, tensor in report["tensors"].items() if tensor["operation"] == "initialised"}
    assert new == {name for name in written if not name.startswith("vlm.")}
    assert {name.split(".")[0] + "." for name in new} == set(PARTS)
    assert not report["leftovers"] and report["inputs"] == {"base": "qwen"}


def test_new_rows_are_transformers_own_but_for_a_noise_that_is_smaller_than_any_rounding(base, start):
    vlm = Qwen3VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    vlm.resize_token_embeddings(KNOWN + NEW)
    pairs = {EMBEDDINGS: vlm.get_input_embeddings().weight, HEAD: vlm.lm_head.weight}
    for name, oracle in pairs.items():
        found, old = weights(start)[name], oracle.detach()[:ROWS]
        torch.testing.assert_close(found, oracle.detach(), rtol=0, atol=1e-3)
        noise = found[ROWS:] - old.mean(dim=0)
        assert 0.5 < noise.std() / (1e-9 * old.var()).sqrt() < 2 and len(noise.unique(dim=0)) == len(noise)


def test_the_text_is_the_bases_own(base, start):
    """Logits over what the base knows are its own bit for bit, and so is what it writes."""
    vlm = Qwen3VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32).eval()
    model, processor = AlpamayoR1.from_pretrained(start).eval(), AlpamayoR1Processor.from_pretrained(start)
    prompt = processor.image_processor([torch.full((3, 64, 96), 90, dtype=torch.uint8).numpy()], return_tensors="pt")
    count = processor.image_processor.tokens_per_image(prompt["image_grid_thw"])[0]
    text = f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>Is the light red?"
    ids = processor.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert (ids < KNOWN).all()
    with torch.no_grad():
        found = model(ids, **prompt).logits
        is_image = {"mm_token_type_ids": (ids == model.config.vlm_config.image_token_id).int()}
        expected = vlm(ids, **prompt, **takes(vlm, is_image)).logits
    assert torch.equal(found[..., :ROWS], expected)
    options = {"max_new_tokens": 8, "do_sample": False, "bad_words_ids": [[i] for i in range(ROWS, KNOWN + NEW)]}
    written = model.generate(ids, **prompt, **options)
    options.pop("bad_words_ids")
    assert torch.equal(written, vlm.generate(ids, **prompt, **takes(vlm, is_image), **options))


def takes(vlm, arguments):
    """Those of the arguments that the transformers line that runs has."""
    names = inspect.signature(vlm.forward).parameters
    return {name: value for name, value in arguments.items() if name in names}


def test_tokens_are_added_in_the_published_order(start, golden):
    """At the ids that the published code gives them, moved to the end of this base's tokens."""
    case = golden("alpamayo/special_tokens")
    processor, config = AlpamayoR1Processor.from_pretrained(start), AlpamayoR1.from_pretrained(start).config
    added = case["outputs"]["add_special_tokens_True.added"]["strings"]
    assert processor.tokenizer.convert_tokens_to_ids(added) == list(range(KNOWN, KNOWN + NEW))
    moved = KNOWN - case["config"]["base_len"]
    published = case["outputs"]["add_special_tokens_True.traj_token_ids"]
    published = {name: int(value) + moved for name, value in published.items() if name in config.traj_token_ids}
    assert config.traj_token_ids == published and len(published) == 6
    assert config.traj_token_start_idx == KNOWN and config.hist_token_start_idx == KNOWN + 100
    assert config.vocab_size == config.vlm_config.text_config.vocab_size == KNOWN + NEW


def test_a_base_with_one_matrix_for_both_ends_stays_so(tiny_alpamayo, tmp_path):
    tiny_alpamayo.TinyAlpamayo(tied=True, dtype=torch.float32).write_whole_base(tmp_path / "base")
    assert create(tmp_path / "base", tmp_path / "out", *TOKENS) == 0
    model = AlpamayoR1.from_pretrained(tmp_path / "out")
    assert model.vlm.lm_head.weight is model.vlm.get_input_embeddings().weight and HEAD not in weights(tmp_path / "out")
    source = weights(tmp_path / "base")
    source["lm_head.weight"] = source["model.language_model.embed_tokens.weight"].clone()
    save_file(source, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    assert create(tmp_path / "base", tmp_path / "both", *TOKENS) == 0  # where the base stores it twice
    assert torch.equal(weights(tmp_path / "both")[EMBEDDINGS], weights(tmp_path / "out")[EMBEDDINGS])


def test_rows_that_no_token_has_are_left_out(tiny_alpamayo, tmp_path):
    """As published: the vocabulary is the tokenizer's."""
    tiny_alpamayo.TinyAlpamayo(dtype=torch.bfloat16).write_whole_base(tmp_path / "base", rows=600)
    assert create(tmp_path / "base", tmp_path / "out", *TOKENS) == 0
    for name in (EMBEDDINGS, HEAD):
        found, source = weights(tmp_path / "out")[name], weights(tmp_path / "base")[name.removeprefix("vlm.")]
        assert found.dtype == torch.bfloat16 and torch.equal(found, source[: KNOWN + NEW])
    assert report_of(tmp_path / "out")["settings"]["new_embedding_rows"]["value"] == 0


# ---- what is new


def test_an_expert_has_the_releases_proportions_unless_it_is_said_otherwise(base, start, tmp_path):
    expert = AlpamayoR1.from_pretrained(start).config.expert_config
    assert (expert.hidden_size, expert.num_attention_heads, expert.intermediate_size) == (16, 1, 64)
    assert (expert.head_dim, expert.num_key_value_heads, expert.num_hidden_layers) == (16, 1, 2)
    sizes = ["--expert-hidden-size", "24", "--expert-num-attention-heads", "3", "--expert-intermediate-size", "40"]
    more = ["--num-action-chunks", "32", "--num-history-poses", "8"]
    assert create(base, tmp_path / "out", *TOKENS, *sizes, *more) == 0
    config = AlpamayoR1.from_pretrained(tmp_path / "out").config
    expert = config.expert_config
    assert (expert.hidden_size, expert.num_attention_heads, expert.intermediate_size) == (24, 3, 40)
    assert (config.num_action_chunks, config.tokens_per_future_traj, config.tokens_per_history_traj) == (32, 64, 24)
    assert AlpamayoR1Processor.from_pretrained(tmp_path / "out").num_history_tokens == 24


def test_the_defaults_are_the_releases():
    """Of a base of the 8B's sizes, by its config alone."""
    released = AlpamayoR1Config()
    assert expert_sizes(released, {}) == released.expert_cfg


def test_an_expert_has_a_head_for_each_of_the_bases_keys():
    config = AlpamayoR1Config()
    config.vlm_config.text_config.num_key_value_heads = 24
    assert expert_sizes(config, {})["num_attention_heads"] == 24


def test_what_is_not_said_of_a_part_of_the_next_expert_is_the_bases():
    base = AlpamayoR1Config(action_in_proj_cfg={"num_enc_layers": 1})
    switches = {"expert_cfg": {"hidden_size": 1536}, "action_in_proj_cfg": {"hidden_size": 24}}
    found = next_config(base, switches).action_in_proj_cfg
    assert found == {**AlpamayoR1Config().action_in_proj_cfg, "num_enc_layers": 1, "hidden_size": 24}


def test_the_seed_alone_decides_what_is_new(base, start, tmp_path):
    assert create(base, tmp_path / "again", *TOKENS, "--seed", "0", "--max-shard-size", "50KB") == 0
    assert create(base, tmp_path / "other", *TOKENS, "--seed", "1") == 0
    first, again, other = weights(start), weights(tmp_path / "again"), weights(tmp_path / "other")
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    drawn = {name for name, value in first.items() if not torch.equal(value, other[name])}
    assert {EMBEDDINGS, HEAD, "expert.layers.0.mlp.up_proj.weight", "action_out_proj.weight"} <= drawn
    assert all(name in (EMBEDDINGS, HEAD) or not name.startswith("vlm.") for name in drawn)


def test_the_card_says_what_is_not_trained(start):
    card = (start / "README.md").read_text()
    assert "not trained" in card and "`expert`" in card and "seed 0" in card
    assert f"{KNOWN + NEW - ROWS} new rows" in card


def test_a_dry_run_writes_nothing(base, tmp_path, capsys):
    arguments = ["create", "--family", "alpamayo_r1", "--base", str(base), "--output", str(tmp_path / "out")]
    assert main([*arguments, *TOKENS, "--dry-run"]) == 0
    assert "resize_rows" in capsys.readouterr().out and not (tmp_path / "out").exists()


# ---- from one's own earlier step


def test_another_expert_over_an_earlier_step(start, tmp_path):
    earlier = tmp_path / "earlier"
    shutil.copytree(start, earlier)
    trained = weights(earlier)
    trained["vlm.lm_head.weight"] = trained["vlm.lm_head.weight"] + 1
    save_file(trained, earlier / "model.safetensors", {"format": "pt"})
    assert create(earlier, tmp_path / "out", "--expert-hidden-size", "32", "--seed", "3") == 0
    written, report = weights(tmp_path / "out"), report_of(tmp_path / "out")
    assert all(torch.equal(value, trained[name]) for name, value in written.items() if name.startswith("vlm."))
    model = AlpamayoR1.from_pretrained(tmp_path / "out")
    expert = model.config.expert_config
    assert (expert.hidden_size, expert.num_attention_heads, expert.intermediate_size) == (32, 1, 64)
    assert {left["reason"] for left in report["leftovers"]} == {"another expert was asked for"}
    before, after = (AlpamayoR1Processor.from_pretrained(folder) for folder in (earlier, tmp_path / "out"))
    assert before.tokenizer.get_vocab() == after.tokenizer.get_vocab()
    assert model.tokenizer is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nothing would be new"),
        (("--expert-hidden-size", "16"), "nothing would be new"),
        (("--future-bins", "101", "--expert-hidden-size", "32"), "traj_tokenizer_cfg is"),
        (("--num-action-chunks", "32", "--expert-hidden-size", "32"), "num_action_chunks is 64 in the base"),
        (("--num-history-poses", "8"), "tokens_per_history_traj is 48 in the base"),
        (("--max-pixels", "9000"), "max_pixels is 8192 in the base"),
        (("--expert-num-attention-heads", "0"), "num_attention_heads"),
    ],
)
def test_of_an_earlier_step_only_the_expert_can_be_another(start, tmp_path, capsys, options, words):
    assert words in refused(create(start, tmp_path / "out", *options), capsys)
    assert not (tmp_path / "out").exists()


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_type": "qwen2_5_vl"}, "model_type 'qwen2_5_vl'; an Alpamayo-R1 begins with a 'qwen3_vl'"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised (bitsandbytes)"),
        ({"text_config": {"num_hidden_layers": 3}}, "layers.2"),
    ],
)
def test_a_base_that_is_none_is_refused(changed, tmp_path, capsys, fields, words):
    assert words in refused(create(changed(**fields), tmp_path / "out", *TOKENS), capsys)


def test_a_published_release_is_converted_first(tiny_alpamayo, tmp_path, capsys):
    tiny_alpamayo.TinyAlpamayo().write_published(tmp_path / "published")
    error = refused(create(tmp_path / "published", tmp_path / "out", *TOKENS), capsys)
    assert "model_type 'alpamayo_r1'" in error and "vlahub convert" in error


def test_files_that_the_base_lacks_are_named(changed, tmp_path, capsys):
    folder = changed()
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json" in refused(create(folder, tmp_path / "out", *TOKENS), capsys)
    (folder / "model.safetensors").unlink()
    assert "no model weights" in refused(create(folder, tmp_path / "out", *TOKENS), capsys)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--expert-num-attention-heads", "0"), "num_attention_heads"),
        (("--expert-hidden-size", "0"), "hidden_size"),
        (("--future-bins", "1"), "num_bins=1"),
        (("--min-pixels", "9000"), "max_pixels=8192 is below"),
    ],
)
def test_sizes_that_cannot_be_are_refused(base, tmp_path, capsys, options, words):
    assert words in refused(create(base, tmp_path / "out", *TOKENS, *options), capsys)


def test_a_tokenizer_with_more_tokens_than_the_base_has_rows_is_refused(tiny_alpamayo, tmp_path, capsys):
    tiny_alpamayo.TinyAlpamayo().write_whole_base(tmp_path / "base", rows=KNOWN - 1)
    error = refused(create(tmp_path / "base", tmp_path / "out", *TOKENS), capsys)
    assert f"{KNOWN} tokens, its embeddings {KNOWN - 1} rows" in error


# ---- in Python


def test_a_model_without_its_expert_loads_where_that_is_named_as_new(start, tmp_path):
    shutil.copytree(start, tmp_path / "vlm")
    kept = {name: value for name, value in weights(start).items() if name.startswith("vlm.")}
    save_file(kept, tmp_path / "vlm" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="missing keys: action_in_proj"):
        AlpamayoR1.from_pretrained(tmp_path / "vlm")
    model = AlpamayoR1.from_pretrained(tmp_path / "vlm", new_parts=["expert"])
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in kept.items())


SWITCHES = {
    "traj_tokenizer_cfg": {"num_bins": 100},
    "hist_traj_tokenizer_cfg": {"num_bins": 60},
    "min_pixels": 1024,
    "max_pixels": 8192,
}


def test_the_start_in_python_is_that_of_the_command(base, start, tmp_path):
    model = AlpamayoR1.from_base(str(base), **SWITCHES)
    assert model.name_or_path == model.config.name_or_path == ""  # which an adapter would name as its base
    written, there = weights(start), model.state_dict()
    assert there.keys() == written.keys() and all(torch.equal(there[name], value) for name, value in written.items())
    processor = AlpamayoR1Processor.for_config(model.config, model.tokenizer)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    fields = [without_dtypes(json.loads((folder / "config.json").read_text())) for folder in (start, tmp_path)]
    assert fields[0] | {"vlm_name_or_path": str(base)} == fields[1]
    names = "preprocessor_config.json", "processor_config.json"
    files = [[json.loads((folder / name).read_text()) for name in names] for folder in (start, tmp_path)]
    assert files[0] == files[1]
    again = AlpamayoR1.from_pretrained(tmp_path)
    assert again.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in there.items())


def test_seed_names_and_padding_of_a_start_in_python_are_what_is_said(base, tmp_path):
    assert create(base, tmp_path / "out", *TOKENS, "--seed", "5") == 0
    switches = {"vlm_name_or_path": "Qwen/Qwen3-VL-8B-Instruct", "view_names": ["front", "left"]}
    model = AlpamayoR1.from_base(str(base), seed=5, **SWITCHES, **switches)
    written = weights(tmp_path / "out")
    assert all(torch.equal(value, written[name]) for name, value in model.state_dict().items())
    assert model.config.vlm_name_or_path == "Qwen/Qwen3-VL-8B-Instruct"
    assert model.config.pad_token_id == model.tokenizer.pad_token_id is not None
    processor = AlpamayoR1Processor.for_config(model.config, model.tokenizer)
    assert processor.view_names == ["front", "left"]
    assert (processor.image_processor.min_pixels, processor.image_processor.max_pixels) == (1024, 8192)


def test_a_start_may_have_the_markers_of_trajectories_alone(base):
    model = AlpamayoR1.from_base(str(base), **SWITCHES, add_special_tokens=False)
    vocabulary = model.tokenizer.get_vocab()
    assert len(vocabulary) == model.config.vocab_size == KNOWN + 160 + 6
    assert "<|cot_start|>" not in vocabulary
    assert vocabulary["<|traj_future_start|>"] == model.config.traj_token_ids["future_start"]


def without_dtypes(config):
    """Of the parts, which loading writes into them."""
    inner = {name: without_dtypes(value) for name, value in config.items() if isinstance(value, dict)}
    return {name: value for name, value in (config | inner).items() if "dtype" not in name}


def test_another_expert_in_python_is_that_of_the_command(start, tmp_path):
    assert create(start, tmp_path / "out", "--expert-hidden-size", "32", "--seed", "3", "--dtype", "bfloat16") == 0
    model = AlpamayoR1.from_base(str(start), seed=3, dtype=torch.bfloat16, expert_cfg={"hidden_size": 32})
    written = weights(tmp_path / "out")
    assert all(torch.equal(value, written[name]) for name, value in model.state_dict().items())
    assert model.dtype == torch.bfloat16


def test_what_belongs_to_the_new_expert_may_be_otherwise(start):
    switches = {"expert_cfg": {"hidden_size": 32}, "stop_grad_from_vlm": False, "num_inference_steps": 3}
    model = AlpamayoR1.from_base(str(start), **switches, action_in_proj_cfg={"hidden_size": 24})
    found = model.config
    assert (found.num_inference_steps, found.stop_grad_from_vlm) == (3, False)
    assert found.action_in_proj_cfg == {**AlpamayoR1Config().action_in_proj_cfg, "hidden_size": 24}
    assert model.action_in_proj.encoder.trunk[0].weight.shape[0] == 24
    with pytest.raises(ConfigError, match="mask_prompt_padding is True in the base"):
        AlpamayoR1.from_base(str(start), expert_cfg={"hidden_size": 32}, mask_prompt_padding=False)


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"vocab_size": 500}, "vocab_size follows from the base"),
        ({"traj_vocab_size": 120}, "traj_vocab_size=120 does not hold the 160 values"),
        ({"tokens_per_history_traj": 47}, "tokens_per_history_traj=47 is no multiple of the 3"),
        ({"tokens_per_future_traj": 100}, "a future of 64 waypoints has 128 tokens"),
        ({"expert_cfg": {"num_hidden_layers": 3}}, "expert_config.num_hidden_layers=3 must be the VLM's, 2"),
        ({"expert_cfg": {"hidden_sise": 32}}, "expert_cfg has 'hidden_sise', which is no field of the expert"),
        ({"expert_cfg": 32}, "expert_cfg=32 must be a dict"),
        ({"expert_cfg": {"num_key_value_heads": 2}}, "expert_config.num_key_value_heads=2 must be the VLM's, 1"),
        ({"expert_with": 16}, "expert_with"),
    ],
)
def test_switches_that_do_not_fit_are_refused(base, switches, words):
    with pytest.raises(ConfigError, match=words):
        AlpamayoR1.from_base(str(base), **{**SWITCHES, **switches})


def test_a_base_without_its_files_is_refused(changed, start):
    folder = changed(model_type="qwen3_vl_moe")
    with pytest.raises(ConfigError, match="model_type 'qwen3_vl_moe'"):
        AlpamayoR1.from_base(str(folder))
    tensors = weights(folder)
    changed(model_type="qwen3_vl")
    save_file({**tensors, "model.extra": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"holds vlm\.model\.extra, for which the start has no place"):
        AlpamayoR1.from_base(str(folder))
    del tensors["model.visual.pos_embed.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"lack vlm\.model\.visual\.pos_embed\.weight"):
        AlpamayoR1.from_base(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"holds no model\.safetensors"):
        AlpamayoR1.from_base(str(folder))
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match="no tokenizer"):
        AlpamayoR1.from_base(str(folder))
    with pytest.raises(ConfigError, match="nothing would be new"):
        AlpamayoR1.from_base(str(start))


def test_a_start_writes_as_its_base(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "base")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7], "max_new_tokens": 33}))
    assert create(folder, tmp_path / "out", *TOKENS) == 0
    by_command = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (by_command["eos_token_id"], by_command["max_new_tokens"]) == ([2, 7], 33)
    found = AlpamayoR1.from_base(str(folder), **SWITCHES).generation_config
    assert found.to_diff_dict() == by_command
    assert create(tmp_path / "out", tmp_path / "next", "--expert-hidden-size", "32") == 0
    assert json.loads((tmp_path / "next" / "generation_config.json").read_text()) == by_command
