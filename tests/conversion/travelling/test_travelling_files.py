"""What a merge takes along: files of known kinds, from the folder itself, and no code that was not allowed."""

import json
import shutil

import pytest
import torch
from base_statistics import statistics_of
from huggingface_hub import ModelCard
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub.conversion.cli import main
from vlahub.conversion.files.file_kinds import kind_of, leads_out

REPORT = "conversion_report.json"
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}


def write_adapter(base, kind, folder):
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(kind.from_pretrained(base), lora).save_pretrained(folder)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A Llama and an adapter of it; not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    LlamaForCausalLM(LlamaConfig(vocab_size=64, **SIZES)).save_pretrained(folder / "base")
    write_adapter(folder / "base", LlamaForCausalLM, folder / "adapter")
    return folder


@pytest.fixture
def sources(written, tmp_path):
    for name in ("base", "adapter"):
        shutil.copytree(written / name, tmp_path / name)
    return tmp_path


def merge(folder, *options, base=None):
    sources = ["--base", str(base or folder / "base"), "--adapter", str(folder / "adapter")]
    return main(["merge-lora", *sources, "--output", str(folder / "out"), *options])


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def change_json(path, **fields):
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generation_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "source.spm",
        "qwen.tiktoken",
        "chat_template.jinja",
        "chat_template.json",
        "README.md",
        "LICENSE",
        "LICENSE.txt",
        "NOTICE",
        "dataset_statistics.json",
        "conversion_report.json",
        "film.py",
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
    ],
)
def test_files_of_a_checkpoint_are_known(name):
    assert kind_of(name)


@pytest.mark.parametrize(
    "name",
    [
        "evil.sh",
        "x.pkl",
        "x.pt",
        "pytorch_model.bin",
        "x.so",
        "notes.txt",
        "secrets.json",
        ".env",
        "optimizer.pt",
        "training_args.bin",
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md.bak",
        "model.h5",
        "x.ipynb",
        "a.py.txt",
        "Makefile",
        "x.zip",
    ],
)
def test_other_files_are_not(name):
    assert kind_of(name) is None


def test_only_known_files_travel_and_the_rest_is_listed(sources, capsys):
    base, adapter = sources / "base", sources / "adapter"
    for name in ("evil.py", "run.sh", "x.pkl", "optimizer.pt", "notes.txt", "sub/vocab.txt"):
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text("x")
    (adapter / "tokenizer_evil.py").write_text("x")
    for name in (
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "chat_template.jinja",
        "LICENSE",
        "dataset_statistics.json",
    ):
        (base / name).write_text("{}")
    (adapter / "vocab.txt").write_text("of the adapter")
    assert merge(sources) == 0
    before = {"vocab.txt", "merges.txt", "spiece.model", "chat_template.jinja", "LICENSE", "dataset_statistics.json"}
    usual = {"config.json", "generation_config.json", "model.safetensors", "README.md", REPORT}
    assert names_in(sources / "out") == before | usual
    assert (sources / "out" / "vocab.txt").read_text() == "of the adapter"
    report = json.loads((sources / "out" / REPORT).read_text())
    left = {entry["file"] for entry in report["left_behind"]}
    assert {f"base/{name}" for name in ("evil.py", "run.sh", "x.pkl", "optimizer.pt", "notes.txt", "sub")} <= left
    assert "run/tokenizer_evil.py" in left and not [name for name in left if "adapter_model" in name]
    assert set(report["files"]) == names_in(sources / "out") - {REPORT}
    assert "files left behind:" in capsys.readouterr().out


# ---- links


def test_links_are_not_followed_out_of_their_folder(sources):
    base = sources / "base"
    (sources / "secret").write_text("secret")
    (base / "added_tokens.json").write_text('{"inside": 1}')
    (base / "vocab.txt").symlink_to(sources / "secret")
    (base / "tokenizer.json").symlink_to("../base/../secret")
    (base / "vocab.json").symlink_to("added_tokens.json")
    (base / "LICENSE").symlink_to("nowhere")
    (sources / "adapter" / "special_tokens_map.json").symlink_to(sources / "secret")
    assert merge(sources, "--quiet") == 0
    assert not names_in(sources / "out") & {"vocab.txt", "tokenizer.json", "LICENSE", "special_tokens_map.json"}
    assert (sources / "out" / "vocab.json").read_text() == '{"inside": 1}'
    assert not (sources / "out" / "vocab.json").is_symlink()


def test_a_config_that_is_a_link_out_is_refused(sources, capsys):
    (sources / "base" / "config.json").rename(sources / "config.json")
    (sources / "base" / "config.json").symlink_to(sources / "config.json")
    assert merge(sources, "--quiet") == 1
    assert "config.json is a link out of its folder" in capsys.readouterr().err


def as_snapshot(folder, cache):
    """The folder as the Hub's cache holds it: links to blobs that are named by their hash."""
    snapshot, blobs = cache / "models--user--name" / "snapshots" / ("a" * 40), cache / "models--user--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for i, path in enumerate(sorted(folder.iterdir())):
        shutil.copyfile(path, blobs / f"{i:040x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{i:040x}")
    return snapshot


def test_a_snapshot_of_the_cache_is_a_base_and_an_adapter(sources, tmp_path):
    (sources / "base" / "vocab.txt").write_text("x")
    base = as_snapshot(sources / "base", tmp_path / "cache")
    adapter = as_snapshot(sources / "adapter", tmp_path / "other")
    (tmp_path / "cache" / "models--user--name" / "secret").write_text("secret")
    (base / "merges.txt").symlink_to("../../secret")
    (base / "vocab.json").symlink_to("../../blobs/key")  # no blob's name
    (base / "../../blobs/key").write_text("secret")
    (base / "../../blobs" / ("f" * 40)).symlink_to("../secret")
    (base / "spiece.model").symlink_to("../../blobs/" + "f" * 40)
    command = ["merge-lora", "--base", str(base), "--adapter", str(adapter), "--output", str(tmp_path / "out")]
    assert main([*command, "--quiet"]) == 0
    assert {"config.json", "vocab.txt"} <= names_in(tmp_path / "out")
    assert not names_in(tmp_path / "out") & {"merges.txt", "vocab.json", "spiece.model"}


def test_what_only_looks_like_a_snapshot_is_none(tmp_path):
    snapshot = tmp_path / "snapshots" / "b"
    snapshot.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / ("a" * 40)).write_text("x")
    (snapshot / "vocab.txt").symlink_to(tmp_path / "blobs" / ("a" * 40))
    assert leads_out(snapshot / "vocab.txt")


# ---- code


@pytest.fixture
def with_code(sources):
    """A base whose config names code of its own."""
    (sources / "base" / "modeling_own.py").write_text("from .helper import x\nclass Own: pass\n")
    (sources / "base" / "helper.py").write_text("x = 1\n")
    change_json(sources / "base" / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    return sources


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "processor_config.json"])
def test_code_of_the_base_needs_to_be_allowed(sources, capsys, file):
    change_json(sources / "base" / file, auto_map={"AutoTokenizer": [None, "own.Own"]})
    (sources / "base" / "own.py").write_text("class Own: pass\n")
    assert merge(sources, "--quiet") == 1
    said = capsys.readouterr().err
    assert file in said and "own.Own" in said and "own.py" in said and "--allow-code" in said
    assert not (sources / "out").exists()


def test_allowed_code_travels_and_report_and_card_name_it(with_code, capsys):
    assert merge(with_code, "--allow-code") == 0
    out = with_code / "out"
    assert {"modeling_own.py", "helper.py"} <= names_in(out)
    assert json.loads((out / "config.json").read_text())["auto_map"] == {"AutoModelForCausalLM": "modeling_own.Own"}
    assert json.loads((out / REPORT).read_text())["foreign_code"] == ["helper.py", "modeling_own.py"]
    assert "`helper.py` and `modeling_own.py` came with the base" in (out / "README.md").read_text()
    assert "helper.py, modeling_own.py" in capsys.readouterr().out
    assert main(["verify", str(out), "--quiet"]) == 0


@pytest.mark.parametrize("damage", ["other repository", "missing file"])
def test_allowed_code_must_lie_in_the_base(with_code, capsys, damage):
    if damage == "missing file":
        (with_code / "base" / "helper.py").unlink()
    else:
        change_json(with_code / "base" / "config.json", auto_map={"AutoModel": "somebody/else--modeling_own.Own"})
    assert merge(with_code, "--allow-code", "--quiet") == 1
    assert "modeling_own.Own" in capsys.readouterr().err


def test_code_that_an_adapter_names_never_gets_through(sources):
    evil = {"AutoTokenizer": ["evil.Evil", None], "AutoProcessor": "evil.Evil"}
    pipelines = {"evil-task": {"impl": "evil.EvilPipeline", "pt": ["AutoModel"]}}
    for name in ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
        nested = {"auto_map": evil, "custom_pipelines": pipelines, "kept": 1}
        change_json(sources / "adapter" / name, auto_map=evil, custom_pipelines=pipelines, nested=nested)
    (sources / "adapter" / "evil.py").write_text("class Evil: pass")
    assert merge(sources, "--quiet", "--allow-code") == 0
    for name in ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
        assert json.loads((sources / "out" / name).read_text()) == {"nested": {"kept": 1}}
    assert "evil.py" not in names_in(sources / "out")


@pytest.fixture
def own(family, family_checkpoint, tmp_path):
    """A checkpoint of one of our families as base, and an adapter of it."""
    shutil.copytree(family_checkpoint, tmp_path / "base")
    write_adapter(family_checkpoint, family.model, tmp_path / "adapter")
    return tmp_path


def test_our_families_get_this_releases_code_and_their_own_card(own, family, family_checkpoint, capsys):
    evil = {"AutoModel": "evil.Evil", "AutoProcessor": "evil.Evil"}
    (own / "base" / "evil.py").write_text("class Evil: pass")
    changed = f"modeling_{family.suffix}.py"
    with (own / "base" / changed).open("a") as file:
        file.write("import evil\n")
    for name in ("config.json", "processor_config.json"):
        change_json(own / "base" / name, auto_map=evil)
    change_json(own / "adapter" / "processor_config.json", auto_map=evil)
    shutil.copyfile(family_checkpoint / "processor_config.json", own / "adapter" / "preprocessor_config.json")
    assert merge(own, *statistics_of(own / "base")) == 0
    out = own / "out"
    assert f"in place of the base's evil.py, {changed}" in capsys.readouterr().out
    assert "evil.py" not in names_in(out)
    assert "evil.Evil" not in "".join(path.read_text() for path in out.glob("*_config.json"))
    assert json.loads((out / "config.json").read_text())["auto_map"] == family.config.auto_classes
    assert (out / changed).read_text() == (family_checkpoint / changed).read_text()
    assert main(["verify", str(out), "--code", "--quiet"]) == 0

    card = ModelCard.load(out / "README.md")
    assert card.data.pipeline_tag == "robotics" and {"robotics", family.config.model_type} <= set(card.data.tags)
    assert "trust_remote_code=True" in card.text and "run `adapter`" in card.text and "base `base`" in card.text
    if family.unnorm_key:
        assert f'unnorm_key="{family.unnorm_key}"' in card.text and f"| `{family.unnorm_key}` |" in card.text


def test_a_merge_into_our_own_checkpoint_takes_its_changed_code_only_when_it_is_allowed(own, family):
    with (own / "base" / "remote_code.py").open("a") as file:
        file.write("# mine\n")
    assert merge(own, "--allow-code", "--quiet", *statistics_of(own / "base")) == 0
    assert (own / "out" / "remote_code.py").read_text().endswith("# mine\n")
    assert "remote_code.py" in json.loads((own / "out" / REPORT).read_text())["foreign_code"]


@pytest.mark.parametrize("where", ["dataset_statistics.json", "processor_config.json", None])
def test_statistics_of_the_base_do_not_outlive_a_run_with_its_own(sources, where):
    (sources / "base" / "dataset_statistics.json").write_text('{"old": {}}')
    if where:
        content = {"new": {}} if where.startswith("dataset") else {"norm_stats": {"new": {}}}
        (sources / "adapter" / where).write_text(json.dumps(content))
    assert merge(sources, "--quiet") == 0
    out = sources / "out" / "dataset_statistics.json"
    found = out.read_text() if out.exists() else None
    assert (
        found == {"dataset_statistics.json": '{"new": {}}', "processor_config.json": None, None: '{"old": {}}'}[where]
    )


def test_a_run_of_a_family_leaves_foreign_code_and_links_behind(cogvla, tmp_path):
    damaged = cogvla.copied_with_base(tmp_path)
    (tmp_path / "secret").write_text("secret")
    for folder in (damaged.base, damaged.run):
        (folder / "evil.py").write_text("class Evil: pass")
        (folder / "run.sh").write_text("x")
        (folder / "added_tokens.json").unlink(missing_ok=True)
        (folder / "added_tokens.json").symlink_to(tmp_path / "secret")
    change_json(damaged.base / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]})
    assert damaged.merge(tmp_path / "out") == 0
    assert not names_in(tmp_path / "out") & {"evil.py", "run.sh", "added_tokens.json"}
    assert "evil" not in (tmp_path / "out" / "tokenizer_config.json").read_text()
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    left = {entry["file"] for entry in report["left_behind"]}
    names = ("evil.py", "run.sh", "added_tokens.json")
    assert left >= {f"{role}/{name}" for role in ("base", "run") for name in names}
    assert not [name for name in left if "lora_adapter" in name or "_checkpoint.pt" in name]
