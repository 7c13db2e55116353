"""What inspection finds beside weights: records that are true no longer, cards, side files, the base of an adapter."""

from types import SimpleNamespace

import pytest

from vlahub.configuration.weight_parts import UNUSED, Placed, TensorEntry
from vlahub.conversion.alpamayo_r1.inspected_alpamayo import alpamayo_statistics
from vlahub.conversion.inspection.inspection import Adapter
from vlahub.conversion.inspection.oddities import oddities_of_checkpoint, oddities_of_record, oddities_of_weights
from vlahub.conversion.inspection.provenance import card_facts
from vlahub.conversion.inspection.runs import base_of, step_problems

REPORT = {
    "tensors": {"a": {"operation": "copied"}, "b": {"operation": "initialised"}},
    "files": {"model.safetensors": {"bytes": 8}, "config.json": {"bytes": 3}},
}


def of_record(report=REPORT, names=("a", "b"), **sizes):
    place = SimpleNamespace(sizes={"model.safetensors": 8, "config.json": 3} | sizes)
    return list(oddities_of_record(place, report, [TensorEntry(name, "float32", (2,)) for name in names]))


def test_a_record_is_held_against_the_tensors_and_files_that_are_there():
    untrained = "never trained, and as random as at the start: b."
    assert of_record() == [untrained]
    assert of_record(names=("a",))[1:] == ["conversion_report.json lists tensors that are not there: b."]
    assert of_record(names=("a", "b", "c"))[1:] == ["there are tensors that conversion_report.json does not list: c."]
    assert of_record(**{"config.json": 4})[1:] == [
        "files have another size than conversion_report.json recorded: config.json."
    ]
    more = REPORT | {"files": {"gone.json": {"bytes": 3}}}
    assert of_record(more)[1:] == ["conversion_report.json lists files that are missing: gone.json."]
    assert of_record({}) == [] and of_record(names=()) == [untrained]  # of weights that could not be read


def placed(*rows):
    return [Placed(TensorEntry(name, dtype, (2,)), name, part) for name, dtype, part in rows]


def test_dtypes_are_those_of_floating_weights_that_the_model_uses():
    one = placed(("a", "bfloat16", "head"), ("ids", "int64", "head"), ("old", "float32", UNUSED))
    assert list(oddities_of_weights(one, {"dtype": "bfloat16"})) == list(oddities_of_weights(one, {})) == []
    said = ["config.json names the dtype float32, and no tensor has it."]
    assert list(oddities_of_weights(one, {"torch_dtype": "float32"})) == said
    mixed = placed(("a", "bfloat16", "head"), ("b", "float32", "head"), ("c", "float32", "head"))
    assert list(oddities_of_weights(mixed, {})) == ["weights are of mixed dtype: 2 float32, 1 bfloat16."]


@pytest.mark.parametrize(("views", "is_odd"), [(1, True), (2, False), (3, True), (None, False)])
def test_as_many_views_have_names_as_the_model_sees(views, is_odd, tmp_path):
    place, family = SimpleNamespace(folder=tmp_path, sizes={}), SimpleNamespace(processor_files=())
    facts = SimpleNamespace(predicts="text", num_images_in_input=views, view_names=["top", "wrist"])
    found = list(oddities_of_checkpoint(place, family, {"auto_map": {}}, facts, {"license": "mit"}))
    assert found == ([f"2 views have names (top, wrist), and the model sees {views}."] if is_odd else [])


def test_side_files_are_one_of_a_kind_and_of_one_step():
    assert step_problems(["action_head--10_checkpoint.pt", "proprio--10_checkpoint.pt"]) == []
    [twice] = step_problems(["action_head--10_checkpoint.pt", "action_head--20_checkpoint.pt"])
    assert twice.startswith("there are several files of action_head")
    [steps] = step_problems(["action_head--10_checkpoint.pt", "proprio--20_checkpoint.pt"])
    assert steps.startswith("the side files are of different steps")


def test_the_base_is_the_one_that_the_adapter_names_before_that_of_the_runs_config():
    adapter = Adapter(4, 8, 1, 10, "user/base")
    assert base_of(adapter, {"_name_or_path": "elsewhere"}) == "user/base"
    for unnamed in (None, Adapter(4, 8, 1, 10, None)):
        assert base_of(unnamed, {"_name_or_path": "elsewhere"}) == "elsewhere" and base_of(unnamed, {}) is None


def test_licence_base_and_datasets_are_those_of_the_cards_front_matter(tmp_path):
    card = tmp_path / "README.md"
    facts = "license: other\nlicense_name: mine\nlicense_link: LICENSE\nbase_model: a/b\ndatasets:\n- c/d\n"
    card.write_text(f"---\n{facts}tags:\n- x\n---\n\n# Title\n\n---\nlicense: mit\n---\n", encoding="utf-8")
    known = {"license": "other", "license_name": "mine", "license_link": "LICENSE"}
    assert card_facts(tmp_path) == known | {"base_model": "a/b", "datasets": ["c/d"]}
    for text in ("# Title\n\n---\nlicense: mit\n---\n", "---\nlicense: [\n---\n", "---\n- a\n---\n", ""):
        card.write_text(text, encoding="utf-8")
        assert card_facts(tmp_path) == {}


def test_the_action_space_of_a_car_has_its_ranges_means_and_deviations():
    numbers = {"accel": (0.1, 2.0, [-9.8, 9.7]), "curvature": (0.01, 0.03, [-0.2, 0.3])}
    space = {}
    for name, (mean, std, bounds) in numbers.items():
        space |= {f"{name}_mean": mean, f"{name}_std": std, f"{name}_bounds": bounds}
    [table] = alpamayo_statistics({}, {"action_space_cfg": space})
    assert [(one.name, one.unit, one.low, one.high, one.mean, one.std) for one in table.dimensions] == [
        ("acceleration", "m/s^2", -9.8, 9.7, 0.1, 2.0),
        ("curvature", "1/m", -0.2, 0.3, 0.01, 0.03),
    ]
    assert alpamayo_statistics({}, {"action_space_cfg": {"accel_mean": 0.1}}) == [] == alpamayo_statistics({}, {})
