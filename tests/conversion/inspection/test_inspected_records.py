"""What inspection finds beside weights: records that are true no longer, cards, side files, the base of an adapter."""

import zipfile
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch

from vlahub.configuration.weight_parts import UNUSED, Placed, TensorEntry
from vlahub.conversion.alpamayo_r1.inspected_alpamayo import alpamayo_statistics
from vlahub.conversion.inspection import pickled_headers
from vlahub.conversion.inspection.inspection import Adapter
from vlahub.conversion.inspection.oddities import oddities_of_checkpoint, oddities_of_record, oddities_of_weights
from vlahub.conversion.inspection.places import DEPTH, LARGEST, open_place
from vlahub.conversion.inspection.provenance import card_facts
from vlahub.conversion.inspection.roles import roles_of
from vlahub.conversion.inspection.runs import base_of, step_problems
from vlahub.errors import ConversionError

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


ROLES = {
    "model-00001-of-00002.safetensors": "weights",
    "pytorch_model-00001-of-00002.bin": "weights (pickled)",
    "config.json": "config",
    "config.yaml": "config of the training",
    "LICENSE": "card and licence",
    "dataset_statistics.json": "statistics of the training data",
    "modeling_x.py": "code",
    "adapter_model.bin": "adapter (LoRA)",
    "lora_adapter/adapter_model.safetensors": "adapter (LoRA)",
    "lora_adapter/adapter_config.json": "settings of the adapter",
    "action_head--10_checkpoint.pt": "action head",
    "action_head--10_checkpoint.json": "not read",
    "action_head.pt": "not read",
    "trainer_state.json": "state of the training, not read",
    "rng_state_0.pth": "state of the training, not read",
    "checkpoint-5/optimizer.pt": "state of the training, not read",
    "scheduler.pt.json": "not read",
    "checkpoints/steps_100_pytorch_model.pt": "weights of a step of the training",
    "final_model/pytorch_model.pt": "weights of a step of the training",
    "pytorch_model.pt": "not read",
    "old/model.safetensors": "not read",
    "notes.txt": "not read",
}


def test_each_file_is_said_to_be_what_a_conversion_reads_it_as():
    place = SimpleNamespace(sizes={name: number for number, name in enumerate(ROLES)})
    assert {role.file: (role.bytes, role.role) for role in roles_of(place)} == {
        name: (number, role) for number, (name, role) in enumerate(ROLES.items())
    }


def test_pickled_tensors_are_listed_as_they_are(tmp_path):
    names = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    tensors = {name: torch.zeros(2, 3, 4, dtype=getattr(torch, name)) for name in names}
    tensors |= {"parameter": torch.nn.Parameter(torch.zeros(5)), "number": torch.zeros(())}
    torch.save({**tensors, "step": 7, "name": "x"}, tmp_path / "x.pt")
    found = pickled_headers.read_pickled(tmp_path / "x.pt", "inner/x.pt")
    assert found == [
        TensorEntry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), "inner/x.pt")
        for name, tensor in tensors.items()
    ]


def test_a_pickle_with_code_in_it_or_a_list_without_end_is_not_read(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(1), "b": SimpleNamespace()}, tmp_path / "x.pt")
    with pytest.raises(ConversionError, match=r"it needs types\.SimpleNamespace, and only tensors are read"):
        pickled_headers.read_pickled(tmp_path / "x.pt", "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(2000))
    monkeypatch.setattr(pickled_headers, "LONGEST", 1000)
    with pytest.raises(ConversionError, match="its list of tensors is 2,000 bytes long"):
        pickled_headers.read_pickled(tmp_path / "x.pt", "x.pt")
    (tmp_path / "device").symlink_to("/dev/null")
    with pytest.raises(ConversionError, match="is no regular file"):
        pickled_headers.read_pickled(tmp_path / "device", "device")


def test_a_folder_is_looked_at_as_deep_as_runs_are_and_not_in_what_tools_leave(tmp_path):
    inside = "/".join("abc"[: DEPTH + 1])
    names = ["x.json", ".git/x.json", "a/.cache/x.json", f"{inside[:-2]}/y.json", f"{inside}/too-deep.json"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with open_place(str(tmp_path)) as place:
        assert place.sizes == {name: len(name) for name in ("x.json", f"{inside[:-2]}/y.json")}
        assert not place.is_remote
    for name, message in (("", "is a variable not set"), (str(tmp_path / "x.json"), "it is a file")):
        with pytest.raises(ConversionError, match=message), open_place(name):
            pass


def test_of_a_repository_small_files_that_say_something_are_downloaded(tmp_path, monkeypatch):
    sizes = dict.fromkeys(("README.md", "config.json", "a/b.json", "config.yaml", "notes.md", "a/vocab.json"), 3)
    sizes |= {"large.json": LARGEST + 1, "limit.json": LARGEST, "model.bin": 5}
    outside = {"../x.json": 3, "/x.json": 3, "a/../../x.json": 3, ".gitattributes": 3}
    entries = [SimpleNamespace(path=path, size=size) for path, size in (sizes | outside).items()]
    asked = []

    class Api:
        def __init__(self, token):
            asked.append(token)

        def model_info(self, name, revision):
            asked.append((name, revision))
            return SimpleNamespace(sha="0123")

        def list_repo_tree(self, name, recursive, revision):
            assert (name, recursive, revision) == ("user/name", True, "0123")
            return [*entries, SimpleNamespace(path="a")]

        def hf_hub_download(self, name, file, revision):
            asked.append(file)
            assert (name, revision) == ("user/name", "0123")
            (tmp_path / "copy").write_text("{}")
            return tmp_path / "copy"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    wanted = {"README.md", "config.json", "a/b.json", "config.yaml", "limit.json"}
    with open_place("user/name", "v1", "secret") as place:
        assert asked[:2] == ["secret", ("user/name", "v1")] and set(asked[2:]) == wanted
        assert place.is_remote and place.revision == "0123" and place.sizes == sizes
        found = {path.relative_to(place.folder).as_posix(): path.read_text() for path in place.folder.rglob("*.*")}
        assert found == {name: "{}" if name in wanted else "" for name in sizes}
        with pytest.raises(ConversionError, match=r"model\.bin is pickled; .* once it is downloaded"):
            place.header_or_names("model.bin")
    assert not place.folder.exists()
