"""What `tokenizer_config.json` of a saved processor says, whichever line of transformers wrote it."""

import json

import pytest

from vlahub.processing.portable_processor import make_tokenizer_portable

OWN = {"processor_class": "SomeProcessor", "tokenizer_class": "PreTrainedTokenizerFast"}
CASES = {
    "a list of further tokens has the name that both lines read": (
        {"extra_special_tokens": ["<pose>", "<stop>"]},
        {"additional_special_tokens": ["<pose>", "<stop>"]},
    ),
    "tokens that are attributes of a tokenizer of 5.x are so on 4.57": (
        {"image_token": "<image>", "video_token": {"content": "<video>"}, "eos_token": "</s>", "add_bos_token": True},
        {"extra_special_tokens": {"image_token": "<image>", "video_token": {"content": "<video>"}}},
    ),
    "a mapping of named tokens stays": (
        {"image_token": "<image>", "extra_special_tokens": {"image_token": "<image>", "other_token": "<other>"}},
        {},
    ),
    "nothing tells of the place or the class that it was read by": (
        {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers", "is_local": True, "auto_map": {}}
        | {"local_files_only": True},
        {"backend": None, "is_local": None, "auto_map": None, "local_files_only": None},
    ),
}


@pytest.mark.every_case
@pytest.mark.parametrize("case", CASES)
def test_a_tokenizers_settings_are_those_that_both_lines_read(case, tmp_path):
    given, changed = CASES[case]
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(given), encoding="utf-8")
    make_tokenizer_portable(tmp_path, "SomeProcessor")
    assert json.loads(path.read_text(encoding="utf-8")) == given  # only beside a tokenizer.json
    (tmp_path / "tokenizer.json").touch()
    make_tokenizer_portable(tmp_path, "SomeProcessor")
    wanted = given | changed | OWN
    if "additional_special_tokens" in changed:
        del wanted["extra_special_tokens"]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found == {name: value for name, value in wanted.items() if value is not None}
