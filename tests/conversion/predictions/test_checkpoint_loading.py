"""What the command line predicts with: which dtype, and what is refused before transformers reads it."""

import json
import os
import shutil

import pytest
import torch
from transformers import AutoModelForImageTextToText

from vlahub.conversion.predictions.checkpoint_loading import load_model, load_processor
from vlahub.errors import ConversionError

DTYPES = {None: torch.float32, "auto": torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.fixture
def copy(family_checkpoint, tmp_path):
    return shutil.copytree(family_checkpoint, tmp_path / "copy")


@pytest.fixture(scope="module")
def half(family_checkpoint, tmp_path_factory):
    """The checkpoint in bfloat16."""
    folder = tmp_path_factory.mktemp("half") / "checkpoint"
    shutil.copytree(family_checkpoint, folder)
    AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("given", "wanted"), DTYPES.items(), ids=str)
def test_a_cpu_computes_in_float32_unless_another_dtype_is_said(given, wanted, half):
    model = load_model(half, "cpu", given, quiet=True)
    weights = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    assert wanted in weights and weights <= {wanted, torch.float32}  # some parts never round
    assert not model.training


def write_into(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def many_layers(folder):
    """A model of a million layers takes hours to be built, only to lack their weights."""

    def change(config):
        part = next(value for name, value in sorted(config.items()) if name in ("text_config", "vlm_config"))
        part.get("text_config", part)["num_hidden_layers"] = 10**6

    write_into(folder / "config.json", change)
    return "num_hidden_layers=1000000"


def large_ids(folder):
    """A tokenizer makes room for every id below its largest."""
    tokens = {"content": "far", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    change = {"added_tokens": [{"id": 2**40, "special": True, **tokens}]}
    write_into(folder / "tokenizer.json", lambda content: content.update(change))
    return str(2**40)


def a_pipe(folder):
    """Reading one may never end."""
    (folder / "generation_config.json").unlink(missing_ok=True)
    os.mkfifo(folder / "generation_config.json")
    return "no regular file"


def no_processor(folder):
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink()
    return "holds no processor"


def no_weights(folder):
    (folder / "model.safetensors").unlink()
    return "holds no weights"


def an_adapter(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/else"}))
    return "adapter_config.json"


@pytest.mark.parametrize("change", [many_layers, large_ids, a_pipe, no_processor, no_weights, an_adapter])
def test_what_transformers_would_stumble_over_is_refused_first(change, copy):
    words = change(copy)
    with pytest.raises(ConversionError) as raised:
        load_processor(copy)
    assert words in str(raised.value) and str(copy) in str(raised.value)
