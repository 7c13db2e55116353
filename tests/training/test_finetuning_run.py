"""The course of a fine-tune, with a Trainer that does nothing: what it is given, in which order, and what is left."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import PrinterCallback

from vlahub.training.finetuning import finetune
from vlahub.training.finetuning.arguments import make_arguments
from vlahub.training.finetuning.finetune import going_on, make_trainer, overview_of, run_finetuning, statistics_of
from vlahub.training.finetuning.options import FinetuneOptions
from vlahub.training.finetuning.overview import Table
from vlahub.training.finetuning.prepared import Finetuning
from vlahub.training.finetuning.run_data import RunData
from vlahub.training.run_folder import RECORD


class Idle:
    """A Trainer that notes what it is told; `during` happens while it trains."""

    def __init__(self, found, during=lambda trainer: None, steps=(2, 2)):
        self.args, self.during, self.told = found.arguments, during, []
        self.state = SimpleNamespace(global_step=steps[0], max_steps=steps[1], log_history=[])
        self.callbacks = []

    def is_world_process_zero(self):
        return True

    def add_callback(self, callback):
        self.callbacks.append(callback)

    def train(self, resume_from_checkpoint):
        self.told.append(f"train from {resume_from_checkpoint and Path(resume_from_checkpoint).name}")
        self.there = sorted(path.name for path in Path(self.args.output_dir).iterdir())
        self.during(self)
        return SimpleNamespace(metrics={"train_loss": 0.5})

    def save_model(self, _internal_call):
        self.told.append("save")

    def save_state(self):
        self.told.append("state")

    def evaluate(self):
        self.told.append("evaluate")
        return {"eval_loss": 2.0}


@pytest.fixture
def prepared(tmp_path):
    """`prepared(resume=True, arguments={...}, ...)`: a fine-tune that is ready to begin."""

    def make(held_out=None, quiet=True, arguments=(), statistics=None, assumed=(), **options):
        given = make_arguments(output_dir=str(tmp_path / "run"), use_cpu=True, **dict(arguments))
        data = RunData(range(8), held_out, statistics, [], [], None, 8, list(assumed))
        options = FinetuneOptions(model="base", dataset="data", **options)
        return Finetuning(options, given, "model", ["groups"], "processor", data, "collator", "first", quiet)

    return make


@pytest.fixture
def cards(monkeypatch):
    """The figures that cards were written with, by the steps that were done."""
    found = []
    monkeypatch.setattr(finetune, "write_run_card", lambda run, steps, figures: found.append((steps, figures)))
    return found


@pytest.fixture
def ran(monkeypatch, cards):
    """`ran(found, ...)` -> the `Idle` Trainer that has trained."""

    def run(found, **behaviour):
        Path(found.arguments.output_dir).mkdir(exist_ok=True)  # a Trainer makes it
        run.trainer = Idle(found, **behaviour)
        monkeypatch.setattr(finetune, "make_trainer", lambda _: run.trainer)
        return run_finetuning(found)

    return run


def checkpoint(folder, step, epoch=1.0):
    (made := Path(folder) / f"checkpoint-{step}").mkdir(parents=True)
    (made / "trainer_state.json").write_text(json.dumps({"epoch": epoch, "log_history": []}))
    return made


# ---- what comes before it

LOOKS = ["check_finetune", "check_is_ours", "check_own_classes", "check_learnable", "check_settled"]
ORDER = [*LOOKS, "read_frames", "settle_data", "set_seed", "load_model", "apply_data", "collator_of"]
ORDER += ["with_what_trains", "first_pass"]
LAST = {"read_frames": ("frames", None), "with_what_trains": ("model", ["groups"]), "first_pass": "first"}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(("process", "quiet", "bars"), [(0, False, True), (0, True, False), (1, False, False)])
def test_a_run_is_looked_at_before_its_model_is_loaded_and_its_weights_are_drawn_by_its_seed(
    resume, process, quiet, bars, monkeypatch, tmp_path
):
    given = make_arguments(output_dir=str(tmp_path), use_cpu=True, seed=5)
    monkeypatch.setattr(type(given), "process_index", process)
    (tmp_path / "dataset_statistics.json").write_text("{}")
    data = RunData([7], None, None, [], [], None, 1)
    returned = {**LAST, "settle_data": data, "collator_of": list, "load_model": SimpleNamespace(config="its config")}
    asked = {}
    for name in [*ORDER, "check_resumed", "chooses_experts"]:
        note = lambda *words, name=name: asked.update({name: words}) or returned.get(name)  # noqa: E731
        monkeypatch.setattr(finetune, name, note)
    for loader in (finetune.AutoConfig, finetune.AutoProcessor):
        monkeypatch.setattr(loader, "from_pretrained", lambda place: f"of {place}")
    found = finetune.prepare_finetuning(FinetuneOptions("base", "data", resume=resume), given, quiet)
    order = [LOOKS[0], *["check_resumed"] * resume, *ORDER[1:], "chooses_experts"]
    assert list(asked) == order and asked["set_seed"] == (5,)
    begun_with = tmp_path / "dataset_statistics.json" if resume else None
    assert asked["settle_data"][-3:] == (quiet or process > 0, bars, begun_with)
    assert asked["apply_data"][0] == "its config" and asked["first_pass"] == ("model", [7])
    assert (found.quiet, found.first, found.groups, found.data) == (quiet, "first", ["groups"], data)


# ---- the course


def test_a_run_is_recorded_trained_saved_and_measured(prepared, ran, cards):
    trainer = ran(prepared(held_out=range(3), statistics={"kitchen": {}}))
    assert trainer.there == ["dataset_statistics.json", RECORD]
    assert trainer.told == ["train from None", "save", "state", "evaluate"]
    assert cards == [(2, {"train_loss": 0.5, "eval_loss": 2.0})]
    assert ran(prepared()).told == ["train from None", "save", "state"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_goes_on_from_its_last_checkpoint_only_where_it_is_told_to(prepared, ran, resume, tmp_path, capsys):
    checkpoint(tmp_path / "run", 4), checkpoint(tmp_path / "run", 12)
    trainer = ran(prepared(resume=resume, quiet=False))
    assert trainer.told[0] == ("train from checkpoint-12" if resume else "train from None")
    assert ("going on from" in capsys.readouterr().out) is resume
    ran(prepared(resume=resume, quiet=True))
    assert capsys.readouterr().out == ""


def test_a_run_that_has_no_checkpoint_says_that_it_begins(prepared, ran, tmp_path, capsys):
    ran(prepared(resume=True, quiet=False))
    assert f"{tmp_path / 'run'} has no checkpoint: from the beginning" in capsys.readouterr().out
    assert going_on(None, True, "run") == "run has no checkpoint: from the beginning"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_former_run_goes_before_the_next_is_recorded_and_only_where_that_was_asked_for(
    prepared, ran, overwrite, tmp_path
):
    checkpoint(tmp_path / "run", 4)
    trainer = ran(prepared(arguments={"overwrite_output_dir": overwrite}, resume=not overwrite))
    assert trainer.there == [*(["checkpoint-4"] if not overwrite else []), RECORD]


# ---- interrupts


def ask(trainer):
    trainer.callbacks[0].asked = True


@pytest.mark.parametrize("saved", [False, True])
def test_a_run_that_was_interrupted_says_what_is_saved_and_saves_nothing_more(prepared, ran, cards, saved, tmp_path):
    if saved:
        checkpoint(tmp_path / "run", 3)
    said = r"after step 3; .*checkpoint-3 is saved" if saved else r"in step 4; no checkpoint was saved"

    def end(trainer):
        raise KeyboardInterrupt

    for during in (end, ask):
        with pytest.raises(KeyboardInterrupt, match=f"interrupted {said}"):
            ran(prepared(), during=during, steps=(3, 9))
        assert ran.trainer.told == ["train from None"] and cards == []


def test_a_run_that_was_interrupted_in_its_last_step_is_done(prepared, ran, cards):
    assert ran(prepared(), during=ask, steps=(9, 9)).told == ["train from None", "save", "state"]
    assert cards == [(9, {"train_loss": 0.5})]


# ---- the Trainer


@pytest.fixture
def made(monkeypatch):
    """`made(found)` -> the arguments of the Trainer, and what was removed from it."""

    def make(found):
        removed, given = [], []

        class Trainer:
            def __init__(self, *positional, **named):
                given.append((positional, named))

            remove_callback = staticmethod(removed.append)

        monkeypatch.setattr(finetune, "VLATrainer", Trainer)
        make_trainer(found)
        return *given[0], removed

    return make


@pytest.mark.parametrize("text", [{}, {"learn_text": True}, {"trajectory_text": True}, {"train": "vlm"}], ids=str)
def test_a_trainer_measures_what_is_held_out_and_weighs_text_where_it_is_learnt(prepared, made, text):
    found = prepared(held_out=range(3), text_weight=0.25, **text)
    given, more, _ = made(found)
    assert given == ("model", found.arguments, "collator", range(8), range(3), "processor")
    weights = {"loss_weights": {"text": 0.25}} if text else {}
    assert more == {"groups": ["groups"], "predict_in_evaluation": True, **weights}


@pytest.mark.parametrize("quiet", [False, True])
def test_a_quiet_trainer_prints_no_figures(prepared, made, quiet):
    assert made(prepared(quiet=quiet))[2] == [PrinterCallback] * quiet


# ---- what is said, and what it began with


@pytest.mark.parametrize("lora", [False, True])
def test_what_was_assumed_is_said_behind_the_tables(prepared, monkeypatch, lora):
    names = ("view_table", "statistics_table", "parts_table", "memory_table", "settings_table")
    asked, whole = {}, SimpleNamespace(config="its config")
    for name in names:
        monkeypatch.setattr(finetune, name, lambda *given, name=name: asked.update({name: given}) or Table(name))
    monkeypatch.setattr(finetune, "memory_estimate", lambda *given: given)
    for assumed in ([], ["views: all"]):
        found = prepared(assumed=assumed)
        found.model = SimpleNamespace(get_base_model=lambda: whole) if lora else whole
        found.groups, found.first = None if lora else ["groups"], SimpleNamespace(activation_bytes=7, loss=0.5)
        tables = overview_of(found)
        assert [table.title for table in tables] == [*names, *(["assumed"] if assumed else [])]
        assert not assumed or tables[-1].rows == [("views: all",)]
        assert asked["statistics_table"][1] == "its config" and asked["settings_table"][-1] == 0.5
        assert asked["memory_table"] == ((found.model, found.arguments, 7),)


def test_a_run_that_began_without_statistics_goes_on_without_them(tmp_path):
    assert statistics_of(tmp_path) is None
    (tmp_path / "dataset_statistics.json").write_text("{}")
    assert statistics_of(tmp_path) == tmp_path / "dataset_statistics.json"
