"""The example of a card in a process of its own."""

import pytest
from PIL import Image

from vlahub.conversion.cards.example_run import LONGEST, run_example, shown_text
from vlahub.errors import ConversionError


def run(code, folder, **images):
    return run_example(code, folder, "user/name", images)


def test_it_finds_the_checkpoint_under_the_repositorys_name_and_images_by_theirs(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    Image.new("RGB", (3, 2)).save(tmp_path / "somewhere.png")
    code = "import os\nfrom PIL import Image\nprint(os.listdir('user/name'), Image.open('view ö.png').size)"
    assert run(code, tmp_path / "checkpoint", **{"view ö.png": tmp_path / "somewhere.png"}) == (
        "['config.json'] (3, 2)\n"
    )


def test_images_that_will_lie_in_the_repository_are_found_there_and_nothing_is_written_into_the_folder(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    Image.new("RGB", (3, 2)).save(tmp_path / "new.png")
    Image.new("RGB", (5, 5)).save(folder / "example_view_0.png")
    code = (
        "from PIL import Image\nfrom transformers.utils import cached_file\n"
        "print(Image.open(cached_file('user/name', 'example_view_0.png')).size)"
    )
    images = {"example_view_0.png": tmp_path / "new.png"}
    assert run_example(code, folder, "user/name", images, in_repository=True) == "(3, 2)\n"
    assert Image.open(folder / "example_view_0.png").size == (5, 5)


def test_vlahub_is_not_installed_there_and_the_hub_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    code = (
        "import os, sys\nprint(os.environ['HF_HUB_OFFLINE'], 'HF_TOKEN' in os.environ, '' in sys.path)\n"
        "try:\n    import vlahub\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    )
    assert run(code, tmp_path) == "1 False False\nvlahub\n"


FAILURES = {
    "an error": ("x = 1\nraise ValueError('the\\nlast line')", r"failed on .*: last line\.$"),
    "a syntax error": ("print(", "SyntaxError"),
    "an exit code": ("import sys\nsys.exit(3)", "exit code 3 and said nothing"),
    "a signal": ("import os\nos.kill(os.getpid(), 9)", r"ended by signal 9 \(is there enough memory\?\)"),
}


@pytest.mark.parametrize("code,message", FAILURES.values(), ids=FAILURES)
def test_what_fails_is_an_error_with_its_last_line(code, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        run(code, tmp_path)


def test_what_was_printed_is_shown_without_control_characters_and_not_endless():
    assert shown_text("a\x1b[31mb\r\nc\td \n\u2028\x00\n") == "a\\x1b[31mb\nc   d\n\\u2028\\x00\n"
    assert len(shown_text("x" * 10**6)) == LONGEST + len("\n...")
