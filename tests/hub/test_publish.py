"""Publishing: from a folder to a repository that loads by name, and back again after fine-tuning."""

import json
import re
import shutil
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from vlahub import CogVLAConfig
from vlahub.conversion.cogvla.card import CARD
from vlahub.conversion.files.file_hashes import entry_of_file, with_own_hash
from vlahub.conversion.model_card import write_card

LOAD = """
import sys, torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

def load(name, **options):
    processor = AutoProcessor.from_pretrained(name, trust_remote_code=True, **options)
    model = AutoModelForImageTextToText.from_pretrained(name, trust_remote_code=True, dtype="auto", **options)
    return model, processor

def predict(model, processor):
    images = [Image.new("RGB", (64, 48), color) for color in ((200, 30, 30), (30, 30, 200))]
    return model.predict_action(**processor(images=images, text="pick up the bowl", state=[0.1] * 8)).tolist()

def shift(model):
    "A stand-in for fine-tuning: every action moves."
    biases = [p for n, p in model.action_head.named_parameters() if n.endswith("bias")]
    with torch.no_grad():
        biases[-1].add_(0.25)
"""
LOAD_LOCAL = (
    LOAD
    + """
from vlahub import CogVLAForActionPrediction, CogVLAProcessor

def load(name):
    return CogVLAForActionPrediction.from_pretrained(name, dtype="auto"), CogVLAProcessor.from_pretrained(name)
"""
)
WITHOUT_VLAHUB = "[m for m in sys.modules if m.split('.')[0] == 'vlahub' and sys.modules[m]] == []"
ALL_FILES = {".gitattributes", "README.md", "conversion_report.json", "config.json", "model.safetensors"}


@pytest.fixture
def altered(checkpoint, tmp_path):
    """`altered(factor) -> folder`: a copy with other weights, which the server has not seen."""

    def write(factor: float) -> Path:
        folder = tmp_path / f"altered-{factor}"
        shutil.copytree(checkpoint, folder)
        weights = load_file(folder / "model.safetensors")
        save_file({k: v * factor for k, v in weights.items()}, folder / "model.safetensors", {"format": "pt"})
        return folder

    return write


@pytest.fixture
def sharded(altered):
    """`sharded(factor) -> folder`: the same in two shards with an index."""

    def write(factor: float) -> Path:
        folder = altered(factor)
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        names, shards = sorted(weights), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        weight_map = {name: shards[i % 2] for i, name in enumerate(names)}
        for shard in shards:
            save_file({n: weights[n] for n in names if weight_map[n] == shard}, folder / shard, {"format": "pt"})
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder

    return write


@pytest.fixture
def as_user(pusher):
    """`with as_user(token):` what is pushed is pushed with that token."""

    @contextmanager
    def change(token: str):
        pusher("import os\nos.environ['HF_TOKEN'] = token", token=token)
        try:
            yield
        finally:
            pusher("os.environ['HF_TOKEN'] = 'dummy'")

    return change


@contextmanager
def without_waiting(pusher):
    """The library tries again at once, instead of after seconds."""
    pusher("import time\nsleep, time.sleep = time.sleep, lambda seconds: None")
    try:
        yield
    finally:
        pusher("time.sleep = sleep")


def files_of(hub, name, revision="main"):
    return hub.repositories[name].at(revision).files


# Loading by name


def test_a_pushed_checkpoint_loads_by_name_and_pinned_and_offline_without_vlahub(
    hub, push, pusher, python, checkpoint, altered
):
    name, newer = "user/tiny.vla-by-name", altered(1.5)
    push(checkpoint, name)
    first = hub.repositories[name].head
    assert set(files_of(hub, name)) > ALL_FILES
    push(newer, name)
    predict = LOAD_LOCAL + "result = predict(*load(folder))"
    expected = {"main": pusher(predict, folder=str(newer)), "pinned": pusher(predict, folder=str(checkpoint))}
    assert expected["main"] != expected["pinned"]

    both = LOAD + "result = {'main': predict(*load(name)), 'pinned': predict(*load(name, revision=first))}"
    online = python(vlahub=False)
    assert online(both, name=name, first=first) == expected
    assert online(f"result = {WITHOUT_VLAHUB}")
    seen = len(hub.requests)
    assert python(vlahub=False, offline=True)(both, name=name, first=first) == expected
    assert len(hub.requests) == seen


def test_classes_from_the_hub_are_fine_tuned_and_pushed_and_the_pinned_revision_stays(hub, push, python, checkpoint):
    name, copy = "user/tuned", "user/tuned.copy"
    push(checkpoint, name)
    first, card = hub.repositories[name].head, hub.repositories[name].text("README.md")
    trainer = python(vlahub=False)
    tune = """
model, processor = load(name)
before = predict(model, processor)
shift(model)
result = [before, predict(model, processor)]
for target in (name, copy):
    model.push_to_hub(target)
    processor.push_to_hub(target)
"""
    before, after = trainer(LOAD + tune, name=name, copy=copy)
    assert trainer(f"result = {WITHOUT_VLAHUB}")
    assert before != after
    assert hub.repositories[name].text("README.md") == card
    assert set(files_of(hub, copy)) == set(files_of(hub, name))  # the report was of the weights before

    fresh = python(vlahub=False, home="another")
    results = "result = [predict(*load(name)), predict(*load(name, revision=first)), predict(*load(copy))]"
    assert fresh(LOAD + results, name=name, first=first, copy=copy) == [after, before, after]
    origin = b"user/tuned--"
    assert not [path for path, blob in files_of(hub, copy).items() if path.endswith(".json") and origin in blob.content]


def test_classes_of_vlahub_push_a_repository_that_loads_by_name_and_push_it_again(hub, pusher, python, checkpoint):
    name = "user/from-python"
    code = (
        LOAD_LOCAL
        + """
model, processor = load(folder)
result = [predict(model, processor)]
model.push_to_hub(name)
processor.push_to_hub(name)
"""
    )
    again = "shift(model)\nmodel.push_to_hub(name)\nresult = predict(model, processor)"
    (expected,) = pusher(code, folder=str(checkpoint), name=name)
    first = hub.repositories[name].head
    assert set(files_of(hub, name)) >= ALL_FILES - {"conversion_report.json"}
    shifted = pusher(again)
    assert shifted != expected
    both = "result = [predict(*load(name)), predict(*load(name, revision=first))]"
    assert python(vlahub=False)(LOAD + both, name=name, first=first) == [shifted, expected]


def test_a_pushed_processor_leaves_no_template_of_the_one_before(hub, pusher, checkpoint):
    name = "user/other-templates"
    code = """
from huggingface_hub import HfApi
from vlahub import CogVLAProcessor

processor, api = CogVLAProcessor.from_pretrained(folder), HfApi()
api.create_repo(name)
for path in stale + kept:
    api.upload_file(repo_id=name, path_or_fileobj=b'{"chat_template": "of before"}', path_in_repo=path)
processor.push_to_hub(name)
result = CogVLAProcessor.from_pretrained(name).chat_template
"""
    stale = ["chat_template.jinja", "additional_chat_templates/tools.jinja", "added_tokens.json"]
    kept = ["notes.txt", "model.safetensors", "older/chat_template.jinja"]
    assert pusher(code, folder=str(checkpoint), name=name, stale=stale, kept=kept) is None
    files = files_of(hub, name)
    assert files.keys() >= {*kept, "processor_config.json"} and files.keys().isdisjoint(stale)


# What is uploaded


def test_only_the_files_of_a_checkpoint_are_uploaded_in_one_commit(hub, push, pusher, altered, tmp_path):
    folder, name = altered(1.1), "user/everything"
    (tmp_path / "secret").write_text("secret")
    left = ("optimizer.pt", "run.sh", "x.pkl", "assets/scene.txt")
    for other in (".DS_Store", ".cache/lock", *left):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_text("x")
    (folder / "vocab.txt").symlink_to(tmp_path / "secret")
    (folder / "LICENSE").write_text("of the base")
    url = push(folder, name, quiet=False)
    repository = hub.repositories[name]
    assert url == f"{hub.url}/{name}/commit/{repository.head}"
    wanted = {p.name for p in folder.iterdir() if p.is_file() and p.name not in (*left, ".DS_Store", "vocab.txt")}
    assert set(repository.at("main").files) == wanted | {".gitattributes"} and "LICENSE" in wanted
    said = pusher.said()
    assert "a link out of its folder: vocab.txt" in said and "a folder: assets" in said
    assert "not a kind of file that belongs to a checkpoint: .DS_Store, optimizer.pt, run.sh, x.pkl" in said
    assert "warning: conversion_report.json is of other files (changed: model.safetensors" in said
    assert [commit.message for commit in repository.commits.values()][1:] == ["Upload checkpoint with vlahub"]
    for path in wanted - {"README.md", "conversion_report.json"}:
        assert repository.at("main").files[path].content == (folder / path).read_bytes(), path


def test_the_pictures_that_the_card_shows_are_uploaded_and_no_others(hub, push, altered):
    folder, name = altered(1.12), "user/pictures"
    with open(folder / "README.md", "a") as card:
        card.write("\n![A prediction](prediction.png)\n")
    for picture in ("prediction.png", "example_view_0.png", "photo.png"):
        (folder / picture).write_bytes(picture.encode())
    push(folder, name)
    files = hub.repositories[name].at("main").files
    assert files["prediction.png"].content == b"prediction.png"
    assert not {"example_view_0.png", "photo.png"} & set(files)


def test_code_that_is_not_ours_is_published_only_when_it_is_allowed(hub, push, failed, altered):
    folder = altered(1.15)
    (folder / "evil.py").write_text("")
    with (folder / "film.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(failed, match=r"code that is not this release's \(evil.py, film.py\).*--allow-code"):
        push(folder, "user/foreign-code")
    assert "user/foreign-code" not in hub.repositories
    push(folder, "user/foreign-code", allow_code=True)
    assert {"evil.py", "film.py"} <= set(files_of(hub, "user/foreign-code"))


def test_code_of_an_older_release_that_its_report_lists_is_ours(hub, push, altered):
    folder = altered(1.17)
    with (folder / "film.py").open("a") as file:
        file.write("# older\n")
    report = json.loads((folder / "conversion_report.json").read_text())
    report["files"]["film.py"] = entry_of_file(folder / "film.py")
    (folder / "conversion_report.json").write_text(json.dumps(report))
    push(folder, "user/older-release")
    assert files_of(hub, "user/older-release")["film.py"].content == (folder / "film.py").read_bytes()


@pytest.mark.parametrize(
    "name", ["somebody/else--modeling_other.Model", "modeling_other.Model"], ids=["elsewhere", "missing"]
)
def test_code_that_only_a_json_file_names_is_not_ours(hub, push, failed, altered, name):
    path = altered(1.16) / "config.json"
    content = json.loads(path.read_text())
    content["auto_map"]["AutoModel"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(failed, match=rf"not this release's \({name} in config\.json\)"):
        push(path.parent, "user/never")
    assert "user/never" not in hub.repositories


def test_foreign_code_that_the_report_lists_stays_foreign(hub, push, failed, altered):
    folder = altered(1.18)
    (folder / "theirs.py").write_text("")
    report = json.loads((folder / "conversion_report.json").read_text())
    report["files"]["theirs.py"], report["foreign_code"] = entry_of_file(folder / "theirs.py"), ["theirs.py"]
    (folder / "conversion_report.json").write_text(json.dumps(report))
    with pytest.raises(failed, match=r"code that is not this release's \(theirs.py\)"):
        push(folder, "user/foreign-listed")


def test_shards_are_those_that_the_index_names(hub, push, sharded):
    folder = sharded(1.19)
    (folder / SECOND).rename(folder / "rest.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(SECOND, "rest.safetensors"))
    (folder / "other.safetensors").write_bytes((folder / "rest.safetensors").read_bytes())
    push(folder, "user/named-shards")
    files = files_of(hub, "user/named-shards")
    assert files["rest.safetensors"].content == (folder / "rest.safetensors").read_bytes()
    assert "other.safetensors" not in files


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_a_checkpoint_cannot_do_without_is_no_link_out_of_its_folder(
    hub, push, failed, checkpoint, tmp_path, name
):
    folder = shutil.copytree(checkpoint, tmp_path / "linked")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(failed, match=f"{name} is a link out of its folder"):
        push(folder, "user/never")
    assert "user/never" not in hub.repositories


def test_a_snapshot_of_the_cache_is_pushed_and_verified(hub, push, python, checkpoint):
    push(checkpoint, "user/origin")
    again = """
from huggingface_hub import snapshot_download
from pathlib import Path
from vlahub.conversion.cli import main
from vlahub.conversion.publishing.push_checkpoint import push_checkpoint
folder = Path(snapshot_download("user/origin"))
assert (folder / "config.json").is_symlink()
push_checkpoint(folder, "user/from-cache", quiet=True)
result = [main(["verify", name, "--quiet"]) for name in (str(folder), "user/origin", "user/from-cache")]
"""
    assert python()(again) == [0, 0, 0]
    (first, second) = (files_of(hub, name) for name in ("user/origin", "user/from-cache"))
    assert first.keys() == second.keys() and first["model.safetensors"] == second["model.safetensors"]


def test_pushing_the_same_again_adds_no_commit(hub, push, checkpoint):
    assert push(checkpoint, "user/same") == push(checkpoint, "user/same")
    assert len(hub.repositories["user/same"].commits) == 2


def test_weights_of_another_layout_leave_with_the_commit_that_replaces_them(hub, push, checkpoint, sharded):
    name, shards = "user/layouts", sharded(1.2)

    def weights():
        return {path for path in files_of(hub, name) if "safetensors" in path}

    push(checkpoint, name)
    assert weights() == {"model.safetensors"}
    push(shards, name)
    assert weights() == {path.name for path in shards.glob("*safetensors*")} and len(weights()) == 3
    push(checkpoint, name)
    assert weights() == {"model.safetensors"}
    assert len(hub.repositories[name].commits) == 4


def test_what_would_be_read_in_its_place_leaves_with_the_commit_that_replaces_it(hub, push, checkpoint):
    name = "user/replaced"
    push(checkpoint, name)
    pushed = set(files_of(hub, name))
    owners = {"notes.txt", "policy/adapter_config.json", "LICENSE", "assets/vocab.json"}
    read = {"adapter_config.json", "adapter_model.safetensors", "added_tokens.json", "video_preprocessor_config.json"}
    read |= {"spiece.model", "custom_generate/generate.py", "additional_chat_templates/tools.jinja"}
    assert not pushed & (owners | read)
    for file in owners | read:
        hub.edit(name, file, "{}")
    push(checkpoint, name)
    assert set(files_of(hub, name)) == pushed | owners


def test_the_card_gets_the_name_of_the_repository_and_the_folder_keeps_its_own(hub, push, checkpoint):
    before = (checkpoint / "README.md").read_bytes()
    push(checkpoint, "user/named")
    card = hub.repositories["user/named"].text("README.md")
    assert 'repository = "user/named"' in card and 'user/name"' not in card
    assert (checkpoint / "README.md").read_bytes() == before


def test_the_report_of_a_repository_is_of_the_files_that_it_has(hub, push, checkpoint):
    name = "user/reported"
    push(checkpoint, name)
    assert_report_of(files_of(hub, name))
    hub.edit(name, "README.md", "# By hand\n")
    push(checkpoint, name)
    assert files_of(hub, name)["README.md"].content == b"# By hand\n"
    assert_report_of(files_of(hub, name))


def assert_report_of(files):
    report = json.loads(files["conversion_report.json"].content)
    assert {key: entry["sha256"] for key, entry in report["files"].items()} == {
        key: sha256(files[key].content).hexdigest()
        for key in files.keys() - {".gitattributes", "conversion_report.json"}
    }
    assert report == with_own_hash(report)


def with_key(folder, key):
    """The checkpoint as if it had been trained on other data, its card included."""
    config = CogVLAConfig.from_pretrained(folder)
    config.norm_stats = {key: config.norm_stats["demo_tabletop"]}
    config.save_pretrained(folder)
    report = json.loads((folder / "conversion_report.json").read_text())
    write_card(folder, CARD, config, report, {"base": folder / "none"})
    return folder


def test_a_card_that_nobody_edited_is_renewed(hub, push, checkpoint, altered):
    name = "user/renewed"
    push(checkpoint, name)
    push(with_key(altered(1.3), "other_data"), name)
    card = hub.repositories[name].text("README.md")
    assert "other_data" in card and "demo_tabletop" not in card and f'repository = "{name}"' in card
    push(checkpoint, name)
    assert "demo_tabletop" in hub.repositories[name].text("README.md")


def test_the_card_of_the_folder_follows_its_config(hub, push, pusher, altered):
    folder = altered(1.35)
    config = CogVLAConfig.from_pretrained(folder)
    config.norm_stats = {"other_data": config.norm_stats["demo_tabletop"]}
    config.save_pretrained(folder)
    push(folder, "user/followed", quiet=False)
    card = hub.repositories["user/followed"].text("README.md")
    assert "other_data" in card and "demo_tabletop" not in card
    assert "README.md: the folder's was written for another config" in pusher.said()


EDITS = {
    "text": lambda card: card.replace("vision-language-action model:", "model of mine:"),
    "metadata": lambda card: card.replace("pipeline_tag", "license: mit\npipeline_tag"),
    "all": lambda card: "# By hand\n",
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_card_edited_on_the_hub_survives_until_it_is_to_be_renewed(hub, push, pusher, checkpoint, altered, edit):
    name = f"user/edited-{edit}"
    push(checkpoint, name)
    edited = EDITS[edit](hub.repositories[name].text("README.md"))
    hub.edit(name, "README.md", edited)
    folder = with_key(altered(1.3), "other_data")
    for options in ({}, {"card": "keep"}):
        push(folder, name, quiet=False, **options)
        assert hub.repositories[name].text("README.md") == edited
    assert f"warning: README.md: {name} has one that was edited" in pusher.said()
    push(folder, name, card="renew")
    assert "other_data" in hub.repositories[name].text("README.md")


def test_a_card_edited_on_a_branch_survives_there(hub, push, checkpoint, altered):
    name = "user/edited-branch"
    push(checkpoint, name)
    push(checkpoint, name, revision="tuned")
    hub.edit(name, "README.md", "# By hand\n", branch="tuned")
    folder = with_key(altered(1.33), "other_data")
    push(folder, name, revision="tuned")
    push(folder, name)
    assert files_of(hub, name, "tuned")["README.md"].content == b"# By hand\n"
    assert "other_data" in hub.repositories[name].text("README.md")


def test_keep_leaves_a_card_that_nobody_edited(hub, push, checkpoint, altered):
    push(checkpoint, "user/kept")
    before = hub.repositories["user/kept"].text("README.md")
    push(with_key(altered(1.3), "other_data"), "user/kept", card="keep")
    assert hub.repositories["user/kept"].text("README.md") == before


# Branches, pull requests, visibility


def test_a_revision_becomes_a_branch_and_main_stays(hub, push, checkpoint, sharded):
    name, newer = "user/branches", sharded(1.4)
    push(checkpoint, name)
    main = hub.repositories[name].head
    push(newer, name, revision="tuned")
    repository = hub.repositories[name]
    assert repository.head == main and set(repository.branches) == {"main", "tuned"}
    assert all(repository.at("tuned").files[p.name].content == p.read_bytes() for p in newer.glob("*safetensors*"))
    push(checkpoint, name, revision="tuned")
    assert repository.head == main
    assert repository.at("tuned").files == repository.at("main").files


def test_a_pull_request_leaves_main_as_it_is(hub, push, checkpoint, altered):
    name = "user/reviewed"
    push(checkpoint, name)
    main = hub.repositories[name].head
    url = push(altered(1.6), name, create_pr=True)
    repository = hub.repositories[name]
    assert url == f"{hub.url}/{name}/discussions/1"
    assert repository.head == main
    weights = [repository.at(revision).files["model.safetensors"].sha256 for revision in ("main", "refs/pr/1")]
    assert len(set(weights)) == 2


def test_somebody_else_may_open_a_pull_request_and_nothing_more(hub, push, as_user, failed, checkpoint, altered):
    name = "user/open"
    push(checkpoint, name)
    main, folder = hub.repositories[name].head, altered(1.7)
    with as_user("strangers"):
        assert push(folder, name, create_pr=True).endswith("/discussions/1")
        with pytest.raises(failed, match=r"does not permit this to user/open: .*hf auth login"):
            push(folder, name)
    assert hub.repositories[name].head == main


def test_a_private_repository_is_hidden_and_a_public_one_is_not_taken_for_private(
    hub, push, as_user, failed, checkpoint
):
    push(checkpoint, "user/secret", private=True)
    assert hub.repositories["user/secret"].private
    push(checkpoint, "user/secret", private=True)
    push(checkpoint, "user/public")
    head = hub.repositories["user/public"].head
    with pytest.raises(failed, match="user/public exists and is public"):
        push(checkpoint, "user/public", private=True)
    assert not hub.repositories["user/public"].private and hub.repositories["user/public"].head == head


@pytest.mark.parametrize("private", [False, True])
def test_who_says_nothing_gets_what_the_owner_has_set(hub, push, checkpoint, monkeypatch, private):
    monkeypatch.setattr(hub, "is_private_unasked", private)
    push(checkpoint, name := f"user/unasked-{private}")
    assert hub.repositories[name].private == private


def test_the_command_prints_the_url_unless_quiet(hub, pusher, checkpoint):
    code = """
import argparse, contextlib, io
from vlahub.conversion.commands.push import add_push_arguments, run_push
parser = argparse.ArgumentParser()
add_push_arguments(parser)
result = []
for line in lines:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_push(parser.parse_args([folder, *line]))
    result.append(printed.getvalue())
"""
    lines = [
        ["user/commanded"],
        ["user/commanded", "--revision", "second", "--quiet"],
        ["user/commanded", "--create-pr", "--quiet"],
        ["user/hidden", "--private", "--quiet"],
    ]
    first, *others = pusher(code, folder=str(checkpoint), lines=lines)
    repository = hub.repositories["user/commanded"]
    assert first == f"{hub.url}/user/commanded/commit/{repository.head}\n" and others == ["", "", ""]
    assert "second" in repository.branches
    assert hub.repositories["user/hidden"].private and not repository.private


def test_merging_and_pushing_in_one_command_publishes_what_it_wrote(hub, pusher, tmp_path):
    code = """
import importlib.util, sys
from vlahub.conversion.cli import main, merge_lora_main
spec = importlib.util.spec_from_file_location("tiny_run", tiny_run)
sys.modules["tiny_run"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
folder = Path(folder)
module.TinyRun(layers=4, pruning_layers=(3,)).write(folder)
sources = ["--base", str(folder / "base"), "--adapter", str(folder / "run"), "--num-images", "1"]
options = ["--platform", "libero", "--quiet", "--output", str(folder / "out")]
result = [merge_lora_main([*sources, *options, "--push-to-hub", "user/at-once"])]
result.append(main(["push", str(folder / "out"), "user/afterwards", "--quiet"]))
result.append(main(["push", str(folder / "run"), "user/no-checkpoint", "--quiet"]))
"""
    tiny_run = str(Path(__file__).parents[2] / "examples" / "tiny_run.py")
    assert pusher(code, folder=str(tmp_path), tiny_run=tiny_run) == [0, 0, 1]
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    for name in ("user/at-once", "user/afterwards"):
        assert files_of(hub, name)["model.safetensors"].content == weights
    assert "user/no-checkpoint" not in hub.repositories


# When it fails


def test_an_upload_that_breaks_off_changes_nothing_and_the_next_sends_only_the_rest(
    hub, push, pusher, failed, checkpoint, sharded
):
    name, shards = "user/interrupted", sharded(1.8)
    push(checkpoint, name)
    head, files = hub.repositories[name].head, files_of(hub, name)
    hub.fail(all_puts_from=2)
    with without_waiting(pusher):
        for options in ({}, {"revision": "new"}):
            with pytest.raises(failed, match=r"the upload to user/interrupted did not end: .*run it again"):
                push(shards, name, **options)
    assert hub.puts > 2  # the library had tried again
    assert hub.repositories[name].head == head and files_of(hub, name) == files
    assert set(hub.repositories[name].branches) == {"main"}
    hub.fail()
    push(shards, name)
    assert hub.puts == 1
    for path in shards.glob("*.safetensors"):
        assert files_of(hub, name)[path.name].content == path.read_bytes()


def test_a_connection_that_breaks_once_is_tried_again(hub, push, pusher, altered):
    folder = altered(1.9)
    hub.fail(broken_puts={1})
    with without_waiting(pusher):
        push(folder, "user/patient")
    assert hub.puts == 2
    content = (folder / "model.safetensors").read_bytes()
    assert files_of(hub, "user/patient")["model.safetensors"].content == content


def test_a_refused_commit_changes_nothing_and_says_why(hub, push, failed, checkpoint, altered):
    push(checkpoint, "user/refused")
    head = hub.repositories["user/refused"].head
    hub.fail(refuse_commits="A commit has happened since. Please refresh and try again.")
    with pytest.raises(failed, match="the Hub refused the upload to user/refused: A commit has happened since"):
        push(altered(2.1), "user/refused")
    assert hub.repositories["user/refused"].head == head


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "there is no token for user/locked: log in with `hf auth login`, or set HF_TOKEN"),
        ("wrong", "does not permit this to user/locked: Invalid credentials.*hf auth login"),
        ("strangers", "does not permit this to user/locked: You don't have the rights.*hf auth login"),
    ],
)
def test_who_may_not_write_is_told_how_to_log_in(hub, push, as_user, failed, checkpoint, token, said):
    with as_user(token), pytest.raises(failed, match=said) as error:
        push(checkpoint, "user/locked")
    assert error.value.kind == "ConversionError"
    assert "user/locked" not in hub.repositories


def test_a_server_that_cannot_be_reached_is_one_clear_error(pusher, failed, checkpoint):
    code = """
from functools import partial
from unittest import mock
from huggingface_hub import HfApi
nobody = partial(HfApi, endpoint="http://127.0.0.1:9")
with mock.patch("vlahub.conversion.publishing.push_checkpoint.HfApi", nobody):
    push_checkpoint(Path(folder), "user/unreachable", quiet=True)
"""
    with pytest.raises(failed, match=r"the upload to user/unreachable did not end: .*refused") as error:
        pusher(code, folder=str(checkpoint))
    assert error.value.kind == "ConversionError"


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def point_outside(index):
    shutil.move(index.with_name(SECOND), index.parent.parent)
    index.write_text(index.read_text().replace(SECOND, f"../{SECOND}"))


def pickle_weights(folder):
    for path in folder.glob("model*"):
        path.unlink()
    torch.save({"weight": torch.ones(2)}, folder / "pytorch_model.bin")


def make_published(folder):
    (folder / "conversion_report.json").unlink()
    (folder / "config.json").write_text(json.dumps({"model_type": "openvla"}))


SECOND = "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors.index.json").unlink(), "has no weights: neither"),
        (lambda folder: (folder / SECOND).unlink(), f"names the shard '{SECOND}', which is missing"),
        (lambda folder: truncate(folder / SECOND), f"{SECOND} cannot be read as safetensors"),
        (
            lambda folder: shutil.copy(folder / SECOND.replace("2-", "1-", 1), folder / SECOND),
            "is both in|does not hold it",
        ),
        (
            lambda folder: point_outside(folder / "model.safetensors.index.json"),
            "names the shard '../model-.* does not lie beside it",
        ),
        (lambda folder: truncate(folder / "model.safetensors.index.json"), "is not an index of shards"),
        (pickle_weights, "has no weights: neither"),
        (make_published, "which is not converted yet"),
        (shutil.rmtree, "is no folder"),
    ],
    ids=[
        "no config",
        "no index",
        "no shard",
        "half a shard",
        "wrong shard",
        "outside",
        "half an index",
        "pickled",
        "published",
        "no folder",
    ],
)
def test_a_folder_that_nobody_could_load_is_refused_before_the_hub_is_asked(hub, push, failed, sharded, damage, said):
    folder = sharded(2.2)
    damage(folder)
    seen = len(hub.requests)
    with pytest.raises(failed, match=said) as error:
        push(folder, "user/never")
    assert error.value.kind == "ConversionError"
    assert len(hub.requests) == seen


def test_a_damaged_file_of_all_weights_is_refused_before_the_hub_is_asked(hub, push, failed, altered):
    truncate((folder := altered(2.25)) / "model.safetensors")
    seen = len(hub.requests)
    with pytest.raises(failed, match=r"model\.safetensors cannot be read as safetensors"):
        push(folder, "user/never")
    assert len(hub.requests) == seen


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("nobody", {}, "'nobody' is no repository id"),
        ("user/a/b", {}, "'user/a/b' is no repository id"),
        ("user/--", {}, "'user/--' is no repository id"),
        ("user/never", {"revision": "0" * 40}, f"--revision {'0' * 40} is a commit, which nothing is added to"),
        ("user/never", {"create_pr": True, "revision": "next"}, "leave out --create-pr, or --revision next"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused_before_the_hub_is_asked(
    hub, push, failed, checkpoint, name, options, said
):
    seen = len(hub.requests)
    with pytest.raises(failed, match=re.escape(said)):
        push(checkpoint, name, **options)
    assert len(hub.requests) == seen


def test_a_card_that_the_hub_rejects_is_refused_before_anything_is_uploaded(hub, push, failed, altered):
    folder = altered(2.3)
    card = (folder / "README.md").read_text().replace("pipeline_tag: robotics", "pipeline_tag: robots")
    (folder / "README.md").write_text(card)
    with pytest.raises(failed, match=r"refused the upload to user/strange: Invalid metadata in README.md.*robots"):
        push(folder, "user/strange")
    assert set(files_of(hub, "user/strange")) == {".gitattributes"} and hub.puts == 0


# Model cards


@pytest.fixture
def card_of(checkpoint, tmp_path):
    """`card_of(inputs=..., base_card=..., **config) -> ModelCard` for the checkpoint with other names or settings."""

    def write(inputs=None, base_card=None, **settings) -> ModelCard:
        report = json.loads((checkpoint / "conversion_report.json").read_text())
        report["inputs"] = inputs or report["inputs"]
        config = CogVLAConfig.from_pretrained(checkpoint, **settings)
        (tmp_path / "base").mkdir(exist_ok=True)
        if base_card is not None:
            (tmp_path / "base" / "README.md").write_text(base_card)
        write_card(tmp_path, CARD, config, report, {"base": tmp_path / "base"})
        return ModelCard((tmp_path / "README.md").read_text())

    return write


def test_the_code_in_the_card_runs_as_it_stands(hub, push, python, checkpoint):
    push(checkpoint, "user/shown")
    (block,) = re.findall(r"```python\n(.*?)```", hub.repositories["user/shown"].text("README.md"), re.DOTALL)
    draw = (
        "from PIL import Image\nfor i in range(2): Image.new('RGB', (64, 48), (90 * i, 60, 30)).save(f'view_{i}.png')\n"
    )
    assert python(vlahub=False)(draw + block + "result = [*actions.shape, str(actions.dtype)]") == [
        1,
        8,
        7,
        "torch.float32",
    ]


def test_the_hub_validates_the_card_and_accepts_it(hub, push, card_of, altered):
    folder = altered(2.4)
    statistics = CogVLAConfig.from_pretrained(folder).norm_stats["demo_tabletop"]
    card = card_of(
        {"base": "openvla/openvla-7b", "run": "my-run"},
        base_card="---\nlicense: mit\n---\n",
        norm_stats={"robots/kitchen": statistics, "demo_tabletop": statistics},
    )
    card.save(folder / "README.md")
    seen = len(hub.requests)
    push(folder, "user/valid")
    assert "POST /api/validate-yaml" in hub.requests[seen:]
    assert hub.repositories["user/valid"].text("README.md").startswith("---\nbase_model: openvla/openvla-7b\n")


def test_metadata_says_what_the_checkpoint_is(checkpoint):
    assert ModelCard.load(checkpoint / "README.md").data.to_dict() == {
        "library_name": "transformers",
        "pipeline_tag": "robotics",
        "tags": ["robotics", "vision-language-action", "cogvla"],
    }


def test_the_card_names_statistics_actions_heads_and_parameters(checkpoint):
    text = (checkpoint / "README.md").read_text()
    parameters = sum(tensor.numel() for tensor in load_file(checkpoint / "model.safetensors").values())
    for fact in (
        "from 2 camera images, an instruction and the robot's state to a chunk of 8 actions",
        f"| all | {parameters:,} | ",
        "| action head | `l1`, `block` attention |",
        "| actions | (batch, 8, 7) |",
        "| normalisation | `bounds_q99`: q01 and q99 of each dimension |",
        "| `demo_tabletop` | 9 | 432 | 6 |",
        "Merged by vlahub from base `base` and run `run`",
    ):
        assert fact in text, fact


def test_base_and_datasets_are_metadata_where_they_are_repositories(card_of, checkpoint):
    statistics = CogVLAConfig.from_pretrained(checkpoint).norm_stats["demo_tabletop"]
    inputs = {"base": "openvla/openvla-7b", "run": "my-run"}
    card = card_of(inputs, norm_stats={"robots/kitchen": statistics, "demo_tabletop": statistics})
    assert card.data.base_model == "openvla/openvla-7b" and card.data.datasets == ["robots/kitchen"]
    assert "| base model | `openvla/openvla-7b` |" in card.text
    assert "| `demo_tabletop` |" in card.text and "| `robots/kitchen` |" in card.text
    assert card_of({"base": "openvla-7b"}).data.base_model is None


def test_the_licence_is_that_of_the_base(card_of):
    card = card_of(base_card="---\nlicense: mit\ntags: [x]\n---\n# Base\n")
    assert card.data.license == "mit" and card.data.tags[0] == "robotics"
    assert "`mit`, inherited from the base model." in card.text
    other = "license: other\nlicense_name: tea\nlicense_link: "
    card = card_of(base_card=f"---\n{other}https://example.org/tea\n---\n")
    assert (card.data.license, card.data.license_name, card.data.license_link) == (
        "other",
        "tea",
        "https://example.org/tea",
    )
    assert card_of(base_card=f"---\n{other}LICENSE\n---\n").data.license_link is None


@pytest.mark.parametrize("base_card", [None, "# Base\n", "---\nlicense: [\n---\n", "---\nmit\n---\n"])
def test_an_unknown_licence_is_left_out_and_said_to_be_unknown(card_of, base_card):
    card = card_of(base_card=base_card)
    assert card.data.license is None
    assert "Not recorded where this checkpoint was made" in card.text


def test_the_same_checkpoint_gives_the_same_card(card_of, checkpoint):
    assert str(card_of()) == str(card_of()) == (checkpoint / "README.md").read_text()
