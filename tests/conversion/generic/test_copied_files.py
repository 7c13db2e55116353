"""What a merge takes over from folders: of the base and of each adapter, file by file, and in whose place."""

import json

import pytest

from vlahub.conversion.generic.copied_files import check_config_lies_here, check_copied, copy_files
from vlahub.errors import CheckpointError, ConversionError


def folder_of(path, **files):
    """A folder with files by their names, `__` for a dot: texts, or what is written as JSON."""
    path.mkdir()
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (path / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path):
    own = {"auto_map": {"AutoProcessor": "base.Own"}, "size": 1}
    return folder_of(
        tmp_path / "base", config__json={}, README__md="# Base", LICENSE="mine", tokenizer__json={"of": "base"},
        dataset_statistics__json={"of": "base"}, processor_config__json=own, base__py="", notes__txt="",
    )  # fmt: skip


@pytest.fixture
def merged(base, tmp_path):
    """Makes the output of some adapters, and returns the folder."""

    def merge(*adapters):
        (out := tmp_path / "out").mkdir()
        copy_files(base, list(adapters), out)
        return out

    return merge


def read(path):
    return json.loads(path.read_text())


def test_all_of_the_base_comes_along_but_card_and_code(merged, tmp_path):
    out = merged(folder_of(tmp_path / "a", config__json={"of": "adapter"}, README__md="# Adapter", LICENSE="other"))
    names = {"config.json", "LICENSE", "tokenizer.json", "dataset_statistics.json", "processor_config.json"}
    assert {path.name for path in out.iterdir()} == names
    assert read(out / "config.json") == {} and (out / "LICENSE").read_text() == "mine"


NEW = {"dataset_statistics__json": {"of": "adapter"}}
INSIDE = {"processor_config__json": {"norm_stats": {"of": "adapter"}}}


@pytest.mark.parametrize(
    ("adapters", "file"),
    [
        ([{}], "base"),
        ([NEW], "adapter"),
        ([NEW, {}], "adapter"),
        ([{}, NEW], "adapter"),
        ([INSIDE], None),  # they lie in the processor
        ([INSIDE, {}], None),
        ([{"processor_config__json": {"norm_stats": {}}}], "base"),
    ],
)
def test_statistics_of_the_base_go_where_any_adapter_has_its_own(adapters, file, merged, tmp_path):
    out = merged(*(folder_of(tmp_path / f"a{i}", **files) for i, files in enumerate(adapters)))
    there = out / "dataset_statistics.json"
    assert (read(there)["of"] if there.exists() else None) == file


def test_an_adapters_processor_names_the_code_of_the_base_and_keeps_its_letters(merged, tmp_path):
    other = {"auto_map": {"AutoProcessor": "theirs.Other"}, "word": "grün"}
    out = merged(folder_of(tmp_path / "a", processor_config__json=other, tokenizer_config__json=other))
    assert read(out / "processor_config.json") == {"auto_map": {"AutoProcessor": "base.Own"}, "word": "grün"}
    assert read(out / "tokenizer_config.json") == {"word": "grün"}
    assert "grün" in (out / "tokenizer_config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("second", "gone"),
    [
        ({}, set()),
        ({"tokenizer__json": {}}, {"added_tokens.json", "special_tokens_map.json"}),
        ({"tokenizer_config__json": {"chat_template": "x"}}, {"chat_template.jinja", "chat_template.json"}),
        ({"tokenizer_config__json": {}}, set()),
    ],
)
def test_what_would_be_read_in_the_place_of_an_adapters_own_goes(second, gone, merged, tmp_path):
    texts = {
        "added_tokens__json": {},
        "special_tokens_map__json": {},
        "chat_template__jinja": "",
        "chat_template__json": {},
    }
    out = merged(folder_of(tmp_path / "a", **texts), folder_of(tmp_path / "b", **second))
    names = {name.replace("__", ".") for name in texts}
    assert names - {path.name for path in out.iterdir()} == gone


def test_json_that_would_be_copied_is_read_before_wherever_it_lies(base, tmp_path):
    adapter = folder_of(tmp_path / "a", tokenizer__json={})
    check_copied(base, [adapter])
    for folder in (adapter, base):
        (folder / "tokenizer.json").write_text('{"a": NaN}')
        with pytest.raises(ConversionError, match=r"tokenizer\.json"):
            check_copied(base, [adapter])
        (folder / "tokenizer.json").write_text("{}")
    wrong = {"eos_token_id": "end"}
    (base / "generation_config.json").write_text(json.dumps(wrong))
    check_copied(base, [adapter])  # a base that was loaded writes as it does
    (adapter / "generation_config.json").write_text(json.dumps(wrong))
    with pytest.raises((ConversionError, CheckpointError), match=r"generation_config\.json"):
        check_copied(base, [adapter])


def test_a_config_that_lies_elsewhere_is_refused(base, tmp_path):
    check_config_lies_here(base)
    (tmp_path / "elsewhere.json").write_text("{}")
    (base / "config.json").unlink()
    (base / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ConversionError, match="is a link out of its folder"):
        check_config_lies_here(base)
