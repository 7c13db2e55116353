"""`make audit`: a finding fails unless a reason stands in the list, and silence is never taken for a good answer."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "releasing" / "audit.py"
FINDING = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-7"], "fix_versions": ["2.1"]}
FOUND = {"dependencies": [{"name": "numpy", "version": "2.0", "vulns": [FINDING]}]}
CLEAN = {"dependencies": [{"name": "numpy", "version": "2.0", "vulns": []}]}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}


@pytest.fixture
def audit(tmp_path, monkeypatch):
    """The script, with a list of its own and an answer in the place of pip-audit's."""
    spec = importlib.util.spec_from_file_location("releasing_audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ACCEPTED", tmp_path / "accepted.json")

    def run(answer, accepted=None, errors=""):
        text = answer if isinstance(answer, str) else json.dumps(answer)
        done = subprocess.CompletedProcess([], 0, text, errors)
        monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: done)
        (tmp_path / "accepted.json").write_text(json.dumps(accepted or {}))
        return module.main(["constraints.txt"])

    return run


def test_a_finding_fails_and_says_what_mends_it(audit, capsys):
    assert audit(FOUND) == 1
    assert "numpy 2.0: PYSEC-2026-1, mended by 2.1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-7"])
def test_an_accepted_finding_passes_by_any_of_its_names(audit, capsys, name):
    assert audit(FOUND, {name: "we never parse such files"}) == 0
    assert "accepted: we never parse such files" in capsys.readouterr().out


def test_an_entry_that_is_no_longer_found_is_named(audit, capsys):
    assert audit(CLEAN, {"PYSEC-2020-1": "old"}) == 0
    assert "no longer found, remove PYSEC-2020-1" in capsys.readouterr().out


def test_an_entry_without_a_reason_is_refused(audit, capsys):
    assert audit(FOUND, {"PYSEC-2026-1": " "}) == 2
    assert "say why" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        ({"dependencies": [SKIPPED]}, "No known vulnerabilities found"),  # of a mirror that knows packages alone
        ("", "requests.exceptions.ConnectionError: Max retries exceeded"),
        ("", "ERROR:pip_audit._cli:Tip: your network may be blocking this service."),
    ],
    ids=["mirror", "offline", "blocked"],
)
def test_where_nobody_answers_one_line_says_so(audit, capsys, answer, errors):
    assert audit(answer, {"PYSEC-2020-1": "old"}, errors) == 0
    assert capsys.readouterr().out == (
        "audit: the service of pip-audit could not be asked about constraints.txt; nothing is known of them\n"
    )


def test_a_pin_that_the_service_does_not_know_is_named_beside_the_others(audit, capsys):
    assert audit({"dependencies": [*FOUND["dependencies"], SKIPPED]}) == 1
    assert "constraints.txt: not known to the service: torch\nconstraints.txt: 1 pins" in capsys.readouterr().out


def test_a_file_that_pip_audit_cannot_read_is_no_silence(audit, capsys):
    assert audit("", errors="WARNING:x\nERROR:pip_audit._cli:constraints.txt: not a requirement: ???") == 2
    assert "not a requirement" in capsys.readouterr().err
