"""Fields of a config as they become known: what is read stays, what is assumed gives way, and origins are told."""

import json

import pytest

from vlahub.conversion.dataset_statistics import read_statistics, statistics_size
from vlahub.conversion.settings import Settings
from vlahub.errors import ConversionError

STATISTICS = {"a": {"action": {"q01": [0.0, 0.0], "q99": [1.0, 2.0], "mask": [True, False]}}}


def test_what_is_known_stays_and_what_contradicts_it_is_refused():
    settings = Settings()
    settings.assume("action_dim", None, "nothing")
    settings.know("action_dim", 7, "read", "config.json")
    settings.know("action_dim", 7, "inferred", "the head")
    settings.assume("action_dim", 8, "default")
    settings.settle("action_dim", None, "--action-dim", otherwise=9)
    settings.suppose("action_dim", 10, "published code has it", "--action-dim")
    assert settings.fields == {"action_dim": 7}
    assert [(fact.value, fact.how) for fact in settings.facts] == [(7, "read (config.json)")]
    for value in (8, 0):
        with pytest.raises(ConversionError, match=rf"^action_dim is {value} by --action-dim, but 7 by what was read"):
            settings.settle("action_dim", value, "--action-dim")


def test_an_option_comes_before_a_default_and_what_nothing_says_is_asked_for():
    settings = Settings()
    settings.settle("action_dim", 0, "--action-dim", otherwise=9)
    settings.settle("state_dim", None, "--state-dim", otherwise=4, how="the base's")
    assert settings.fields == {"action_dim": 0, "state_dim": 4}
    assert [fact.how for fact in settings.facts] == ["given (--action-dim)", "the base's"]
    settings.require("state_dim", "--state-dim")
    with pytest.raises(ConversionError, match=r"num_images can be neither read nor inferred .*: pass --num-images"):
        settings.require("num_images", "--num-images")


def test_statistics_are_those_of_the_file_that_is_given_then_of_the_first_folder_that_has_some(tmp_path):
    empty, first, second = (tmp_path / name for name in ("empty", "first", "second"))
    for folder, key in ((empty, None), (first, "first"), (second, "second")):
        folder.mkdir()
        if key:
            (folder / "dataset_statistics.json").write_text(json.dumps({key: STATISTICS["a"]}))
    found, how = read_statistics(None, [empty, first, second])
    assert list(found) == ["first"] and how == "read (dataset_statistics.json)"
    assert read_statistics(None, [empty]) == ({}, "")
    given = tmp_path / "config.json"
    given.write_text(json.dumps({"norm_stats": STATISTICS, "model_type": "cogvla"}))
    assert read_statistics(given, [first]) == (STATISTICS, "given (--statistics config.json)")


def test_a_size_is_known_where_all_datasets_have_it():
    longer = {"b": {"action": {"q01": [0.0] * 3}}}
    assert statistics_size(STATISTICS, "action") == 2
    assert statistics_size(STATISTICS | longer, "action") is None
    assert statistics_size(STATISTICS, "proprio") is None


@pytest.mark.parametrize("value", [0, False, ""])
def test_what_is_nothing_is_known_as_well_as_anything_else(value):
    """A seed of 0, or a crop that is switched off."""
    settings = Settings()
    settings.know("read", value, "read", "config.json")
    settings.assume("assumed", value, "default")
    settings.suppose("read", 9, "published code has it", None)
    settings.suppose("assumed", 9, "published code has it", None)
    settings.require("read", "--read")
    assert settings.fields == {"read": value, "assumed": value} and len(settings.facts) == 2
    with pytest.raises(ConversionError, match=f"read is 9 by --read, but {value!r} by what was read"):
        settings.settle("read", 9, "--read")


def test_statistics_of_training_data_are_a_field_and_a_fact_where_there_are_any(tmp_path):
    keys = dict.fromkeys(("second", "first"), STATISTICS["a"])
    (tmp_path / "dataset_statistics.json").write_text(json.dumps(keys))
    (tmp_path / "given.json").write_text(json.dumps(STATISTICS))
    (tmp_path / "empty").mkdir()
    for file, folder, wanted, facts in (
        (None, tmp_path, keys, [["first", "second"]]),
        (tmp_path / "given.json", tmp_path, STATISTICS, [["a"]]),
        (None, tmp_path / "empty", {}, []),
    ):
        settings = Settings(fields={"norm_stats": {"former": {}}})
        assert settings.add_statistics(file, [folder]) == settings.fields["norm_stats"] == wanted
        assert [fact.value for fact in settings.facts] == facts
