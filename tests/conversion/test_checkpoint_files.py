"""What lies beside the weights says how the model generates: with the padding of the whole model."""

import json
from types import SimpleNamespace

import pytest
from transformers import GenerationConfig, LlamaConfig

from vlahub.conversion import checkpoint_files


@pytest.mark.parametrize("pad", [7, None])
@pytest.mark.parametrize("own", [3, None])
@pytest.mark.parametrize("there", [False, True])
def test_generation_pads_as_the_model_does_whatever_its_language_model_says(pad, own, there, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "write_card", lambda *_: None)
    config, text = LlamaConfig(pad_token_id=pad), LlamaConfig(pad_token_id=own, eos_token_id=5, bos_token_id=4)
    family = SimpleNamespace(model=LlamaConfig, card=None)
    if there:
        GenerationConfig(pad_token_id=own, eos_token_id=5, bos_token_id=4).save_pretrained(tmp_path)
    generation = checkpoint_files.generation_of([tmp_path], text, pad)
    checkpoint_files.write_files(family, config, generation, lambda folder: None, {}, tmp_path, {})
    said = json.loads((tmp_path / "generation_config.json").read_text())
    assert (said.get("pad_token_id"), said["eos_token_id"], said["bos_token_id"]) == (pad, 5, 4)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["LlamaConfig"]


def test_a_checkpoint_writes_as_the_first_of_its_parts_that_says_how(tmp_path):
    folders = [tmp_path / name for name in ("none", "run", "base")]
    for folder in folders:
        folder.mkdir()
    published = {"eos_token_id": [2, 7], "max_new_tokens": 33, "temperature": 0.2, "do_sample": False}
    (folders[1] / "generation_config.json").write_text(json.dumps(published))
    (folders[2] / "generation_config.json").write_text(json.dumps({"eos_token_id": 9}))
    found = checkpoint_files.generation_of(folders, LlamaConfig(eos_token_id=5), 3)
    assert (found.eos_token_id, found.max_new_tokens, found.pad_token_id) == ([2, 7], 33, 3)
    found.save_pretrained(tmp_path)  # without the temperature that nothing reads


def test_a_link_that_leads_out_is_not_followed(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "elsewhere.json").write_text(json.dumps({"eos_token_id": 9}))
    (tmp_path / "base" / "generation_config.json").symlink_to(tmp_path / "elsewhere.json")
    assert checkpoint_files.generation_of([tmp_path / "base"], LlamaConfig(eos_token_id=5), 3).eos_token_id == 5


def test_a_model_that_writes_no_text_has_no_settings_of_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "write_card", lambda *_: None)
    family = SimpleNamespace(model=LlamaConfig, card=None)
    checkpoint_files.write_files(family, LlamaConfig(), None, lambda folder: None, {}, tmp_path, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]
