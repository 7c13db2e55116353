"""`--overwrite` replaces a checkpoint and nothing else, and is asked about before any work."""

import json
import os
import shutil
from pathlib import Path

import pytest

from vlahub.conversion import source_folder
from vlahub.conversion.cli import main
from vlahub.conversion.commands import conversion_run
from vlahub.conversion.files import output_guard
from vlahub.conversion.files.output_guard import check_output, lies_inside
from vlahub.conversion.job import Job, run_job
from vlahub.errors import ConversionError


def write_checkpoint(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    config = {"model_type": "x", "auto_map": {"AutoModel": "my_model.Model"}}
    for name, text in {"config.json": json.dumps(config), "model.safetensors": "weights", **files}.items():
        (folder / name).write_text(text)
    return folder


COMPLETE = {
    "model.safetensors.index.json": "{}",
    "model-00001-of-00002.safetensors": "",
    "tokenizer.json": "{}",
    "tokenizer.model": "",
    "special_tokens_map.json": "{}",
    "preprocessor_config.json": "{}",
    "processor_config.json": "{}",
    "generation_config.json": "{}",
    "chat_template.jinja": "",
    "dataset_statistics.json": "{}",
    "conversion_report.json": "{}",
    "README.md": "",
    "LICENSE": "",
    ".gitattributes": "",
    "modeling_other.py": "",
    "my_model.py": "from .my_layers import Layer\n",
    "my_layers.py": "",
}


def test_a_checkpoint_with_all_that_it_may_have_can_be_replaced(tmp_path):
    check_output(write_checkpoint(tmp_path / "out", **COMPLETE), overwrite=True)


def test_a_folder_with_our_report_alone_can_be_replaced_and_one_with_another_file_of_that_name_cannot(tmp_path):
    report = write_checkpoint(tmp_path / "out") / "conversion_report.json"
    (tmp_path / "out" / "model.safetensors").unlink()
    report.write_text(json.dumps({"family": "cogvla", "tensors": {}}))
    check_output(tmp_path / "out", overwrite=True)
    report.write_text("{}")
    with pytest.raises(ConversionError, match="is no checkpoint"):
        check_output(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_checkpoint_has_a_config_and_weights_and_no_index_alone(missing, tmp_path):
    folder = write_checkpoint(tmp_path / "out", **{"model.safetensors.index.json": "{}", "tokenizer.json": "{}"})
    check_output(folder, overwrite=True)
    (folder / missing).unlink()
    with pytest.raises(ConversionError, match="is no checkpoint"):
        check_output(folder, overwrite=True)


def test_an_empty_folder_and_a_new_name_are_free(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "deep/below/new"):
        check_output(tmp_path / name)


def link(path: Path) -> None:
    (path.parent.parent / "elsewhere").write_text("precious")
    path.symlink_to(path.parent.parent / "elsewhere")


FOREIGN = {
    "notes.txt": lambda path: path.write_text("precious"),
    "train.py": lambda path: path.write_text("precious"),
    "optimizer.pt": lambda path: path.write_text("precious"),
    "action_head--10_checkpoint.pt": lambda path: path.write_text("precious"),
    "model.ckpt": lambda path: path.write_text("precious"),
    ".env": lambda path: path.write_text("precious"),
    "data": os.mkdir,
    "lora_adapter": os.mkdir,
    "README.md": link,
    "vocab.json": os.mkfifo,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_does_not_belong_to_a_checkpoint_is_named_and_saves_the_folder(name, tmp_path):
    folder = write_checkpoint(tmp_path / "out")
    FOREIGN[name](folder / name)
    with pytest.raises(ConversionError, match=rf"{name}/?, no part of a checkpoint"):
        check_output(folder, overwrite=True)


def test_code_that_our_report_does_not_record_and_no_config_names_is_somebodys_work(tmp_path):
    report = json.dumps({"tensors": {}, "files": {"modeling_ours.py": {}}})
    files = {"conversion_report.json": report, "modeling_ours.py": "", "my_model.py": ""}
    folder = write_checkpoint(tmp_path / "out", **files)
    check_output(folder, overwrite=True)
    (folder / "modeling_mine.py").write_text("precious")
    with pytest.raises(ConversionError, match=r"modeling_mine\.py, no part of a checkpoint"):
        check_output(folder, overwrite=True)


@pytest.mark.parametrize("name", ["~", "~/out", "~me/out"])
def test_a_tilde_that_no_shell_replaced_is_no_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConversionError, match="the shell did not replace ~"):
        check_output(Path(name))


@pytest.mark.parametrize("names", [["config.json"], ["model.safetensors"], ["README.md", "tokenizer.json"]])
def test_a_folder_that_is_no_checkpoint_is_kept(names, tmp_path):
    folder = write_checkpoint(tmp_path / "out", **dict.fromkeys(names, "{}"))
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
    with pytest.raises(ConversionError, match="is no checkpoint"):
        check_output(folder, overwrite=True)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_work_tree_is_never_replaced(kind, tmp_path):
    folder = write_checkpoint(tmp_path / "out")
    (folder / ".git").mkdir() if kind == "folder" else (folder / ".git").write_text("gitdir: /x")
    with pytest.raises(ConversionError, match="git work tree"):
        check_output(folder, overwrite=True)


def places(tmp_path: Path) -> dict[str, Path]:
    """By what it is: a checkpoint in each place that is never replaced."""
    here = write_checkpoint(tmp_path / "above" / "here")
    os.chdir(here)
    (tmp_path / "link").symlink_to(here)
    return {
        "empty name": Path(""),
        "here": here,
        "above": here.parent,
        "link": tmp_path / "link",
        "root": Path("/"),
        "relative": Path("../here/../../above"),
    }


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("place", ["empty name", "here", "above", "link", "root", "relative"])
def test_the_current_directory_and_what_is_above_it_is_never_an_output(place, overwrite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = places(tmp_path)[place]
    with pytest.raises(ConversionError, match=r"current directory|root of a file system"):
        check_output(output, overwrite)


@pytest.mark.parametrize("above", [False, True])
def test_a_home_is_never_an_output(above, tmp_path, monkeypatch):
    home = write_checkpoint(tmp_path / "homes" / "me")
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(ConversionError, match="home directory"):
        check_output(home.parent if above else home, overwrite=True)


def test_one_folder_under_two_names_is_one_folder(tmp_path, monkeypatch):
    """As when it is mounted twice: no name is above the other."""
    here, twin = (write_checkpoint(tmp_path / name) for name in ("here", "twin"))
    monkeypatch.chdir(here)
    monkeypatch.setattr(
        os.path, "samestat", lambda a, b: {a.st_ino, b.st_ino} <= {here.stat().st_ino, twin.stat().st_ino}
    )
    with pytest.raises(ConversionError, match="current directory"):
        check_output(twin, overwrite=True)


def test_a_mount_point_is_no_output_however_it_is_mounted(tmp_path, monkeypatch):
    folder = tmp_path / "a volume"
    folder.mkdir()
    check_output(folder)
    (tmp_path / "mounts").write_text(f"36 35 98:0 / {str(folder).replace(' ', chr(92) + '040')} rw - ext4 /dev/x rw\n")
    monkeypatch.setattr(output_guard, "MOUNTS", tmp_path / "mounts")
    with pytest.raises(ConversionError, match="mount point"):
        check_output(folder)
    monkeypatch.undo()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder)
    with pytest.raises(ConversionError, match="mount point"):
        check_output(folder)


def test_a_linked_output_is_its_target(cogvla, tmp_path):
    """The link stays, and what it leads to is written and replaced."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "result")
    assert cogvla.merge(tmp_path / "out") == 0
    assert cogvla.merge(tmp_path / "out", "--overwrite") == 0
    assert (tmp_path / "out").is_symlink() and os.listdir(tmp_path / "disk") == ["result"]
    assert (tmp_path / "disk" / "result" / "config.json").exists()


def test_a_parent_that_is_a_file_or_may_not_be_written_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match=r"file is no folder"):
        check_output(tmp_path / "file" / "out")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConversionError, match="no permission"):
        check_output(tmp_path / "new" / "out")


def test_a_link_in_a_source_that_leads_into_the_output_is_found(tmp_path):
    """A base whose files are links, such as a snapshot of the Hub's cache."""
    output = write_checkpoint(tmp_path / "out")
    (tmp_path / "base" / "deep").mkdir(parents=True)
    (tmp_path / "base" / "deep" / "model.safetensors").symlink_to(output / "model.safetensors")
    with pytest.raises(ConversionError, match=r"would replace the source .*base \(.*model.safetensors links into it\)"):
        check_output(output, overwrite=True, inputs=[tmp_path / "base"])


# The commands


def refuse_work(*_, **__):
    raise AssertionError("work began")


def arguments_of(command: str, source: Path, output: Path, extra: list[str]) -> list[str]:
    given = {
        "merge-lora": ["--base", str(source), "--adapter", str(source), "--output", str(output)],
        "convert": [str(source), str(output)],
        "assemble": [*["--family", "mapanything_llava3d", "--no-geometry", "--vision"], str(source)],
    }
    given["assemble"] += ["--language", str(source), "--output", str(output)]
    return [command, *given[command], "--overwrite", *extra]


@pytest.mark.parametrize("command", ["merge-lora", "convert", "assemble"])
@pytest.mark.parametrize("kind", ["empty", "work tree", "notes", "home"])
def test_every_command_refuses_before_it_downloads_or_reads(command, kind, tmp_path, monkeypatch, snapshot, capsys):
    folder = write_checkpoint(tmp_path / "precious", **({"notes.txt": "mine"} if kind == "notes" else {}))
    if kind == "work tree":
        (folder / ".git").mkdir()
    monkeypatch.chdir(folder if kind == "empty" else tmp_path)
    monkeypatch.setenv("HOME", str(folder if kind == "home" else tmp_path / "nobody"))
    monkeypatch.setattr(source_folder, "snapshot_download", refuse_work)
    monkeypatch.setattr(conversion_run, "job_of", refuse_work)
    before = snapshot(tmp_path)
    command_line = arguments_of(command, Path("user/name"), folder, [])
    if kind == "empty":
        command_line = ["" if word == str(folder) else word for word in command_line]
    assert main(command_line) == 1
    assert "error: " in capsys.readouterr().err and snapshot(tmp_path) == before


@pytest.mark.parametrize("option", ["--statistics", "--tokenizer", "--language", "--vlm"])
def test_whatever_is_given_may_not_lie_in_the_output(option, tmp_path, monkeypatch, snapshot, capsys):
    output = write_checkpoint(tmp_path / "out", **{"dataset_statistics.json": "{}"})
    given = output / "dataset_statistics.json" if option == "--statistics" else output
    source = write_checkpoint(tmp_path / "source")
    monkeypatch.setattr(conversion_run, "job_of", refuse_work)
    before = snapshot(tmp_path)
    assert main(arguments_of("convert", source, output, [option, str(given)])) == 1
    assert "would replace the source" in capsys.readouterr().err and snapshot(tmp_path) == before


@pytest.mark.parametrize("role", ["adapters", "base", "parts", "statistics"])
def test_a_job_without_the_command_line_is_guarded_as_well(role, tmp_path, snapshot):
    output, source = write_checkpoint(tmp_path / "out"), write_checkpoint(tmp_path / "source")
    job = Job(adapters=[source], output=output, overwrite=True)
    if role == "statistics":
        job.given["statistics"] = output / "config.json"
    else:
        setattr(job, role, {"adapters": [output], "base": output, "parts": {"vlm": output}}[role])
    before = snapshot(tmp_path)
    with pytest.raises(ConversionError, match="would replace the source"):
        run_job(job, refuse_work)
    shutil.rmtree(tmp_path / "source")
    assert {path: value for path, value in before.items() if "source" not in path} == snapshot(tmp_path)


def test_a_dry_run_does_not_mind_what_the_output_holds(cogvla, tmp_path):
    output = write_checkpoint(tmp_path / "out", **{"notes.txt": "mine"})
    assert cogvla.merge(output, "--dry-run") == 0
    assert (output / "notes.txt").read_text() == "mine"


def test_what_comes_into_the_output_while_it_is_computed_is_not_lost(cogvla, tmp_path, monkeypatch, capsys):
    from vlahub.conversion import job

    assert cogvla.merge(tmp_path / "out") == 0
    write_weights = job.write_weights

    def meanwhile(*arguments, **options):
        (tmp_path / "out" / "notes.txt").write_text("mine")
        return write_weights(*arguments, **options)

    monkeypatch.setattr(job, "write_weights", meanwhile)
    assert cogvla.merge(tmp_path / "out", "--overwrite") == 1
    assert "notes.txt" in capsys.readouterr().err
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine" and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("output", "is_inside"), [("base/out", True), ("base/a/b", True), ("base2", False), ("", False)]
)
def test_an_output_inside_of_what_is_read_is_told_of(output, is_inside, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "base")
    for source in ("base", "link"):
        note = lies_inside(tmp_path / output, [tmp_path / "missing", tmp_path / source])
        assert (note is not None) == is_inside
        assert note is None or f"{tmp_path / output} lies inside of {tmp_path / source}" in note
