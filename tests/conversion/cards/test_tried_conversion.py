"""`--try` of merge-lora and convert: what was written predicts, and its card shows it."""

import json

import pytest
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub.configuration.checkpoint_card import CARD_NAME, is_unedited
from vlahub.conversion.cards import executed_card
from vlahub.conversion.cli import main
from vlahub.errors import ConversionError

PRINTED = "(1, 8, 7)\ntensor([[1., 2.]])\n"


@pytest.fixture
def examples(monkeypatch):
    """The examples that were run: they print `PRINTED`, and no picture is drawn."""
    found = []
    monkeypatch.setattr(executed_card, "run_example", lambda code, *_: found.append(code) or PRINTED)
    monkeypatch.setattr(executed_card, "draw_example", lambda *_: None)
    return found


def test_the_card_is_completed_once_the_checkpoint_is_there(cogvla, examples, tmp_path):
    output = tmp_path / "out"
    assert cogvla.merge(output, "--try") == 0
    text = (output / CARD_NAME).read_text()
    assert PRINTED in text and is_unedited(text) and len(examples) == 1
    assert "--try" not in text + json.loads((output / "conversion_report.json").read_text())["command"]
    assert main(["verify", str(output), "--quiet"]) == 0


def test_nothing_is_run_unasked_or_by_a_plan(cogvla, examples, tmp_path):
    assert cogvla.merge(tmp_path / "out", "--try", "--dry-run") == 0
    assert cogvla.merge(tmp_path / "out") == 0
    assert examples == []


def test_a_checkpoint_whose_example_fails_is_there_all_the_same(cogvla, monkeypatch, tmp_path, assert_refused, capsys):
    def fails(*_):
        raise ConversionError("the card's example failed: no luck.")

    monkeypatch.setattr(executed_card, "run_example", fails)
    output = tmp_path / "out"
    assert_refused(cogvla.merge(output, "--try"), capsys, rf"was written.*no luck\. To try again: vlahub card {output}")
    assert main(["verify", str(output), "--quiet"]) == 0


def test_a_model_whose_card_has_no_example_is_refused_before_anything_is_written(tmp_path, assert_refused, capsys):
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_key_value_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=1, vocab_size=16))
    model.save_pretrained(tmp_path / "base")
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "run")
    folders = ["--base", str(tmp_path / "base"), "--adapter", str(tmp_path / "run"), "--output", str(tmp_path / "out")]
    capsys.readouterr()
    assert_refused(main(["merge-lora", *folders, "--try"]), capsys, "only the cards of vlahub's families")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--quantize", "int8")], ids=["whole", "int8"])
def test_what_was_converted_is_run_for_real(options, cogvla, merged, tmp_path):
    pytest.importorskip("torchao" if options else "matplotlib")
    output = tmp_path / "out"
    if options:
        assert main(["convert", str(merged), str(output), *options, "--try", "--quiet"]) == 0
    else:
        assert cogvla.merge(output, "--try") == 0
    text = (output / CARD_NAME).read_text()
    assert "\n```text\n(1, 8, 7)\ntensor([[" in text
    assert (output / "prediction.png").is_file() == ("](prediction.png)" in text)
    assert main(["verify", str(output), "--quiet"]) == 0
