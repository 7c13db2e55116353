"""What is looked at of a checkpoint before it is trained: as before it predicts, by the command and by the script."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from vlahub.conversion import model_to_train
from vlahub.conversion.cli import main
from vlahub.conversion.model_to_train import check_model
from vlahub.errors import ConversionError

EXAMPLES = Path(__file__).parents[2] / "examples"


def many_layers(folder):
    """In every nested config that counts them."""
    text = (folder / "config.json").read_text()
    lines = [
        f'"num_hidden_layers": 2000{"," * line.endswith(",")}' if "num_hidden_layers" in line else line
        for line in text.splitlines()
    ]
    (folder / "config.json").write_text("\n".join(lines))


def a_large_token(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 20_000_000, "content": "<far>"})
    path.write_text(json.dumps(content))


def a_named_pipe(folder):
    path = folder / "generation_config.json"
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def a_deep_setting(folder):
    (folder / "generation_config.json").write_text('{"a":' + "[" * 200 + "]" * 200 + "}")


def no_weights(folder):
    for path in folder.glob("*.safetensors*"):
        path.unlink()


HOSTILE = {  # what is done to a checkpoint, and what is said
    "many layers": (many_layers, "num_hidden_layers=2000, but there are"),
    "a large token": (a_large_token, "has the id 20000000"),
    "a named pipe": (a_named_pipe, "no regular file"),
    "a deep setting": (a_deep_setting, "nested too deeply"),
    "no weights": (no_weights, "no (model )?weights"),
}


@pytest.fixture
def spoilt(family_checkpoint, tmp_path):
    """`spoilt("many layers")`: a copy of a family's checkpoint, and what is said of it."""

    def make(name):
        spoil, words = HOSTILE[name]
        folder = Path(shutil.copytree(family_checkpoint, tmp_path / "model"))
        spoil(folder)
        return folder, words

    return make


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_be_read_or_built_without_end_is_refused(spoilt, name):
    folder, words = spoilt(name)
    with pytest.raises(ConversionError, match=words):
        check_model(str(folder))


def test_a_sound_checkpoint_is_trained(family_checkpoint):
    check_model(str(family_checkpoint))


@pytest.mark.parametrize("by", ["the command", "the script"])
def test_the_command_and_the_script_look_before_anything_is_loaded(by, spoilt, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    folder, words = spoilt("many layers")
    if by == "the command":
        assert main(["train", str(folder), "--dataset", "demo", "--output", str(tmp_path / "run")]) == 1
        assert "num_hidden_layers=2000, but there are" in capsys.readouterr().err
        return
    monkeypatch.syspath_prepend(EXAMPLES)
    import finetune

    with pytest.raises(ConversionError, match=words):
        finetune.main(["--model", str(folder), "--use_cpu", "--output_dir", str(tmp_path / "run")])
    assert sys.modules.pop("finetune")


def test_of_a_repository_the_settings_are_looked_at(spoilt, monkeypatch):
    folder, words = spoilt("a large token")
    no_weights(folder)
    asked = []
    monkeypatch.setattr(model_to_train, "source_folder", lambda *given, **named: asked.append((given, named)) or folder)
    monkeypatch.setattr(model_to_train, "check_ready", lambda settings: None)
    with pytest.raises(ConversionError, match=words):
        check_model("you/your-vla")
    assert asked == [(("you/your-vla",), {"weights": False})]
