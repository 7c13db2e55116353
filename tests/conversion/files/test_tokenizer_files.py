"""Tokenizer files that the tokenizers library cannot load are refused by name, in every path that copies them."""

import json
import shutil
from types import SimpleNamespace

import pytest
from transformers.utils import logging

from vlahub.conversion.cli import main
from vlahub.conversion.files import tokenizer_files
from vlahub.conversion.files.tokenizer_files import check_tokenizer, load_fast_tokenizer
from vlahub.errors import ConversionError


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


DAMAGES = {
    "not JSON": ("tokenizer.json", lambda path: path.write_text('{"model": ')),
    "not a mapping": ("tokenizer.json", lambda path: path.write_text("[1, 2]")),
    "no model": ("tokenizer.json", lambda path: edit(path, lambda content: content.pop("model"))),
    "unknown model": ("tokenizer.json", lambda path: edit(path, lambda content: content["model"].update(type="Magic"))),
    "negative id": (
        "tokenizer.json",
        lambda path: edit(path, lambda content: content["model"].update(vocab={"a": -1}, merges=[])),
    ),
    "merges of tokens that are none": (
        "tokenizer.json",
        lambda path: edit(
            path, lambda content: content.update(model={"type": "BPE", "vocab": {}, "merges": [["a", "b"]]})
        ),
    ),
    "added tokens of another kind": ("tokenizer.json", lambda path: edit(path, lambda c: c.update(added_tokens=5))),
    "empty file": ("tokenizer.json", lambda path: path.write_bytes(b"")),
    "settings that are not JSON": ("tokenizer_config.json", lambda path: path.write_text("{")),
    "special tokens that are not JSON": ("special_tokens_map.json", lambda path: path.write_text("nope")),
}


def refused(code, capsys, *words):
    error = capsys.readouterr().err
    assert code == 1 and error.startswith("error: ") and len(error.splitlines()) == 1, error
    for word in words:
        assert word in error, error


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_cogvla_run_does_not_pass_them_on(damage, openvla_oft, tmp_path, capsys):
    name, change = DAMAGES[damage]
    run = openvla_oft.copied_with_base(tmp_path)
    for folder in (run.run, run.base):
        change(folder / name)
    refused(run.merge(tmp_path / "out"), capsys, name if "JSON" in damage else "tokenizer.json")
    assert not (tmp_path / "out").exists()


def test_settings_that_the_tokenizer_cannot_take_are_refused(openvla_oft, tmp_path, capsys):
    run = openvla_oft.copied_with_base(tmp_path)
    for folder in (run.run, run.base):
        edit(folder / "tokenizer_config.json", lambda content: content.update(added_tokens_decoder=7))
    refused(run.merge(tmp_path / "out"), capsys, "the tokenizer in", "cannot be read")


class PanicException(BaseException):
    """As the tokenizers library ends where its own code fails: no Exception, and known by its name alone."""


@pytest.mark.parametrize(
    ("raised", "said"),
    [(PanicException("index out of bounds\nstack"), ConversionError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["panic", "interrupt"],
)
def test_a_panic_of_the_library_is_an_error_and_an_interrupt_is_none(raised, said, cogvla, monkeypatch):
    def fail(path):
        raise raised

    monkeypatch.setattr(tokenizer_files, "Tokenizer", SimpleNamespace(from_file=fail))
    with pytest.raises(said, match="cannot be read: index out of bounds$" if said is ConversionError else None):
        check_tokenizer(cogvla.base)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_what_transformers_says_is_as_loud_afterwards_as_before(cogvla, tmp_path, name):
    folder, before = shutil.copytree(cogvla.base, tmp_path / "base"), logging.get_verbosity()
    try:
        for verbosity in (logging.INFO, logging.WARNING):
            logging.set_verbosity(verbosity)
            load_fast_tokenizer(cogvla.base)
            (folder / name).write_text("{")
            with pytest.raises(ConversionError):
                load_fast_tokenizer(folder)
            assert logging.get_verbosity() == verbosity
    finally:
        logging.set_verbosity(before)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("where", ["base", "adapter"])
def test_a_plain_merge_does_not_pass_them_on(where, damage, cogvla, tmp_path, capsys):
    """`--family generic`, with files that are looked at before any tensor is."""
    name, change = DAMAGES[damage]
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(cogvla.base, base)
    shutil.copytree(cogvla.run / "lora_adapter", adapter)
    for file in cogvla.base.glob("*token*"):
        shutil.copyfile(file, adapter / file.name)
    change((base if where == "base" else adapter) / name)
    command = ["merge-lora", "--base", base, "--adapter", adapter, "--output", tmp_path / "out", "--family", "generic"]
    refused(main([str(word) for word in command]), capsys, str(base if where == "base" else adapter))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_assembly_does_not_take_them(damage, parts, tmp_path, capsys):
    name, change = DAMAGES[damage]
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for file in (parts.folder / "language").glob("*token*"):
        shutil.copyfile(file, tokenizer / file.name)
    if not (tokenizer / name).exists():
        (tokenizer / name).write_text("{}")
    change(tokenizer / name)
    code = parts.assemble(tmp_path / "out", "--action-horizon", "4", "--tokenizer", str(tokenizer))
    refused(code, capsys, str(tokenizer))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["not JSON", "unknown model", "settings that are not JSON"])
def test_an_alpamayo_does_not_take_them(damage, tiny_alpamayo, tmp_path, capsys):
    name, change = DAMAGES[damage]
    tiny_alpamayo.TinyAlpamayo().write(tmp_path)
    change(tmp_path / "vlm" / name)
    command = ["convert", tmp_path / "published", tmp_path / "out", "--vlm", tmp_path / "vlm", "--quiet"]
    refused(main([str(word) for word in command]), capsys, name)
