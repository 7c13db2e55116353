"""What a run that is pushed finds of a former one in its repository."""

import pytest

from vlahub.training import former_files

PRESENT = [
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "adapter_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "README.md",
]


@pytest.mark.parametrize(
    ("pushed", "gone"),
    [
        (["model.safetensors"], ["adapter_config.json", "model-00001-of-00002.safetensors"]),
        (
            ["model.safetensors", "processor_config.json"],
            [
                *("adapter_config.json", "chat_template.jinja", "model-00001-of-00002.safetensors"),
                "special_tokens_map.json",
            ],
        ),
        (["processor_config.json", "chat_template.jinja"], ["special_tokens_map.json"]),
        (["config.json"], []),
    ],
    ids=str,
)
def test_weights_and_templates_of_a_former_run_are_named_where_such_were_pushed(pushed, gone, tmp_path):
    for name in pushed:
        (tmp_path / name).write_text("{}")
    assert former_files.former_files(tmp_path, iter(PRESENT)) == gone


def test_they_are_taken_out_of_the_repository_of_the_push(tmp_path, monkeypatch):
    asked = []

    def remove(repo_id, replaced, revision, token):
        asked.append((repo_id, replaced(PRESENT), revision, token))

    monkeypatch.setattr(former_files, "remove_from_repository", remove)
    (tmp_path / "model.safetensors").write_text("")
    former_files.remove_former_files(str(tmp_path), "me/mine", "dev", "secret")
    gone = ["adapter_config.json", "model-00001-of-00002.safetensors"]
    assert asked == [("me/mine", gone, "dev", "secret")]
