"""What lies beside the weights says how the model generates: with the padding of the whole model."""

import json
from types import SimpleNamespace

import pytest
from transformers import LlamaConfig

from vlahub.conversion import checkpoint_files


@pytest.mark.parametrize("pad", [7, None])
@pytest.mark.parametrize("own", [3, None])
def test_generation_pads_as_the_model_does_whatever_its_language_model_says(pad, own, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "write_card", lambda *_: None)
    config, text = LlamaConfig(pad_token_id=pad), LlamaConfig(pad_token_id=own, eos_token_id=5, bos_token_id=4)
    family = SimpleNamespace(model=LlamaConfig, card=None)
    checkpoint_files.write_files(family, config, text, lambda folder: None, {}, tmp_path, {})
    said = json.loads((tmp_path / "generation_config.json").read_text())
    assert (said.get("pad_token_id"), said["eos_token_id"], said["bos_token_id"]) == (pad, 5, 4)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["LlamaConfig"]


def test_a_model_that_writes_no_text_has_no_settings_of_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "write_card", lambda *_: None)
    family = SimpleNamespace(model=LlamaConfig, card=None)
    checkpoint_files.write_files(family, LlamaConfig(), None, lambda folder: None, {}, tmp_path, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]
