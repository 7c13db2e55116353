"""What is given as a checkpoint: a folder with one in it, or a repository's id; what is neither is told what it is."""

import json

import pytest

from vlahub.configuration.checkpoint_place import check_family_of_folder, check_place, check_target, why_no_folder
from vlahub.errors import CheckpointError

CONFIG = ("config.json",)


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", ["user/name", "name", "user/my-model.v2", None])
def test_what_can_be_a_repository_passes(name):
    check_place(name, CONFIG)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://huggingface.co/user/name", "name the repository by its id alone, 'user/name'"),
        ("https://huggingface.co/user/name/tree/main", "by its id alone, 'user/name'"),
        ("hf.co/user/name", "by its id alone, 'user/name'"),
        ("https://example.org/user/name", "it is an address; name a folder, or a repository"),
        ("s3://bucket/name", "it is an address; name a folder, or a repository"),
        ("~/name", "~ stands for the home directory in a shell alone; write '/"),
        ("/no/such/folder", "there is no such folder, look for a typing error"),
        ("./name", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("a\\b", "there is no such folder"),
    ],
)
def test_what_can_be_neither_is_told_why(name, said):
    assert said in why_no_folder(name)
    with pytest.raises(CheckpointError, match="is no checkpoint: "):
        check_place(name, CONFIG)


def test_a_file_and_a_name_with_a_typing_error_lead_to_what_was_meant(tmp_path):
    touched(tmp_path, "my-model/config.json", "other/config.json")
    assert why_no_folder(str(tmp_path / "my-model/config.json")).endswith(f"{str(tmp_path / 'my-model')!r}")
    assert why_no_folder(str(tmp_path / "my-modle")) == (
        f"there is no such folder; did you mean {str(tmp_path / 'my-model')!r}?"
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "is empty, or not there"),
        (["notes.txt"], "holds no config.json, as a whole checkpoint has"),
        (["checkpoint-5/config.json", "checkpoint-10/x"], "holds no config.json; it holds checkpoint-5: name one"),
        (["adapter_config.json"], "holds an adapter and no config.json"),
        (["config.json", "lora_adapter/x"], "is a training run, not a checkpoint"),
        (["config.json", "action_head--5_checkpoint.pt"], "is a training run, not a checkpoint"),
        (["config.json", "action_head--5_checkpoint.safetensors"], "is a training run, not a checkpoint"),
    ],
)
@pytest.mark.parametrize("subfolder", [None, "inner"])
def test_a_folder_that_is_none_is_told_what_it_is(files, said, subfolder, tmp_path):
    touched(tmp_path / (subfolder or ""), *files)
    if subfolder:
        touched(tmp_path, "config.json")
    with pytest.raises(CheckpointError, match=said):
        check_place(tmp_path, CONFIG, subfolder)


@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_a_run_with_all_weights_in_it_is_a_checkpoint(weights, tmp_path):
    check_place(touched(tmp_path, "config.json", "lora_adapter/x", "action_head--5_checkpoint.pt", weights), CONFIG)


def test_one_of_the_files_is_enough_and_without_any_nothing_is_looked_at(tmp_path):
    check_place(touched(tmp_path, "processor_config.json"), ("preprocessor_config.json", "processor_config.json"))
    check_place(tmp_path, ())


def test_a_file_is_no_place_to_write(tmp_path):
    touched(tmp_path, "model")
    with pytest.raises(CheckpointError, match="there is a file of this name"):
        check_target(tmp_path / "model")
    with pytest.raises(CheckpointError, match="a folder is needed"):
        check_target(None)
    check_target(tmp_path)
    check_target(tmp_path / "new")


@pytest.mark.parametrize("subfolder", [None, "inner"])
@pytest.mark.parametrize("own", [None, "processor_config.json"])
def test_a_folder_of_another_family_is_refused_where_nothing_says_whose_it_is(own, subfolder, tmp_path):
    folder = touched(tmp_path / (subfolder or ""), "config.json")
    given = (tmp_path, subfolder, own, ["cogvla"], "CogVLAProcessor")
    for text in ("{", "[1]", "{}", '{"model_type": "cogvla"}'):
        (folder / "config.json").write_text(text)
        check_family_of_folder(*given)
    (folder / "config.json").write_text(json.dumps({"model_type": "other", "architectures": ["OtherModel"]}))
    with pytest.raises(CheckpointError, match=r"model_type 'other' \(OtherModel\), and CogVLAProcessor reads 'cogvla'"):
        check_family_of_folder(*given)
    check_family_of_folder(*given[:3], [], "CogVLAProcessor")
    touched(folder, "processor_config.json")
    if own:
        check_family_of_folder(*given)
