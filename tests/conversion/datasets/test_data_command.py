"""`vlahub data convert`: what its source is taken for, and what of the command line reaches the conversion."""

import argparse

import pytest

from vlahub.conversion.cli import main
from vlahub.conversion.commands.data import check_source, format_of, frequency
from vlahub.conversion.datasets import dataset_conversion
from vlahub.errors import InputError

FOLDERS = {
    "lerobot": ["meta/info.json", "data/x.hdf5", "features.json"],
    "hdf5": ["a.txt", "b.h5"],
    "rlds": ["features.json", "x.tfrecord"],
    None: ["notes.txt", "meta/other.json", "a/b/features.json"],
}
OTHERS = {"rlds": ["1.0.0/features.json"], "hdf5": ["episode_0.hdf5"]}


def written(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(("kind", "names"), [*FOLDERS.items(), *OTHERS.items()], ids=str)
def test_a_format_is_known_by_the_names_of_files(kind, names, tmp_path):
    assert format_of(written(tmp_path / "source", names)) == kind


@pytest.mark.parametrize("name", ["a.hdf5", "a.h5"])
def test_a_file_is_one_of_hdf5(name, tmp_path):
    assert format_of(written(tmp_path, [name]) / name) == "hdf5"
    with pytest.raises(InputError, match=r"--from rlds: .* is of the format hdf5; pass --from hdf5\."):
        check_source(tmp_path / name, "rlds")


def test_a_source_of_another_format_is_told_what_to_do(tmp_path):
    for kind, names in FOLDERS.items():
        written(tmp_path / str(kind), names)
    for kind in ("hdf5", "rlds"):
        check_source(tmp_path / kind, kind)
        check_source(tmp_path / "None", kind)  # whoever reads it says what is missing
        with pytest.raises(InputError, match="is of the format lerobot; commands read it as it is"):
            check_source(tmp_path / "lerobot", kind)
    with pytest.raises(InputError, match=r"--from hdf5: .* is of the format rlds; pass --from rlds"):
        check_source(tmp_path / "rlds", "hdf5")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("user/data", r"^user/data does not exist; of the Hub it is downloaded first: hf download"),
        ("https://hub/user/data", "of the Hub it is downloaded first"),
        ("tabel", r"^tabel does not exist \(did you mean table\?\)\.$"),
        ("file.h", r"^file\.h does not exist \(did you mean file\.h5\?\)\.$"),
        ("a/b/c", r"^a/b/c does not exist\.$"),
    ],
)
def test_a_source_that_is_not_there_is_told_what_was_probably_meant(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, ["table/x", "file.h5"])
    with pytest.raises(InputError, match=said):
        check_source(type(tmp_path)(name), "hdf5")


def test_a_frequency_is_a_whole_number_of_frames():
    assert (frequency("1"), frequency("50")) == (1, 50)
    for text in ("0", "-5", "1.5", "often", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            frequency(text)


@pytest.fixture
def convert(tmp_path, monkeypatch):
    """`convert(*words) -> exit code, what was asked for`, of which nothing is carried out."""
    asked = []
    monkeypatch.setattr(dataset_conversion, "convert_dataset", lambda *given: asked.append(given))
    source = written(tmp_path / "source", ["a.hdf5"])

    def call(*words):
        asked.clear()
        return main(["data", "convert", str(source), "--output", str(tmp_path / "out"), *words]), list(asked)

    return call


def test_entries_of_the_command_line_are_each_their_own(convert):
    words = "--action a b --state s --images top wrist --text t --max-episodes 1 --swap-colours --robot-type arm"
    code, [(arguments, choice)] = convert("--from", "hdf5", *words.split())
    assert code == 0 and (choice.action, choice.state, choice.images) == (["a", "b"], ["s"], ["top", "wrist"])
    assert (choice.text, choice.instruction) == ("t", None)
    assert (arguments.max_episodes, arguments.swap_colours, arguments.robot_type) == (1, True, "arm")
    code, [(_, choice)] = convert("--from", "hdf5", "--instruction", "fold")
    assert (choice.text, choice.instruction) == (None, "fold")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--from hdf5 --split train", "--split: HDF5 files have no splits"),
        ("--from hdf5 --max-episodes 0", "--max-episodes 0 must be at least 1"),
        ("--from rlds", "is of the format hdf5"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(words, said, convert, capsys):
    assert convert(*words.split()) == (1, []) and said in capsys.readouterr().err
