"""Files that no training wrote: each kind of fault is one line that names file and field, and takes seconds at most."""

import json
import os
import shutil
import time

import pytest
import torch

from vlahub import AlpamayoR1Config, CogVLAConfig, MapAnythingLlava3DConfig
from vlahub.conversion.cli import main
from vlahub.conversion.files.json_file import MAX_DEPTH, load_json
from vlahub.conversion.files.tokenizer_files import MAX_ID, check_tokenizer_files
from vlahub.conversion.tensors import adapter_patterns
from vlahub.conversion.tensors.tensor_source import TensorFile
from vlahub.errors import ConfigError, ConversionError


def refused(code, capsys, *words):
    lines = capsys.readouterr().err.splitlines()  # progress bars may come before
    error = lines[-1]
    assert code == 1 and error.startswith("error: ") and not any("Traceback" in line for line in lines), lines
    assert "--debug" not in error, error  # an error of ours, from where the fault is
    assert all(word in error for word in words), error


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def nested(depth):
    return "[" * depth + "]" * depth


FILES_OF_A_RUN = (
    "run/config.json",
    "run/dataset_statistics.json",
    "run/preprocessor_config.json",
    "run/lora_adapter/adapter_config.json",
    "base/model.safetensors.index.json",
    "run/tokenizer.json",
    "run/tokenizer_config.json",
)


@pytest.fixture(scope="module")
def damaged(cogvla, tmp_path_factory):
    """A run and its base, whose files each test damages and brings back."""
    return cogvla.copied_with_base(tmp_path_factory.mktemp("damaged"))


@pytest.mark.parametrize(
    "content", [nested(MAX_DEPTH + 1), "[" * 100_000, "", "\ud800"], ids=["deep", "deeper", "empty", "surrogate"]
)
@pytest.mark.parametrize("name", FILES_OF_A_RUN)
def test_json_that_is_none_or_nested_too_deeply_is_named(name, content, damaged, tmp_path, capsys):
    path = damaged.base.parent / name
    before = path.read_bytes()
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    code = damaged.merge(tmp_path / "out", "--dry-run")
    path.write_bytes(before)
    refused(code, capsys, path.name)


def test_what_is_nested_within_the_limit_is_read(tmp_path):
    (tmp_path / "a.json").write_text(nested(MAX_DEPTH))
    load_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(nested(MAX_DEPTH + 1))
    with pytest.raises(ConversionError, match="nested too deeply"):
        load_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "name",
    [
        *FILES_OF_A_RUN,
        "run/lora_adapter/adapter_model.safetensors",
        "run/action_head--10_checkpoint.pt",
        "base/model-00001-of-00002.safetensors",
    ],
)
def test_a_named_pipe_in_the_place_of_a_file_is_not_waited_for(name, damaged, tmp_path, capsys):
    path = damaged.base.parent / name
    path.rename(tmp_path / "kept")
    os.mkfifo(path)
    code = damaged.merge(tmp_path / "out", "--dry-run")
    path.unlink()
    (tmp_path / "kept").rename(path)
    refused(code, capsys, path.name, "no regular file")


# adapter_config.json

ADAPTER_FIELDS = {
    "r": ["4", 0, -1, 2.0, True, None, 2**40, [4]],
    "lora_alpha": ["16", None, True, [1], float("inf"), float("nan"), 10**400],
    "lora_dropout": ["0", 2, -0.1, None],
    "rank_pattern": [[8], "q", {"q": "8"}, {"q": 0}, {"q": 2**40}, {"(": 8}, {"a{99999999999999}": 8}],
    "alpha_pattern": [[8], {"q_proj": "8"}, {"q_proj": None}, {"*": 8}],
    "target_modules": [5, {"a": 1}, [1], "("],
    "modules_to_save": ["lm_head", 5, [1]],
    "layers_to_transform": ["1", [None], -1],
    "trainable_token_indices": ["1", {"embed_tokens": 5}, [-1], [2**40]],
    "use_rslora": ["false", 1],
    "use_dora": ["no"],
    "fan_in_fan_out": ["true"],
    "bias": [True, "some"],
    "init_lora_weights": [5, {"a": 1}],
}


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, found in ADAPTER_FIELDS.items() for value in found]
)
def test_fields_of_an_adapter_that_cannot_be_are_named(field, value, adapter_run, tmp_path, capsys):
    path = adapter_run.run / "lora_adapter" / "adapter_config.json"
    before = path.read_text()
    edit(path, lambda config: config.update({field: value}))
    code = adapter_run.merge(tmp_path / "out", "--dry-run")
    path.write_text(before)
    no_pattern = value == "(" or (isinstance(value, dict) and set(value) & {"(", "*", "a{99999999999999}"})
    refused(code, capsys, "adapter_config.json", "regular expression" if no_pattern else field)


@pytest.fixture(scope="module")
def adapter_run(cogvla, tmp_path_factory):
    """A run whose adapter config each test changes and brings back."""
    return cogvla.copied(tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize("field", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("family", ["cogvla", "generic"])
def test_a_pattern_that_would_match_for_ever_is_refused_in_seconds(
    field, family, adapter_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(adapter_patterns, "SECONDS", 1)
    path = adapter_run.run / "lora_adapter" / "adapter_config.json"
    before = path.read_text()
    edit(path, lambda config: config.update({field: {"(.+)+!x": 8}}))
    start = time.monotonic()
    adapter = adapter_run.run if family == "cogvla" else path.parent
    options = ["--base", str(adapter_run.base), "--adapter", str(adapter), "--output", str(tmp_path / "out")]
    more = adapter_run.options if family == "cogvla" else ["--family", "generic"]
    if family == "generic":  # a plain adapter that lies by itself
        plain = tmp_path / "plain"
        plain.mkdir()
        for file in path.parent.iterdir():
            (plain / file.name).write_bytes(file.read_bytes())
        options[3] = str(plain)
    code = main(["merge-lora", *options, "--dry-run", *more])
    path.write_text(before)
    refused(code, capsys, "adapter_config.json", "(.+)+!x")
    assert time.monotonic() - start < 20


def test_patterns_with_repetitions_that_do_end_are_used(adapter_run, tmp_path):
    """`(?:\\w+\\.)+q_proj` repeats inside a repetition, and is fast all the same."""
    path = adapter_run.run / "lora_adapter" / "adapter_config.json"
    before = path.read_text()
    edit(path, lambda config: config.update(rank_pattern={r"(?:\w+\.)+q_proj": 4}, r=4))
    code = adapter_run.merge(tmp_path / "out", "--dry-run")
    path.write_text(before)
    assert code == 0


# Configs

CONFIG_FIELDS = [
    (("text_config", "num_hidden_layers"), 10**6),
    (("text_config", "num_hidden_layers"), 10**12),
    (("text_config", "num_hidden_layers"), "eight"),
    (("text_config", "num_attention_heads"), [4]),
    (("text_config", "intermediate_size"), {"a": 1}),
    (("text_config",), "llama"),
    (("timm_kwargs",), [{"depth": 10**6, "num_heads": 2, "embed_dim": 32}] * 2),
    (("timm_kwargs",), 5),
    (("image_sizes",), 56),
    (("timm_model_ids",), {"a": 1}),
    (("n_action_bins",), 10**9),
    (("quantization_config",), "4bit"),
]


@pytest.mark.parametrize(("place", "value"), CONFIG_FIELDS)
def test_a_config_with_values_that_cannot_be_is_refused_in_seconds(place, value, adapter_run, tmp_path, capsys):
    path = adapter_run.run / "config.json"
    before = path.read_text()

    def change(config):
        for name in place[:-1]:
            config = config[name]
        config[place[-1]] = value

    edit(path, change)
    start = time.monotonic()
    code = adapter_run.merge(tmp_path / "out", "--dry-run")
    path.write_text(before)
    refused(code, capsys)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("option", ["--num-diffusion-steps", "--num-images", "--num-action-chunks"])
def test_an_absurd_number_on_the_command_line_is_refused(option, diffusion, tmp_path, capsys):
    refused(diffusion.merge(tmp_path / "out", option, "1000000000"), capsys, "1000000000")
    assert not (tmp_path / "out").exists()


def test_configs_bound_what_is_computed_in_a_loop():
    with pytest.raises(ConfigError, match="num_diffusion_steps=1000000000"):
        CogVLAConfig(num_diffusion_steps=10**9)
    with pytest.raises(ConfigError, match="num_inference_steps=1000000"):
        MapAnythingLlava3DConfig(num_inference_steps=10**6)
    with pytest.raises(ConfigError, match="num_inference_steps=1000000"):
        AlpamayoR1Config(diffusion_cfg={"num_inference_steps": 10**6})


def test_a_checkpoint_with_a_million_layers_is_refused_before_it_is_built(merged, tmp_path, capsys):
    folder = shutil.copytree(merged, tmp_path / "ckpt")
    config = json.loads((merged / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 10**6
    (folder / "config.json").write_text(json.dumps(config))
    refused(main(["verify", str(folder), "--quiet"]), capsys, "num_hidden_layers=1000000")
    options = ["--images", "x.png", "--instruction", "go"]
    (tmp_path / "x.png").write_bytes(b"")
    code = main(["predict", str(folder), *options])
    assert code == 1 and "Traceback" not in capsys.readouterr().err


# Checkpoints that predict reads


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("picture")
    for number in range(2):
        Image.new("RGB", (32, 32)).save(folder / f"{number}.png")
    return folder


def cut(path):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def put(path, text):
    path.unlink()
    path.write_text(text)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGES = {
    "truncated weights": ("model.safetensors", cut),
    "no weights": ("model.safetensors", lambda path: path.unlink()),
    "a pipe for weights": ("model.safetensors", pipe),
    "a deep config": ("config.json", lambda path: put(path, nested(5000))),
    "a deep processor": ("processor_config.json", lambda path: put(path, nested(5000))),
    "a pipe for a tokenizer": ("tokenizer.json", pipe),
    "a broken tokenizer": ("tokenizer.json", lambda path: put(path, "{}")),
    "a truncated tokenizer": ("tokenizer.json", cut),
    "statistics of another kind": (
        "processor_config.json",
        lambda path: put(path, json.dumps({**json.loads(path.read_text()), "norm_stats": {"a": 5}})),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_does_not_predict(damage, merged, picture, tmp_path, capsys):
    name, change = DAMAGES[damage]
    folder = tmp_path / "ckpt"
    folder.mkdir()
    for path in merged.iterdir():
        (folder / path.name).hardlink_to(path) if path.name != name else (folder / name).write_bytes(path.read_bytes())
    change(folder / name)
    refused(main(["predict", str(folder), "--images", str(picture), "--instruction", "go"]), capsys, str(folder))


@pytest.mark.parametrize("content", [b"PK\x03\x04 no zip", b"", b"\x93NUMPY", b"\x00" * 100])
def test_a_history_that_is_no_archive_is_refused(content, tmp_path, capsys):
    from vlahub.conversion.alpamayo_r1.driving_prediction import read_scene

    (tmp_path / "scene.npz").write_bytes(content)
    with pytest.raises(ConversionError, match=r"scene\.npz cannot be read"):
        read_scene(tmp_path / "scene.npz")
    (tmp_path / "scene.json").write_text(nested(5000))
    with pytest.raises(ConversionError, match=r"scene\.json cannot be read"):
        read_scene(tmp_path / "scene.json")


# Pickled tensors

PICKLES = {
    "number as a key": ({1: torch.zeros(2)}, "the key 1"),
    "none as a key": ({None: torch.zeros(2)}, "the key None"),
    "pair as a key": ({("a", 1): torch.zeros(2)}, "the key"),
    "sparse": ({"a": torch.eye(3).to_sparse()}, "a is a sparse tensor"),
    "compressed": ({"a": torch.eye(3).to_sparse_csr()}, "a is a sparse tensor"),
    "nested": ({"a": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, "a is a nested tensor"),
    "quantised": ({"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, "a is a quantised tensor"),
    "meta": ({"a": torch.empty(3, device="meta")}, "a is a tensor without numbers"),
    "complex": ({"a": torch.ones(3, dtype=torch.complex64)}, "a is a tensor of torch.complex64"),
    "a petabyte of ones": ({"a": torch.ones(1).expand(10**7, 10**7)}, "repeats its numbers"),
    "mapping of mappings": ({"a": {"b": torch.zeros(2)}}, "not a flat mapping"),
    "list": ([torch.zeros(2)], "not a flat mapping"),
    "tensor": (torch.zeros(2), "not a flat mapping"),
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.filterwarnings("ignore")
def test_pickled_tensors_of_odd_kinds_are_refused_by_name(kind, tmp_path):
    content, words = PICKLES[kind]
    torch.save(content, tmp_path / "head.pt")
    with pytest.raises(ConversionError, match=rf"head\.pt.*{words}"):
        _ = TensorFile(tmp_path / "head.pt", "head").infos


def test_views_and_parameters_are_plain_tensors(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    content = {
        "t": base.T,
        "rows": base[1:],
        "own": torch.nn.Parameter(base.clone()),
        "scalar": torch.tensor(1.0),
    }
    torch.save(content, tmp_path / "head.pt")
    file = TensorFile(tmp_path / "head.pt", "head")
    assert all(torch.equal(file.load(name), value) for name, value in content.items())


# Tokenizers

TOO_LARGE = (2**31, 2**32, MAX_ID + 1, -1, 1.5, "7", None, True)


def vocabulary(number):
    return "tokenizer.json", {"model": {"vocab": {"a": 0, "b": number}}}


def added(number):
    return "tokenizer.json", {"model": {}, "added_tokens": [{"id": number, "content": "<x>"}]}


def decoder(number):
    return "tokenizer_config.json", {"added_tokens_decoder": {str(number): {"content": "<x>"}}}


def added_file(number):
    return "added_tokens.json", {"<x>": number}


@pytest.mark.parametrize("number", TOO_LARGE)
@pytest.mark.parametrize("place", [vocabulary, added, decoder, added_file])
def test_token_ids_that_would_end_the_process_are_refused(place, number, tmp_path):
    if place is decoder and number == "7":
        pytest.skip("keys of JSON are text")
    name, content = place(number)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ConversionError, match=rf"{name}: the token .* has the id"):
        check_tokenizer_files(tmp_path)


@pytest.mark.parametrize("number", [0, 300_000, MAX_ID])
@pytest.mark.parametrize("place", [vocabulary, added, decoder, added_file])
def test_token_ids_of_models_are_accepted(place, number, tmp_path):
    name, content = place(number)
    (tmp_path / name).write_text(json.dumps(content))
    check_tokenizer_files(tmp_path)


def large_id(path):
    edit(path, lambda content: content["model"]["vocab"].update({"zzz": 2**31}))


def test_a_large_id_is_refused_by_every_family_that_reads_a_tokenizer(cogvla, parts, tiny_alpamayo, tmp_path, capsys):
    run = cogvla.copied_with_base(tmp_path / "cogvla")
    large_id(run.run / "tokenizer.json")
    refused(run.merge(tmp_path / "out", "--dry-run"), capsys, "2147483648")

    tiny_alpamayo.TinyAlpamayo().write(tmp_path / "alpamayo")
    large_id(tmp_path / "alpamayo" / "vlm" / "tokenizer.json")
    sources = [str(tmp_path / "alpamayo" / "published"), str(tmp_path / "out")]
    code = main(["convert", *sources, "--vlm", str(tmp_path / "alpamayo" / "vlm"), "--dry-run"])
    refused(code, capsys, "2147483648")

    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_bytes((parts.folder / "language" / "tokenizer.json").read_bytes())
    large_id(tmp_path / "tokenizer" / "tokenizer.json")
    options = ["--tokenizer", str(tmp_path / "tokenizer"), "--action-horizon", "4", "--dry-run"]
    refused(parts.assemble(tmp_path / "out", *options), capsys, "2147483648")
