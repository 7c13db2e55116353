"""Code that transformers would run though nothing in the model's own files names it: `custom_generate/generate.py`,
and that of the base of an adapter whose config lies beside the model."""

import json
import shutil

import pytest
from transformers import AutoModelForImageTextToText

from vlahub.conversion.cli import main
from vlahub.conversion.predictions.checkpoint_loading import load_processor
from vlahub.errors import ConversionError

GENERATE = (
    "from pathlib import Path\nPath({marker!r}).touch()\n\n\ndef generate(model, **arguments):\n    return None\n"
)


@pytest.fixture
def copy(family_checkpoint, tmp_path):
    """A checkpoint, which may be changed, of a name that no module of another test has."""
    return shutil.copytree(family_checkpoint, tmp_path / f"copy_{tmp_path.name.replace('-', '_')}")


@pytest.fixture
def marker(copy, tmp_path):
    """The file that code beside the model leaves where it runs."""
    (copy / "custom_generate").mkdir()
    (copy / "custom_generate" / "generate.py").write_text(GENERATE.format(marker=str(tmp_path / "ran")))
    return tmp_path / "ran"


def printed_by(capsys, *command):
    capsys.readouterr()
    assert main([*map(str, command)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("trust", [{}, {"trust_remote_code": False}])
def test_code_for_generation_does_not_run_unasked(copy, marker, trust):
    AutoModelForImageTextToText.from_pretrained(copy, **trust)
    assert not marker.exists()


def test_code_for_generation_runs_where_it_is_trusted(family, copy, marker):
    """Or `verify` would refuse it for nothing."""
    if family.prefix == "AlpamayoR1":
        pytest.skip("it does not generate as transformers means it, and nothing is looked for")
    AutoModelForImageTextToText.from_pretrained(copy, trust_remote_code=True)
    assert marker.exists()


@pytest.mark.parametrize("option", [[], ["--code"], ["--accept"]], ids=["alone", "code", "accept"])
def test_code_for_generation_is_found_by_verify(copy, marker, option, capsys):
    with_report = copy / "conversion_report.json"
    if option != ["--accept"]:
        with_report.unlink(missing_ok=True)  # who adds code can leave the report out
    elif not with_report.exists():
        pytest.skip("nothing is recorded of a checkpoint that no conversion wrote")
    assert "custom_generate/generate.py is code that transformers runs" in printed_by(capsys, "verify", copy, *option)
    assert not marker.exists()


def test_a_card_does_not_run_code_for_generation(copy, marker, capsys):
    said = printed_by(capsys, "card", copy, "--quiet")
    assert "custom_generate/generate.py" in said and "--allow-code" in said
    assert not marker.exists()


def test_an_adapter_beside_a_model_leads_nowhere(copy, tmp_path, capsys):
    (copy / "conversion_report.json").unlink(missing_ok=True)
    stranger = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "other"), "target_modules": ["q_proj"]}
    (copy / "adapter_config.json").write_text(json.dumps(stranger))
    for command in (["verify", copy, "--code"], ["card", copy]):
        assert "holds adapter_config.json beside a model" in printed_by(capsys, *command), command
    with pytest.raises(ConversionError, match=r"holds adapter_config\.json beside a model"):
        load_processor(copy)  # the first that predict, serve and evaluate do
