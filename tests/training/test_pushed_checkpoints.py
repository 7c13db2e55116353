"""What a Trainer pushes amid a training is as whole as what it pushes at the end."""

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.utils import filter_repo_objects
from model_variants import FEW, VARIANTS, randomized
from peft import get_peft_model
from transformers import Trainer, TrainingArguments

import vlahub
from vlahub.training.pushed_checkpoints import take_along
from vlahub.training.unsaved_tokens import tokens_unsaved

OF_PLACES = {"training_args.bin"}


@pytest.fixture
def pushed(monkeypatch):
    """Of each push of a run's folder the names of its files, and the token; the last stays under way until `done` says
    otherwise."""
    found = SimpleNamespace(files=[], tokens=[], done=True)
    monkeypatch.setattr(Trainer, "init_hf_repo", lambda self, **_: vars(self).update(hub_model_id="you/run"))
    monkeypatch.setattr(Trainer, "push_in_progress", None, raising=False)

    def push(*_, folder_path, ignore_patterns=(), token=None, **__):
        found.tokens.append(token)
        files = [str(path.relative_to(folder_path)) for path in Path(folder_path).rglob("*") if path.is_file()]
        found.files.append(set(filter_repo_objects(files, ignore_patterns=list(ignore_patterns))))
        return SimpleNamespace(done=lambda: found.done)

    monkeypatch.setattr(HfApi, "upload_folder", push)
    monkeypatch.setattr("transformers.trainer.upload_folder", push, raising=False)  # of 4.57
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, name, revision=None: [])
    return found


def trainer_of(model, folder, **options):
    arguments = {"report_to": "none", "use_cpu": True, "remove_unused_columns": False, "hub_strategy": "every_save"}
    collator = SimpleNamespace(config=model.config)
    return vlahub.VLATrainer(model, TrainingArguments(str(folder), **arguments | options), data_collator=collator)


@pytest.fixture(params=FEW, scope="module")
def base(request, tmp_path_factory):
    variant, folder = VARIANTS[request.param], tmp_path_factory.mktemp("base")
    config = variant.make()
    config.freeze_language_model = False
    randomized(variant.kind._from_config(config)).save_pretrained(folder)
    return variant, folder


@pytest.mark.parametrize("is_adapter", [True, False])
def test_a_push_amid_a_training_holds_what_the_last_one_does(is_adapter, base, pushed, tmp_path):
    variant, folder = base
    model = variant.kind.from_pretrained(folder)
    model = get_peft_model(model, vlahub.lora_config(model, 2, 4)) if is_adapter else model
    trainer = trainer_of(model, tmp_path)
    trainer.save_model(str(tmp_path / "checkpoint-1"))
    trainer._push_from_checkpoint(str(tmp_path / "checkpoint-1"))
    variant.kind.from_pretrained(tmp_path)
    trainer.push_to_hub()
    amid, last = pushed.files
    assert amid - OF_PLACES == last - OF_PLACES and "README.md" in amid
    assert not is_adapter or {"base_weights.json", "adapter_model.safetensors"} <= amid


@pytest.mark.filterwarnings("ignore:.*push_to_hub_token.*:FutureWarning")
@pytest.mark.parametrize("base", FEW[:1], indirect=True)
@pytest.mark.parametrize(
    "name", [each for each in ("hub_token", "push_to_hub_token") if hasattr(TrainingArguments, each)]
)
@pytest.mark.parametrize("is_late", [False, True])
def test_a_token_is_pushed_with_and_not_pushed(name, is_late, base, pushed, tmp_path):
    variant, folder = base
    trainer = trainer_of(variant.kind.from_pretrained(folder), tmp_path, **({} if is_late else {name: "hf_mine"}))
    if is_late:
        trainer.args.hub_token = "hf_mine"
    trainer.save_model(str(tmp_path / "checkpoint-1"))
    trainer._push_from_checkpoint(str(tmp_path / "checkpoint-1"))
    trainer.push_to_hub()
    assert set(pushed.tokens) == {"hf_mine"} and copy.deepcopy(trainer.args).hub_token == "hf_mine"
    assert pickle.loads(pickle.dumps(trainer.args)).hub_token == "hf_mine"  # by a caller, to another process
    for path in (tmp_path, tmp_path / "checkpoint-1"):
        assert b"hf_mine" not in (path / "training_args.bin").read_bytes()
        assert torch.load(path / "training_args.bin", weights_only=False).hub_token is None


def test_a_token_is_unsaved_by_either_of_its_names_while_arguments_are_written_and_then_itself():
    given = SimpleNamespace(hub_token="mine", push_to_hub_token="mine", other_token="x")
    with tokens_unsaved(given):
        written = pickle.loads(pickle.dumps(vars(given)))
        assert written == {"hub_token": None, "push_to_hub_token": None, "other_token": "x"}
        assert given.hub_token == given.push_to_hub_token == "mine"
    assert {type(token) for token in vars(given).values()} == {str}
    with tokens_unsaved(newer := SimpleNamespace(hub_token=None)):
        assert vars(newer) == {"hub_token": None}


@pytest.mark.parametrize("base", FEW[:1], indirect=True)
def test_nothing_changes_under_a_push_that_is_under_way_and_an_edited_card_stays(base, pushed, tmp_path):
    variant, folder = base
    trainer = trainer_of(variant.kind.from_pretrained(folder), tmp_path)
    trainer.save_model(str(tmp_path / "checkpoint-1"))
    (tmp_path / "README.md").write_text("# Mine")
    pushed.done = False
    trainer._push_from_checkpoint(str(tmp_path / "checkpoint-1"))
    assert (tmp_path / "README.md").read_text() == "# Mine" and len(list(tmp_path.glob("*.py"))) > 5
    for path in tmp_path.glob("*.py"):
        path.unlink()
    trainer._push_from_checkpoint(str(tmp_path / "checkpoint-1"))
    assert len(pushed.files) == 1 and not list(tmp_path.glob("*.py"))


@pytest.mark.parametrize("base", FEW[:1], indirect=True)
def test_what_is_pushed_at_the_end_alone_takes_nothing_along_before(base, pushed, tmp_path):
    variant, folder = base
    trainer = trainer_of(variant.kind.from_pretrained(folder), tmp_path, hub_strategy="end")
    trainer.save_model(str(tmp_path / "checkpoint-1"))
    trainer._push_from_checkpoint(str(tmp_path / "checkpoint-1"))
    assert not pushed.files and [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


def test_what_a_former_run_left_goes_before_a_push_amid_a_training(tmp_path):
    checkpoint, run = tmp_path / "checkpoint-1", tmp_path / "run"
    for folder in (checkpoint, run):
        folder.mkdir()
    (checkpoint / "adapter_config.json").write_text("{}")
    names = ("base_weights.json", "dataset_statistics.json", "view_names.json")
    for name in names:
        (run / name).write_text("former")
    take_along(checkpoint, run)  # nobody said by which statistics it is trained
    assert {path.name for path in run.iterdir()} == set(names[1:])
    (checkpoint / "dataset_statistics.json").write_text("own")
    take_along(checkpoint, run)
    assert {path.name: path.read_text() for path in run.iterdir()} == {"dataset_statistics.json": "own"}
