"""Whose code a merged model runs: this release's where the base is ours, somebody's only where that was allowed."""

import json

import pytest

from vlahub.conversion.generic import base_code
from vlahub.conversion.generic.base_code import code_facts, code_for_merge
from vlahub.conversion.travelling.travelling_code import TravellingCode
from vlahub.errors import ConversionError


@pytest.fixture
def base(tmp_path):
    """A base that runs code of its own."""
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "own.Model"}}))
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "Any"}))
    (tmp_path / "own.py").write_text("class Model: pass")
    return tmp_path


def test_code_of_others_is_refused_with_what_names_it_or_travels_where_that_was_allowed(base):
    with pytest.raises(ConversionError) as refused:
        code_for_merge(base, [], False)
    assert "(config.json names own.Model; there is own.py)" in str(refused.value)
    assert code_for_merge(base, [], True) == TravellingCode(foreign=(base / "own.py",))
    (base / "own.py").unlink()
    with pytest.raises(ConversionError, match="own"):
        code_for_merge(base, [], True)
    (base / "config.json").write_text("{}")
    assert code_for_merge(base, [], False) == TravellingCode()


@pytest.mark.parametrize(
    ("text", "allowed", "replaced", "foreign"),
    [
        ("ours", False, (), False),
        ("ours", True, (), False),
        ("class Model: pass", False, ("own.py",), False),
        ("class Model: pass", True, (), True),
    ],
)
def test_a_base_of_ours_gets_this_releases_code_unless_another_one_is_allowed(
    base, text, allowed, replaced, foreign, monkeypatch
):
    asked = []
    monkeypatch.setattr(base_code, "own_config", lambda folder: "config")
    monkeypatch.setattr(base_code, "own_code", lambda *given: asked.append(given) or TravellingCode({"own.py": "ours"}))
    (base / "own.py").write_text(text)
    found = code_for_merge(base, [base / "adapter"], allowed)
    assert asked == [("config", [base, base / "adapter"])]
    wanted = (
        TravellingCode(foreign=(base / "own.py",)) if foreign else TravellingCode({"own.py": "ours"}, replaced=replaced)
    )
    assert found == wanted


def test_code_is_told_of_where_there_is_something_to_tell(base):
    assert code_facts(TravellingCode({"own.py": "ours"})) == []
    (foreign,) = code_facts(TravellingCode(foreign=(base / "own.py", base / "more.py")))
    assert (foreign.name, foreign.value) == ("foreign code", "own.py, more.py")
    (replaced,) = code_facts(TravellingCode({"own.py": "ours"}, replaced=("own.py",)))
    assert (replaced.name, replaced.value) == ("code", "this release's") and "own.py" in replaced.how
