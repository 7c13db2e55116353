"""`vlahub verify` names every file and tensor that is not as it was written, whatever the family."""

import hashlib
import json
import shutil

import pytest
import torch
from base_statistics import statistics_of
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub.conversion.cli import main
from vlahub.conversion.files.file_hashes import changes_since, files_below, read_report
from vlahub.conversion.model_check import names_in
from vlahub.conversion.publishing.uploaded_files import code_not_ours
from vlahub.conversion.verify_folder import accept_changes, verify_folder
from vlahub.errors import ConversionError

REPORT = "conversion_report.json"


@pytest.fixture(scope="session")
def converted(family, family_checkpoint, request, tmp_path_factory):
    """A checkpoint of each family that vlahub wrote, with its report; not to be changed."""
    if family.prefix == "MapAnythingLlava3D":
        return request.getfixturevalue("assembled")
    if (family_checkpoint / REPORT).exists():
        return family_checkpoint
    return merged_into(family_checkpoint, family.model, tmp_path_factory.mktemp("merged"))


def merged_into(base, kind, folder, *options):
    """The base with a random adapter in it."""
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(kind.from_pretrained(base), lora).save_pretrained(folder / "adapter")
    options = [*options, *statistics_of(base), "--quiet"]
    command = ["merge-lora", "--base", str(base), "--adapter", str(folder / "adapter"), *options]
    assert main([*command, "--output", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def copy(converted, tmp_path):
    shutil.copytree(converted, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """A Llama into which a LoRA was merged; not to be changed."""
    folder = tmp_path_factory.mktemp("llama")
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes)).save_pretrained(folder / "base")
    return merged_into(folder / "base", LlamaForCausalLM, folder)


def verify(folder, capsys, *options):
    """Exit code and what was printed."""
    capsys.readouterr()
    code = main(["verify", str(folder), *options])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, printed.out + printed.err


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "changed": flip,
    "cut": truncate,
    "missing": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(path.with_name(f"old-{path.name}")),
    "linked": lambda path: path.symlink_to(path.rename(path.parent.parent / f"{path.parent.name}-{path.name}")),
}


# ---- files


def test_every_damage_to_every_file_is_named(copy, tmp_path):
    names = [name for name in files_below(copy) if name != REPORT]
    assert {"config.json", "README.md", "model.safetensors"} <= set(names) and len(names) > 20
    report = read_report(copy)
    assert not changes_since(copy, report)
    for shift in range(len(DAMAGES)):  # in the end every file has had every damage
        folder = shutil.copytree(copy, tmp_path / str(shift))
        damages = {name: list(DAMAGES)[(i + shift) % len(DAMAGES)] for i, name in enumerate(names)}
        for name, damage in damages.items():
            DAMAGES[damage](folder / name)
        changes = changes_since(folder, report)
        gone = [name for name in names if damages[name] in ("missing", "renamed")]
        assert changes.missing == gone and changes.changed == [name for name in names if name not in gone]
        assert changes.additional == sorted(f"old-{name}" for name in names if damages[name] == "renamed")


def test_files_that_were_added_are_named_and_those_of_tools_are_not(copy):
    for name in ("evil.py", "sub/folder/x.bin", ".hidden"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("x")
    (copy / "link").symlink_to("/")
    for name in (".gitattributes", ".cache/huggingface/x"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("x")
    assert changes_since(copy, read_report(copy)).additional == [".hidden", "evil.py", "link", "sub/folder/x.bin"]


@pytest.mark.parametrize("change", [flip, truncate, lambda path: path.write_text(path.read_text() + " ")])
def test_a_change_to_the_report_itself_is_noticed(llama, tmp_path, change):
    folder = shutil.copytree(llama, tmp_path / "copy")
    change(folder / REPORT)
    with pytest.raises(ConversionError, match=REPORT):
        read_report(folder)


def test_the_command_says_what_it_checked_or_everything_that_is_wrong(copy, capsys):
    code, said = verify(copy, capsys)
    assert code == 0 and "files are as they were recorded" in said and "names and shapes are those of" in said
    flip(copy / "README.md")
    truncate(copy / "model.safetensors")
    (copy / "config.json").write_text('{"model_type": 7}')
    (copy / "evil.sh").write_text("x")
    code, said = verify(copy, capsys)
    assert code == 1
    assert "changed: README.md, config.json, model.safetensors; additional: evil.sh." in said and "--accept" in said


def test_a_report_of_an_older_release_still_checks_what_it_can(copy, capsys):
    report = json.loads((copy / REPORT).read_text())
    older = {
        name: value for name, value in report.items() if name not in ("files", "sha256_of_the_rest", "foreign_code")
    }
    for tensor in older["tensors"].values():
        del tensor["crc32"]
    (copy / REPORT).write_text(json.dumps(older))
    code, said = verify(copy, capsys)
    assert code == 0 and "nothing is recorded" in said and "tensors are readable and finite" in said
    (copy / REPORT).unlink()
    code, said = verify(copy, capsys)
    assert code == 0 and "there is no report" in said


# ---- tensors


def without_record(folder):
    """As a checkpoint that `save_pretrained` wrote."""
    (folder / REPORT).unlink()
    return folder


def rewritten(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def drop(weights, name):
    del weights[name]


TENSOR_DAMAGES = {
    "gone": drop,
    "another name": lambda weights, name: weights.update({f"{name}_old": weights.pop(name)}),
    "another shape": lambda weights, name: weights.update({name: weights[name][:-1].clone()}),
    "integers": lambda weights, name: weights.update({name: torch.zeros_like(weights[name], dtype=torch.int32)}),
    "not finite": lambda weights, name: weights[name].view(-1)[:1].fill_(float("nan")),
}


@pytest.mark.parametrize("damage", TENSOR_DAMAGES)
def test_tensors_are_those_of_the_family_without_a_record_too(copy, capsys, damage):
    folder = without_record(copy)
    name = sorted(name for name, value in load_file(folder / "model.safetensors").items() if value.dim() == 2)[-1]
    rewritten(folder, lambda weights: TENSOR_DAMAGES[damage](weights, name))
    code, said = verify(folder, capsys)
    assert code == 1 and name in said, said


@pytest.mark.parametrize("damage", TENSOR_DAMAGES)
def test_tensors_of_any_other_model_are_those_of_its_own_class(llama, tmp_path, capsys, damage):
    folder = shutil.copytree(llama, tmp_path / "copy")
    rewritten(without_record(folder), lambda weights: TENSOR_DAMAGES[damage](weights, "lm_head.weight"))
    code, said = verify(folder, capsys)
    assert code == 1 and "lm_head.weight" in said


def test_a_model_that_transformers_does_not_know_is_said_to_be_unchecked(llama, tmp_path, capsys):
    folder = without_record(shutil.copytree(llama, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    for change in (
        {"model_type": "nobody_knows"},
        {"architectures": ["NobodyKnows"]},
        {"architectures": ["GPT2Model"]},
    ):
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        code, said = verify(folder, capsys)
        assert code == 0 and "names and shapes were not compared with a model" in said


@pytest.mark.parametrize("file", ["config.json", "processor_config.json"])
def test_statistics_that_are_not_whole_are_named(llama, tmp_path, capsys, file):
    folder = without_record(shutil.copytree(llama, tmp_path / "copy"))
    content = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps({**content, "norm_stats": {"bridge": {"action": {"q01": [0.0]}}}}))
    code, said = verify(folder, capsys)
    assert code == 1 and "bridge" in said


def test_a_changed_number_is_named_by_tensor(copy, capsys):
    name = sorted(name for name, value in load_file(copy / "model.safetensors").items() if value.dim() == 2)[0]
    rewritten(copy, lambda weights: weights[name].view(-1)[:1].add_(1))
    code, said = verify(copy, capsys)
    assert code == 1 and "changed: model.safetensors" in said and f"not as they were written: {name}." in said


def test_another_dtype_is_named(copy, capsys):
    rewritten(copy, lambda weights: weights.update({name: value.half() for name, value in [*weights.items()][:1]}))
    code, said = verify(copy, capsys)
    assert code == 1 and "wrong shape or dtype" in said and "float16" in said


# ---- code


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("../evil.Model", "no file.Class in this folder"),
        ("sub.evil.Model", "no file.Class in this folder"),
        ("/tmp/evil.Model", "no file.Class in this folder"),
        ("somebody/else--modeling.Model", "another repository"),
        ("modeling_nowhere.Model", "modeling_nowhere.py is missing"),
        ("linked.Model", "linked.py is missing"),
        ("present.Other", "present.py has no Other"),
        ("present.Model", "absent.py is missing, which present need"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "processor_config.json"])
def test_an_auto_map_that_leads_elsewhere_is_an_error(llama, tmp_path, capsys, file, entry, said):
    folder = shutil.copytree(llama, tmp_path / "copy")
    (tmp_path / "linked.py").write_text("class Model: pass")
    (folder / "linked.py").symlink_to(tmp_path / "linked.py")
    (folder / "present.py").write_text("from .absent import x\nclass Model: pass\n")
    content = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps({**content, "nested": [{"auto_map": {"AutoModel": entry}}]}))
    code, printed = verify(without_record(folder), capsys)
    assert code == 1 and entry in printed and said in printed


def test_code_is_compared_with_this_release(copy, capsys):
    code, said = verify(without_record(copy), capsys, "--code")
    assert code == 0 and "code files are those of this release" in said, said
    changed, missing = sorted(path.name for path in copy.glob("*.py"))[:2]
    (copy / changed).write_text("#" + (copy / changed).read_text()[1:])  # of the same length
    (copy / missing).unlink()
    (copy / "additional.py").write_text("")
    code, said = verify(copy, capsys, "--code")
    assert code == 1 and f"changed: {changed}; missing: {missing}; additional: additional.py" in said


def test_what_was_checked_is_a_table_and_a_document(copy, capsys):
    code, said = verify(copy, capsys, "--quiet", "--json", "--code")
    checked = {each["what"]: each for each in json.loads(said)["checked"]}
    assert code == 0 and list(checked) == ["files", "auto_map", "statistics", "tensors", "names and shapes", "code"]
    report = json.loads((copy / "conversion_report.json").read_text())
    assert checked["files"]["count"] == len(report["files"])
    assert checked["files"]["bytes"] == sum((copy / name).stat().st_size for name in report["files"])
    assert checked["tensors"]["count"] == checked["names and shapes"]["count"] == len(report["tensors"])
    assert checked["tensors"]["against"] == f"{len(report['tensors'])} checksums in conversion_report.json"
    capsys.readouterr()
    assert main(["verify", str(copy)]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 2 + 5 and f"{checked['files']['bytes']:,}" in said and "\x1b" not in said


def test_code_of_a_model_that_is_not_ours_cannot_be_compared(llama, capsys):
    code, said = verify(llama, capsys, "--code")
    assert code == 1 and "not of one of vlahub's families" in said


# ---- changes on purpose


def test_changes_on_purpose_are_accepted_once_the_checkpoint_is_whole(family, copy, capsys):
    model = family.model.from_pretrained(copy)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.save_pretrained(copy)  # a fine-tune saved over it
    (copy / "README.md").write_text("# By hand\n")
    code, said = verify(copy, capsys)
    assert code == 1 and "README.md" in said and "model.safetensors" in said and "--accept" in said

    assert main(["verify", str(copy), "--accept", "--quiet"]) == 0
    assert verify(copy, capsys)[0] == 0
    report = read_report(copy)
    assert {"README.md", "model.safetensors"} <= set(report["accepted"])
    changed = [tensor for tensor in report["tensors"].values() if tensor["operation"] == "changed after the conversion"]
    assert changed and all(tensor["sources"] == [] for tensor in changed)

    rewritten(copy, lambda weights: weights.popitem())
    before = (copy / REPORT).read_bytes()
    assert main(["verify", str(copy), "--accept", "--quiet"]) == 1
    assert (copy / REPORT).read_bytes() == before


def test_code_that_was_added_stays_foreign_when_it_is_accepted(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "copy")
    (folder / "extra.py").write_text("")
    assert main(["verify", str(folder), "--accept", "--quiet"]) == 0
    assert read_report(folder)["foreign_code"] == ["extra.py"]
    assert "extra.py" in read_report(folder)["files"] and code_not_ours(folder) == ["extra.py"]


def test_a_second_acceptance_adds_to_the_first(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "copy")
    for change in (
        lambda: (folder / "one.txt").write_text(""),
        lambda: flip(folder / "README.md"),
        (folder / "one.txt").unlink,
    ):
        change()
        accept_changes(folder, quiet=True)
    assert read_report(folder)["accepted"] == ["README.md", "one.txt"]


def test_a_report_of_an_older_release_keeps_what_it_says_of_tensors_when_it_is_accepted(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "copy")
    report = json.loads((folder / REPORT).read_text())
    before = {name: (entry["operation"], entry["sources"]) for name, entry in report["tensors"].items()}
    tensors = {
        name: {key: value for key, value in entry.items() if key != "crc32"}
        for name, entry in report["tensors"].items()
    }
    older = {name: value for name, value in report.items() if name not in ("files", "sha256_of_the_rest")}
    (folder / REPORT).write_text(json.dumps({**older, "tensors": tensors}))
    assert "which were not recorded before" in accept_changes(folder, quiet=True)
    after = read_report(folder)["tensors"]
    assert {name: (entry["operation"], entry["sources"]) for name, entry in after.items()} == before
    assert all("crc32" in entry for entry in after.values())


def test_a_config_of_more_layers_than_tensors_is_refused_before_they_are_built(llama, tmp_path, capsys):
    folder = without_record(shutil.copytree(llama, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 10**6}))
    code, said = verify(folder, capsys)
    assert code == 1 and "num_hidden_layers=1000000" in said


def test_a_checkpoint_in_shards_is_recorded_shard_by_shard(llama, tmp_path, capsys):
    sources = ["--base", str(llama.parent / "base"), "--adapter", str(llama.parent / "adapter"), "--quiet"]
    assert main(["merge-lora", *sources, "--output", str(tmp_path / "out"), "--max-shard-size", "20KB"]) == 0
    files = read_report(tmp_path / "out")["files"]
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(shards) > 1 and {*shards, "model.safetensors.index.json"} <= files.keys()
    for name, entry in files.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert verify(tmp_path / "out", capsys)[0] == 0
    (tmp_path / "out" / shards[0]).unlink()
    code, said = verify(tmp_path / "out", capsys)
    assert code == 1 and f"missing: {shards[0]}" in said


def test_a_name_that_is_neither_folder_nor_repository_is_one_line(tmp_path, capsys):
    code, said = verify(tmp_path / "nowhere", capsys)
    assert code == 1 and "nowhere" in said
    code, said = verify(tmp_path, capsys, "--accept")
    assert code == 1 and "holds no weights of a model" in said


def test_a_checkpoint_of_another_dtype_is_recomputed_in_that_dtype(llama, tmp_path, capsys):
    base, adapter = ["--base", str(llama.parent / "base")], str(llama.parent / "adapter")
    out = tmp_path / "out"
    options = ["--output", str(out), "--dtype", "bfloat16", "--quiet"]
    assert main(["merge-lora", *base, "--adapter", adapter, *options]) == 0
    assert {value.dtype for value in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    assert verify(out, capsys, *base, "--against", adapter, "--quiet")[0] == 0


def test_a_recomputed_checkpoint_is_also_as_it_was_written(llama, tmp_path, capsys):
    """Weights that equal their recomputation say nothing about the files beside them."""
    shutil.copytree(llama, tmp_path / "copy")
    sources = ["--base", str(llama.parent / "base"), "--against", str(llama.parent / "adapter"), "--quiet"]
    assert verify(tmp_path / "copy", capsys, *sources)[0] == 0
    (tmp_path / "copy" / "evil.py").write_text("")
    code, printed = verify(tmp_path / "copy", capsys, *sources)
    assert code == 1 and "additional: evil.py" in printed


@pytest.mark.parametrize(
    "options", [["--base", "X"], ["--accept", "--code"], ["--accept", "--against", "X"], ["--accept", "--base", "X"]]
)
def test_options_that_would_change_nothing_are_refused(llama, capsys, options):
    code, printed = verify(llama, capsys, *options)
    assert code == 1 and options[0] in printed


def test_what_fails_in_an_unforeseen_way_hides_no_changed_file(llama, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("odd\nand more")

    monkeypatch.setattr("vlahub.conversion.verify_folder.check_against_class", fail)
    folder = shutil.copytree(llama, tmp_path / "copy")
    with pytest.raises(RuntimeError):  # nothing was changed: it is a fault of ours
        verify_folder(folder, quiet=True)
    (folder / "README.md").write_text("# By hand\n")
    with pytest.raises(ConversionError, match=r"changed: README\.md\..* RuntimeError: odd$"):
        verify_folder(folder, quiet=True)


def test_names_of_tensors_come_with_and_without_their_shapes():
    assert names_in([("b.weight", (1, 2), (2, 1)), "a.weight"]) == ["a.weight", "b.weight"]
