"""No JSON that is written here holds NaN or Infinity, which are no JSON; what all configs share is looked at."""

import ast
import copy
import json
from pathlib import Path

import pytest

from vlahub.conversion.cli import main
from vlahub.conversion.files.json_file import MAX_DEPTH, json_text, load_json, read_json, refuse_nan
from vlahub.errors import ConfigError, ConversionError

REPOSITORY = Path(__file__).parents[3]
FOLDERS = ("configuration", "modeling", "processing", "training", "conversion", "examples", "benchmarks", "vlahub")
NOT_A_FILE = {"unnorm_key"}  # text in a model card, between quotes


def calls_without_allow_nan(path):
    """Lines that call `json.dump` or `json.dumps` without `allow_nan=False`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    quoted = {id(value) for node in ast.walk(tree) if isinstance(node, ast.Dict) for value in quoted_values(node)}
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dump", "json.dumps")
        given = called and {word.arg: ast.unparse(word.value) for word in node.keywords}
        if called and given.get("allow_nan") != "False" and id(node) not in quoted:
            yield f"{path.relative_to(REPOSITORY)}:{node.lineno}"


def quoted_values(node):
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value in NOT_A_FILE:
            yield from ast.walk(value)


SHARED = {"model_type": (5, ["llama"], {}), "architectures": (5, "Llama", [5], {}, [[]]), "auto_map": (5, "x", ["x"])}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in SHARED.items() for value in values])
def test_a_field_of_all_configs_is_what_it_has_to_be(field, value, tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", field: value}))
    with pytest.raises(ConversionError, match=f"{path}: {field} is .* belongs there"):
        read_json([tmp_path], "config.json", required=True)
    place, output = str(tmp_path), str(tmp_path / "out")
    merge = ["merge-lora", "--base", place, "--adapter", place, "--output", output]
    for words in (["inspect", place], ["convert", place, output], merge):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert "error: " in said and "--debug" not in said, said


def test_a_config_without_them_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": None, "depth": float("inf")}))
    assert read_json([tmp_path], "config.json", required=True)["depth"] == float("inf")


def test_of_several_folders_the_first_that_has_the_file_is_read(tmp_path):
    first, second, empty = (tmp_path / name for name in "abc")
    for folder in (first, second, empty):
        folder.mkdir()
    for folder in (first, second):
        (folder / "x.json").write_text(json.dumps({"from": folder.name, "model_type": 5}))
    assert read_json([empty, second, first], "x.json", required=True) == {"from": "b", "model_type": 5}
    assert read_json([empty], "x.json", required=False) is None
    with pytest.raises(ConversionError, match=rf"^x\.json is missing in {empty} and in {tmp_path}:"):
        read_json([empty, tmp_path], "x.json", required=True)
    (first / "x.json").write_text("[1]")
    with pytest.raises(ConversionError, match=r"x\.json holds a list; a mapping is needed"):
        read_json([first, second], "x.json", required=False)


def test_pairs_are_what_a_caller_makes_of_them_and_a_folder_is_no_file(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1, "a": {"b": 2}}')
    assert load_json(tmp_path / "x.json", pairs=list) == [("a", 1), ("a", [("b", 2)])]
    for name in ("", "/dev/null"):
        with pytest.raises(ConversionError, match="is no regular file"):
            load_json(tmp_path / name)


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a": ', "}"), ('[{"a": 1, "b": ', "}]")])
def test_lists_and_mappings_are_read_as_deep_as_may_be(left, right, tmp_path):
    path, each = tmp_path / "x.json", left.count("[") + left.count("{")
    path.write_text(left * (MAX_DEPTH // each) + "1" + right * (MAX_DEPTH // each))
    load_json(path)
    for levels in (MAX_DEPTH // each + 1, 100_000):
        path.write_text(left * levels + "1" + right * levels)
        with pytest.raises(ConversionError, match=rf"x\.json is nested too deeply to be read; {MAX_DEPTH} levels"):
            load_json(path)


def test_nan_is_refused_in_a_file_that_travels_and_infinity_is_not(tmp_path):
    (tmp_path / "x.json").write_text('{"a": [1, Infinity, -Infinity]}')
    refuse_nan(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": [1, NaN]}')
    with pytest.raises(ConversionError, match=r"x\.json holds NaN; put a number there"):
        refuse_nan(tmp_path / "x.json")


def test_every_writer_of_json_refuses_what_is_not_finite():
    files = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    assert [line for path in files for line in calls_without_allow_nan(path)] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_named_with_its_place(value):
    content = {"actions": [[0.0, 1.0], [2.0, value]], "name": "x"}
    with pytest.raises(ConversionError, match=rf"^out\.json would hold {value} at \['actions'\]\[1\]\[1\]"):
        json_text(content, "out.json")
    with pytest.raises(ConversionError, match=rf"would hold {value} at \[0\]\['a'\]\[1\]"):
        json_text([{"a": (1.0, value)}], "out.json")
    content["actions"][1][1] = 3.0
    assert json.loads(json_text(content, "out.json", indent=1)) == content


def test_statistics_spoilt_after_loading_are_not_saved(family, family_checkpoint, tmp_path):
    if family.unnorm_key is None:
        pytest.skip("no statistics at all")
    for owner in (
        family.config.from_pretrained(family_checkpoint),
        family.processor.from_pretrained(family_checkpoint),
    ):
        owner.norm_stats = copy.deepcopy(owner.norm_stats)
        owner.norm_stats[family.unnorm_key]["action"]["q01"][2] = float("nan")
        with pytest.raises(ConfigError, match=rf"\['{family.unnorm_key}'\]\['action'\]\['q01'\]\[2\] is nan"):
            owner.save_pretrained(tmp_path / "saved")
        assert not list((tmp_path / "saved").glob("*.json"))
