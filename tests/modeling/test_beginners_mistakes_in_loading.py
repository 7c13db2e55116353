"""What people get wrong first with `from_pretrained`: an error before weights are read that names value and remedy."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

import vlahub
from vlahub.errors import CheckpointError, ConfigError

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 14\n"
BITS = {"load_in_4bit": True}

# Keyword arguments, the error, and words of it. transformers' own errors stand as they are where they say enough.
ARGUMENTS = {
    "bf16": ({"dtype": "bf16"}, ConfigError, "dtype='bf16'", "write 'bfloat16'"),
    "fp16": ({"torch_dtype": "fp16"}, ConfigError, "torch_dtype='fp16'", "write 'float16'"),
    "a misspelt dtype": ({"dtype": "bflot16"}, ConfigError, "dtype='bflot16'", "write 'bfloat16'"),
    "a function of torch": ({"dtype": "load"}, ConfigError, "dtype='load'", "'bfloat16', 'float16', 'float32'"),
    "a dtype of a part": ({"dtype": {"text_config": "bfloat16", "": "float32"}}, ConfigError, "dtype={", "one dtype"),
    "attention of no part": ({"attn_implementation": {"txt": "eager"}}, ConfigError, "'txt'", "the parts of a"),
    "int8 as a dtype": ({"dtype": "int8"}, ConfigError, "dtype='int8'", "quantization_config"),
    "torch.int8": ({"dtype": torch.int8}, ValueError, "torch.int8", "floating"),
    "a device by device": ({"device": "cuda"}, ConfigError, "device='cuda'", "device_map='cuda'", ".to('cuda')"),
    "gpu": ({"device_map": "gpu"}, ValueError, "found gpu", "cuda:0"),
    "4 bits twice": (BITS | {"quantization_config": BITS}, ConfigError, "'load_in_4bit': True", "leave the former"),
    "8 bits by a word": ({"quantization_config": "int8"}, ConfigError, "'int8'", "BitsAndBytesConfig", "--quantize"),
    "classes": ({"num_labels": 7}, ConfigError, "num_labels=7", "action_dim"),
    "the key of a call": ({"unnorm_key": "demo"}, ConfigError, "unnorm_key='demo'", "predict_action"),
    "an old name": ({"use_flash_attention_2": True}, ConfigError, "use_flash_attention_2=True", "attn_implementation"),
    "a misspelt field": ({"num_action_chunk": 3}, ConfigError, "num_action_chunk=3", "did you mean num_action_chunks"),
    "a misspelt argument": ({"devicemap": "cpu"}, ConfigError, "devicemap='cpu'", "did you mean device_map"),
    "what nobody knows": ({"qqqqqq": 1}, ConfigError, "qqqqqq=1", "help("),
    "not strict": ({"strict": False}, ConfigError, "strict=False", "new_parts"),
    "no config": ({"config": {"action_dim": 7}}, ConfigError, "config is a dict", "Config.from_pretrained"),
    "a method": ({"check": None}, ConfigError, "check=None", "no field"),
    "a part as a text": ({"new_parts": "film"}, ConfigError, "new_parts='film'", "['film']"),
    "another width": ({"action_dim": 9}, ConfigError, "action_dim"),
    "another width, whatever": ({"action_dim": 9, "ignore_mismatched_sizes": True}, ConfigError, "action_dim"),
    "another precision of files": ({"variant": "fp16"}, OSError, "model.fp16.safetensors", "no file named"),
    "no such subfolder": ({"subfolder": "last"}, CheckpointError, "last", "not there"),
}


def refused(call, error, *words):
    with pytest.raises(error) as raised:
        call()
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize("mistake", ARGUMENTS)
def test_a_wrong_argument_is_named(mistake, family, family_checkpoint):
    given, error, *words = ARGUMENTS[mistake]
    refused(lambda: family.model.from_pretrained(family_checkpoint, **given), error, *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device_map", ["cuda", "cuda:1", torch.device("cuda"), {"": "cuda:0"}])
def test_a_device_that_is_not_there_is_named(device_map, family, family_checkpoint):
    refused(
        lambda: family.model.from_pretrained(family_checkpoint, device_map=device_map),
        ConfigError,
        "no CUDA device",
        "'cpu'",
    )


@pytest.mark.parametrize("mistake", ["bf16", "a misspelt field", "classes"])
def test_auto_classes_say_the_same(mistake, family, family_checkpoint):
    given, error, *words = ARGUMENTS[mistake]
    refused(lambda: vlahub.AutoModelForVision2Seq.from_pretrained(family_checkpoint, **given), error, *words)


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"quantization_config": BITS}, BITS, BITS | {"load_in_8bit": False}])
def test_a_quantisation_by_a_dict_or_by_name_leaves_alone_what_one_by_a_config_does(given, family, family_checkpoint):
    pytest.importorskip("bitsandbytes")
    by_dict = family.model.from_pretrained(family_checkpoint, **given)
    config = transformers.BitsAndBytesConfig(**BITS)
    by_config = family.model.from_pretrained(family_checkpoint, quantization_config=config)
    assert kinds(by_dict) == kinds(by_config)
    assert by_dict.config.quantization_config.llm_int8_skip_modules


def kinds(model):
    return {name: type(module).__name__ for name, module in model.named_modules()}


# ---- places


@pytest.fixture(scope="module")
def places(family, family_checkpoint, tmp_path_factory):
    """Names of folders with something wrong in each, beside a checkpoint `vla`."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "vla").symlink_to(family_checkpoint)
    (folder / "empty").mkdir()
    run = folder / "run"
    (run / "lora_adapter").mkdir(parents=True)
    (run / "action_head--5000_checkpoint.pt").touch()
    (run / "config.json").write_text('{"model_type": "openvla"}')
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    steps = folder / "steps"
    (steps / "checkpoint-20").mkdir(parents=True)
    for name in ("config.json", "processor_config.json"):
        (steps / "checkpoint-20" / name).write_text("{}")
    (folder / "openvla").mkdir()
    published = {"model_type": "openvla", "architectures": ["OpenVLAForActionPrediction"]}
    (folder / "openvla" / "config.json").write_text(json.dumps(published))
    return folder


PLACES = {
    "a misspelt folder": ("vlaa", "no such folder", "did you mean", "vla'"),
    "a file": ("vla/model.safetensors", "it is a file", "/vla'"),
    "an empty folder": ("empty", "empty is empty"),
    "a training run": ("run", "training run", "vlahub merge-lora --base BASE --adapter"),
    "a Trainer's output": ("steps", "checkpoint-20", "name one of them"),
}
ADDRESSES = {
    "a page": ("https://huggingface.co/you/your-vla/tree/main", "an address", "'you/your-vla'"),
    "an address": ("s3://bucket/vla", "an address", "'user/name'"),
    "home": ("~/vla", "write '/"),
}


@pytest.mark.parametrize("kind", ["model", "config", "processor"])
@pytest.mark.parametrize("mistake", PLACES)
def test_what_is_no_checkpoint_is_named(mistake, kind, family, places):
    name, *words = PLACES[mistake]
    refused(lambda: getattr(family, kind).from_pretrained(places / name), CheckpointError, *words)


@pytest.mark.parametrize("kind", ["model", "config", "processor"])
@pytest.mark.parametrize("mistake", ADDRESSES)
def test_what_is_no_place_is_named(mistake, kind, family):
    name, *words = ADDRESSES[mistake]
    refused(lambda: getattr(family, kind).from_pretrained(name), CheckpointError, *words)


@pytest.mark.parametrize("kind", ["config", "processor"])
def test_an_adapter_has_neither_config_nor_processor(kind, family, places):
    words = "holds an adapter", "the model that the adapter was trained on", "vlahub merge-lora"
    refused(lambda: getattr(family, kind).from_pretrained(places / "adapter"), CheckpointError, *words)


@pytest.mark.parametrize("kind", ["model", "config"])
def test_a_checkpoint_of_another_family_is_named(kind, family, places):
    words = "'openvla' (OpenVLAForActionPrediction)", f"reads {family.suffix!r}", "AutoModelForVision2Seq", "convert"
    refused(lambda: getattr(family, kind).from_pretrained(places / "openvla"), CheckpointError, *words)


def test_a_processor_of_another_family_is_named(family, family_checkpoint):
    other = vlahub.AlpamayoR1Processor if family.unnorm_key else vlahub.CogVLAProcessor
    words = f"holds a {family.prefix}Processor", f"{other.__name__} cannot read it", "AutoProcessor"
    refused(lambda: other.from_pretrained(family_checkpoint), CheckpointError, *words)


def test_a_class_of_the_callers_own_reads_what_it_was_derived_from(family, family_checkpoint):
    for kind in (family.config, family.processor):
        own = type("Own", (kind,), {"__init__": kind.__init__})
        assert type(own.from_pretrained(family_checkpoint)) is own


# ---- damaged weights


def with_weights(checkpoint, folder, content):
    """The checkpoint with other bytes, or none, in its file of weights."""
    for entry in checkpoint.iterdir():
        (folder / entry.name).symlink_to(entry)
    (folder / "model.safetensors").unlink()
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
    return folder


DAMAGES = {
    "cut off": (lambda whole: whole[: len(whole) // 2], CheckpointError, "model.safetensors is cut off", "again"),
    "empty": (lambda whole: b"", CheckpointError, "model.safetensors is cut off", "0 bytes", "again"),
    "a pointer": (lambda whole: LFS_POINTER, CheckpointError, "model.safetensors is a pointer of git-lfs", "lfs pull"),
    "missing": (lambda whole: None, OSError, "no file named", "model.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_weights_is_named(damage, family, family_checkpoint, tmp_path):
    change, error, *words = DAMAGES[damage]
    whole = (family_checkpoint / "model.safetensors").read_bytes()
    folder = with_weights(family_checkpoint, tmp_path, change(whole))
    refused(lambda: family.model.from_pretrained(folder), error, *words)


@pytest.mark.parametrize("value", [[[5]], "five", {"a": 5}, 0.5])
@pytest.mark.parametrize("field", ["pad_token_id", "max_new_tokens"])
def test_a_generation_config_that_cannot_be_is_named_or_does_no_harm(field, value, family, family_checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(family_checkpoint, folder)
    (folder / "generation_config.json").write_text(json.dumps({field: value}))
    try:
        family.model.from_pretrained(folder)
    except CheckpointError as error:
        assert f"generation_config.json in {folder} cannot be read" in str(error)
    else:
        assert value not in ([[5]], {"a": 5})


def test_a_missing_shard_is_named(family, family_checkpoint, tmp_path):
    with_weights(family_checkpoint, tmp_path, None)
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    words = "model-00001-of-00002.safetensors is missing", "fetch it again"
    refused(lambda: family.model.from_pretrained(tmp_path), CheckpointError, *words)


@pytest.mark.parametrize("content", ["", '{"model_type": ', "version https://git-lfs.github.com/spec/v1"])
def test_a_broken_config_is_named(content, family, tmp_path):
    (tmp_path / "config.json").write_text(content)
    refused(lambda: family.model.from_pretrained(tmp_path), OSError, "config.json' is not a valid JSON file")


# ---- bases


def without_a_shard(folder):
    sorted(folder.glob("*.safetensors"))[0].unlink()


def with_half_a_shard(folder):
    path = sorted(folder.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("change", "words"),
    [(without_a_shard, ("is missing", "fetch it again")), (with_half_a_shard, ("is cut off", "1000 bytes"))],
)
def test_a_damaged_base_is_named(change, words, family, family_checkpoint, tmp_path):
    if family.prefix != "CogVLA":
        pytest.skip("one reader for all families, and an OpenVLA in shards is at hand")
    folder = Path(shutil.copytree(family_checkpoint.parent / "base", tmp_path / "base"))
    change(folder)
    refused(lambda: family.model.from_base(folder), CheckpointError, ".safetensors", *words)


BASES = {
    "a misspelt folder": ("/nowhere/vla", "no such folder"),
    "an address": ("https://huggingface.co/you/vla", "an address", "'you/vla'"),
}


@pytest.mark.parametrize("mistake", BASES)
def test_what_is_no_base_is_named(mistake, family):
    if not hasattr(family.model, "from_base"):
        pytest.skip("it is composed of parts")
    name, *words = BASES[mistake]
    refused(lambda: family.model.from_base(name), ConfigError, name, *words)


PARTS = {
    "a misspelt folder": ({"vision": "/nowhere/siglip"}, "'/nowhere/siglip' is no checkpoint", "no such folder"),
    "an address": ({"text": "https://huggingface.co/google/gemma"}, "an address", "'google/gemma'"),
    "fp16": ({"dtype": "fp16"}, "dtype='fp16'", "write 'float16'"),
    "a misspelt field": ({"action_head": "flow", "action_dims": 3}, "action_dims=3", "did you mean action_dim"),
}


@pytest.mark.parametrize("mistake", PARTS)
def test_a_mistake_in_the_parts_of_a_composed_model_is_named(mistake):
    given, *words = PARTS[mistake]
    of = {"vision": "google/siglip", "text": "google/gemma"} | given
    refused(lambda: vlahub.MultimodalVLAForActionPrediction.from_backbones(**of), ConfigError, *words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vlm": "/nowhere/vlm"}, ("no such folder",)),
        ({"dtype": "bf16"}, ("bf16",)),
        ({"action_dims": 3}, ("action_dims=3", "did you mean action_dim")),
    ],
)
def test_a_mistake_in_a_vlm_is_named(given, words):
    of = {"vlm": "org/vlm"} | given
    refused(lambda: vlahub.MultimodalVLAForActionPrediction.from_vlm(**of), ConfigError, *words)


# ---- saving, and what is switched on


def test_a_field_that_was_changed_to_what_cannot_be_is_named_before_weights_are_read(family, family_checkpoint):
    config = transformers.AutoConfig.from_pretrained(family_checkpoint)
    field = "num_action_chunks" if config.normalization_type else "min_pixels"
    setattr(config, field, 0)
    with pytest.raises(ConfigError, match=f"{field}=.*0"):
        family.model.from_pretrained(family_checkpoint, config=config)


@pytest.mark.parametrize("kind", ["model", "config", "processor"])
def test_a_file_is_no_place_to_save_in(kind, family, family_checkpoint, tmp_path):
    (tmp_path / "vla").write_text("mine")
    saved = getattr(family, kind).from_pretrained(family_checkpoint)
    refused(lambda: saved.save_pretrained(tmp_path / "vla"), CheckpointError, "vla') writes a folder", "a file")
    assert (tmp_path / "vla").read_text() == "mine"


def test_a_name_that_no_repository_has_is_not_pushed_to(family, family_checkpoint):
    config = family.config.from_pretrained(family_checkpoint)
    refused(lambda: config.push_to_hub("you/your/vla"), ValueError, "'you/your/vla'", "namespace/repo_name")


FAST = {
    "an unknown mode": ({"mode": "cuda"}, "mode='cuda' is unknown", "'graphs' or 'compile'"),
    "no graphs": ({"max_graphs": 0}, "max_graphs=0", "above 0"),
    "a text": ({"max_batch_size": "8"}, "max_batch_size='8'", "whole number"),
    "no bucket": ({"length_bucket": 0}, "length_bucket=0", "above 0"),
    "neither true nor false": ({"fuse_projections": "yes"}, "fuse_projections='yes'", "true or false"),
}


@pytest.mark.parametrize("mistake", FAST)
def test_a_mistake_in_fast_prediction_is_named(mistake, family, family_checkpoint):
    given, *words = FAST[mistake]
    if not family.apart:
        pytest.skip("one method of all families")
    model = family.model(family.config.from_pretrained(family_checkpoint))
    refused(lambda: model.enable_fast_prediction(**given), ConfigError, *words)
