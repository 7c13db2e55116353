"""A report that somebody has edited: every reader of it says so, and goes on where it can do without."""

import json
import shutil

import pytest

from vlahub.conversion.cli import main
from vlahub.conversion.files.report_form import FORMS, load_report
from vlahub.conversion.untrained_tensors import untrained_of
from vlahub.errors import ConversionError

ODD = (5, "text", None, [5], {"a": 5}, {"a": {"bytes": "12"}}, {"a": ["bytes", "sha256"]})
NAME = "conversion_report.json"


def edited(checkpoint, folder, entry, value):
    shutil.copytree(checkpoint, folder)
    (folder / NAME).write_text(json.dumps(load_report(folder) | {entry: value}))
    return folder


@pytest.mark.parametrize("entry", FORMS)
@pytest.mark.parametrize("value", ODD, ids=str)
def test_an_entry_of_another_kind_is_named_by_every_reader(merged, entry, value, tmp_path, capsys):
    folder = edited(merged, tmp_path / "copy", entry, value)
    if FORMS[entry](value):
        pytest.skip("it may be so")
    with pytest.raises(ConversionError, match=f"{NAME}: '{entry}' is not what conversions write"):
        load_report(folder)
    assert untrained_of(folder) is None
    assert main(["verify", str(folder), "--quiet"]) == 1
    assert f"'{entry}' is not what" in capsys.readouterr().err
    assert main(["inspect", str(folder), "--json"]) == 0
    oddities = json.loads(capsys.readouterr().out)["oddities"]
    assert any(f"'{entry}' is not what" in line for line in oddities), oddities


def test_a_report_as_it_was_written_is_read(merged):
    assert load_report(merged).keys() >= FORMS.keys() - {"untrained"}
