"""What is said of a run before and behind it: its settings, its parts, its options; and what its first pass needs."""

import dataclasses
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from fresh_python import in_fresh_python
from torch import nn
from transformers import Trainer, TrainerState

from vlahub import MultimodalVLAConfig
from vlahub.configuration.checkpoint_card import stamped
from vlahub.configuration.normalization_statistics import STATE_PART
from vlahub.errors import InputError
from vlahub.training import finetuning, precision, whole_file
from vlahub.training.finetuning import run_model
from vlahub.training.finetuning.arguments import check_finetune, make_arguments, order_of
from vlahub.training.finetuning.finetune import going_on, write_beginning
from vlahub.training.finetuning.options import STRATEGIES, TRAINING_DEFAULTS, FinetuneOptions
from vlahub.training.finetuning.overview import in_bytes, settings_of, statistics_table
from vlahub.training.finetuning.run_card import figures_of
from vlahub.training.finetuning.run_data import RunData
from vlahub.training.finetuning.run_model import first_pass
from vlahub.training.finetuning.run_record import RECORD, check_resumed, write_record
from vlahub.training.finetuning.trained_parts import PartCount, trained_parts
from vlahub.training.finetuning.unread_options import check_kind, check_read
from vlahub.training.run_folder import check_run_folder, clear_run_folder
from vlahub.training.trainer import VLATrainer

IS_VERSION_5 = not transformers.__version__.startswith("4.")


@pytest.fixture
def arguments(tmp_path):
    """`arguments(**given)`, as a fine-tune has them."""
    return lambda **given: make_arguments(output_dir=str(tmp_path / "run"), use_cpu=True, **given)


def options_of(**given):
    return FinetuneOptions(model="base", dataset="data", **given)


def data_of(**given):
    known = {"examples": range(1200), "held_out": None, "statistics": None, "images": [], "views": [], "state": None}
    return RunData(**known | {"rows": 1200} | given)


# ---- settings


class OnDevices(SimpleNamespace):
    """Arguments as they are in each of several processes."""

    def __init__(self, arguments, count):
        super().__init__(
            **{f.name: getattr(arguments, f.name) for f in dataclasses.fields(arguments)}, world_size=count
        )


def test_a_step_counts_the_examples_of_all_devices(arguments):
    given = arguments(per_device_train_batch_size=3, gradient_accumulation_steps=2)
    assert settings_of(data_of(), options_of(), given)["examples of a step"].startswith("6 (3 a device, 2 accum")
    found = settings_of(data_of(), options_of(), OnDevices(given, 4))["examples of a step"]
    assert found == "24 (3 a device, 2 accumulated, 4 devices)"


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        ({"max_steps": 50, "num_train_epochs": 2}, "steps", "50"),
        ({"num_train_epochs": 2.5}, "steps", "2.5 epochs"),
        ({"bf16": True}, "precision", "bf16"),
        ({}, "precision", "that of the weights (float16)"),
        ({"warmup_steps": 7, "learning_rate": 2e-4}, "learning rate", "0.0002, linear, warm-up 7"),
        ({"seed": 5}, "seed", "5"),
    ],
)
def test_settings_are_those_that_hold(arguments, given, name, said):
    assert str(settings_of(data_of(), options_of(dtype="float16"), arguments(**given))[name]) == said


def test_what_is_given_wins_over_the_defaults(arguments):
    default = arguments()
    assert all(getattr(default, name) == value for name, value in TRAINING_DEFAULTS.items() if name != "report_to")
    assert (arguments(learning_rate=0.25).learning_rate, arguments(save_total_limit=9).save_total_limit) == (0.25, 9)


def test_dimensions_are_shown_with_their_own_names_numbers_and_mask(tmp_path):
    (tmp_path / "meta").mkdir()
    features = '{"features": {"act": {"names": ["x", "grip"]}, "pose": {"names": ["knee", "hip"]}}}'
    (tmp_path / "meta/info.json").write_text(features)
    numbers = {"q01": [-1.0, 0.0], "q99": [2.0, 4.0]}
    statistics = {
        "a": {"action": {**numbers, "mask": [True, False]}, STATE_PART: {"q01": [3.0, 5.0], "q99": [6.0, 7.0]}}
    }
    options = dataclasses.replace(options_of(), dataset=str(tmp_path), action=["act"])
    config = SimpleNamespace(normalization_type="bounds_q99")
    table = statistics_table(data_of(statistics=statistics, state=["pose"]), config, options)
    assert [tuple(row) for row in table.rows] == [
        ("action", "x", "-1", "2", "normalised"),
        ("action", "grip", "0", "4", "passes unchanged"),
        ("state", "knee", "3", "6", "normalised"),
        ("state", "hip", "5", "7", "normalised"),
    ]


@pytest.mark.parametrize(
    ("count", "said"), [(999, "999 B"), (1000, "1 kB"), (1.5e9, "1.5 GB"), (2e12, "2 TB"), (3e15, "3e+03 TB")]
)
def test_bytes_are_counted_by_thousands(count, said):
    assert in_bytes(count) == said


# ---- figures


def test_figures_of_a_run_that_was_gone_on_with_are_of_all_of_its_steps():
    history = [{"step": 2, "loss": 4.0}, {"step": 2, "eval_loss": 9.0}, {"step": 6, "loss": 1.0}]
    measured = {"train_loss": 0.0, "train_runtime": 1.0, "total_flos": 5.0, "eval_loss": 9.0}
    last = {"last loss that was logged": 1.0}
    assert figures_of(measured, history, resumed=False) == measured | last
    gone_on = {"total_flos": 5.0, "eval_loss": 9.0, "train_loss": (2 * 4.0 + 4 * 1.0) / 6} | last
    assert figures_of(measured, history, resumed=True) == gone_on
    assert figures_of(measured, [], resumed=True) == {"total_flos": 5.0, "eval_loss": 9.0}


# ---- parts


class Base(nn.Module):
    pretrained_parts = ("language_model",)
    added_parts = ("film",)

    def __init__(self):
        super().__init__()
        self.language_model = nn.ModuleDict({"a": nn.Linear(4, 5), "film": nn.Linear(4, 2), "vision": nn.Linear(3, 3)})
        self.head = nn.Linear(2, 2)


class Params4bit(nn.Parameter):
    """Two numbers a byte."""


def test_parts_are_counted_by_what_trains_of_them():
    base = Base()
    base.language_model.requires_grad_(False)
    base.language_model["a"].lora_A = nn.Linear(4, 1, bias=False)
    base.language_model["a"].original_module = nn.Linear(4, 5)  # a frozen copy
    base.language_model["film"].requires_grad_(True)
    base.language_model["vision"].weight = Params4bit(torch.zeros(3, 3), requires_grad=False)
    base.head.bias.requires_grad_(False)
    found = {part.name: (part.parameters, part.trained, part.how) for part in trained_parts(base)}
    assert found == {
        "language_model": (25 + 4, 4, "LoRA"),
        "language_model: film": (10, 10, "whole"),
        "language_model: vision": (18 + 3, 0, "frozen"),
        "head": (6, 4, "in part"),
    }


@pytest.mark.parametrize(
    ("counts", "how"),
    [
        ((10, 0, 0), "frozen"),
        ((10, 4, 4), "LoRA"),
        ((10, 10, 0), "whole"),
        ((10, 6, 0), "in part"),
        ((10, 10, 4), "LoRA, and whole"),
        ((10, 6, 4), "LoRA, and in part"),
    ],
)
def test_how_a_part_trains_in_words(counts, how):
    assert PartCount("head", *counts).how == how


def test_what_a_backward_pass_needs_is_counted_once_and_without_the_weights(monkeypatch):
    monkeypatch.setattr(run_model, "loss_of_batch", lambda model, batch: model(batch["x"]))
    monkeypatch.setattr(run_model, "freeze_outside", lambda model, loss: None)

    class Twice(nn.Linear):
        def forward(self, x):
            return (super().forward(x) * super().forward(x)).sum()

    x = torch.randn(6, 10, requires_grad=True)
    found = first_pass(Twice(10, 7), {"x": x})
    assert found.activation_bytes == x.nbytes + 2 * (6 * 7 * 4)


# ---- what is refused, and what is gone on with


@pytest.mark.parametrize("train", STRATEGIES)
def test_weights_in_4_bits_are_for_lora_alone(arguments, train):
    options = options_of(train=train, quantize=True)
    if train == "lora":
        check_finetune(options, arguments())
    else:
        with pytest.raises(InputError, match="weights in 4 bits do not train"):
            check_finetune(options, arguments())


def test_checkpointing_is_never_reentrant_and_else_as_it_was_asked_for(arguments):
    for asked in (None, {"preserve_rng_state": False}, {"preserve_rng_state": False, "use_reentrant": True}):
        given = arguments(gradient_checkpointing=True, gradient_checkpointing_kwargs=asked)
        check_finetune(options_of(), given)
        wanted = {"use_reentrant": False} | ({"preserve_rng_state": False} if asked else {})
        old = given.gradient_checkpointing_kwargs
        assert getattr(given, "activation_checkpointing_kwargs", old) == wanted  # what each line's Trainer reads


@pytest.mark.parametrize("launched", [None, "bf16"])
def test_a_run_computes_in_the_precision_that_it_was_given_whatever_the_one_before_it_had(
    arguments, launched, monkeypatch
):
    monkeypatch.setattr(precision, "LAUNCHED_PRECISION", launched)
    found = []
    for given in ({}, {"bf16": True}, {}):
        trainer = Trainer(nn.Linear(1, 1), arguments(**given))
        found.append(trainer.accelerator.mixed_precision)
    assert found == [launched or "no", "bf16", launched or "no"]


@pytest.mark.parametrize("given", [{}, {"bf16": True}, {"fp16": True}])
def test_a_precision_that_somebody_else_put_into_the_environment_is_not_thrown_away(arguments, given, monkeypatch):
    arguments(fp16=False)
    monkeypatch.setenv(precision.PRECISION, "bf16")
    monkeypatch.setattr(precision, "LAUNCHED_PRECISION", None)
    if given:
        trainer = Trainer(nn.Linear(1, 1), arguments(**given))
        assert trainer.accelerator.mixed_precision == next(iter(given))
    else:
        with pytest.raises(InputError, match=r"ACCELERATE_MIXED_PRECISION=bf16.*bf16=True"):
            arguments()


@pytest.mark.parametrize("first", [False, True])
def test_a_trainer_that_would_compute_in_the_precision_of_other_arguments_is_refused(arguments, first):
    """accelerate has one for all of a process; on 5.x it refuses another one itself."""
    made = [arguments(bf16=first), arguments(bf16=not first)]
    found = []
    for given in made:
        try:
            trainer = Trainer(nn.Linear(1, 1), given)
            precision.check_precision(trainer)
            found.append(trainer.accelerator.mixed_precision == ("bf16" if given.bf16 else "no"))
        except ValueError:
            with pytest.raises(ValueError, match=r"mixed.precision"):
                VLATrainer(nn.Linear(1, 1), given)
    assert len(found) < 2 and all(found)


@pytest.mark.parametrize("given", [{}, {"bf16": True}, {"fp16": True}])
@pytest.mark.parametrize("computes", ["no", "bf16", "fp16"])
def test_a_trainer_computes_in_the_precision_of_its_arguments(given, computes):
    settings = {"args": SimpleNamespace(**{"bf16": False, "fp16": False} | given), "is_deepspeed_enabled": False}
    trainer = SimpleNamespace(accelerator=SimpleNamespace(mixed_precision=computes), **settings)
    if computes == next(iter(given), "no"):
        precision.check_precision(trainer)
    else:
        with pytest.raises(InputError, match=f"computes in '{computes}', that of other"):
            precision.check_precision(trainer)


@pytest.mark.parametrize("epoch", [2, 2.5])
@pytest.mark.parametrize("augment", [False, True])
def test_a_run_that_goes_on_says_where_its_images_change_otherwise(epoch, augment, tmp_path):
    TrainerState(epoch=epoch).save_to_json(str(tmp_path / "trainer_state.json"))
    said = going_on(str(tmp_path), augment, "run")
    assert said.startswith(f"going on from {tmp_path}")
    assert ("--augment changes the images" in said) == (augment and epoch == 2.5)


@pytest.mark.parametrize("when", ["steps", "epoch"])
def test_an_evaluation_needs_episodes(arguments, when):
    given = arguments(eval_strategy=when)
    with pytest.raises(InputError, match="needs data to evaluate with"):
        check_finetune(options_of(), given)
    check_finetune(options_of(eval_episodes=0.5), given)


def changed(value):
    if isinstance(value, list):
        return [*value, 7]
    return not value if isinstance(value, bool) else f"{value}x" if isinstance(value, str | None) else value + 1


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(FinetuneOptions)])
def test_a_run_goes_on_with_every_option_that_it_was_begun_with(arguments, name):
    options = options_of()
    write_record(options, arguments())
    check_resumed(options, arguments())
    other = dataclasses.replace(options, **{name: changed(getattr(options, name))})
    if name == "resume":
        check_resumed(other, arguments())
    else:
        for begun, now in ((options, other), (other, options)):  # given later, and left out later
            write_record(begun, arguments())
            with pytest.raises(InputError, match=f"--{name} was .* and is "):
                check_resumed(now, arguments())


OTHER_COURSES = [
    {"learning_rate": 1e-3},
    {"lr_scheduler_type": "constant"},
    {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
    {"warmup_steps": 3},
    {"optim": "adafactor"},
    {"optim": "adafactor", "optim_args": "clip_threshold=2.0"},
    {"adam_beta1": 0.5},
    {"adam_beta2": 0.5},
    {"adam_epsilon": 1e-3},
    {"weight_decay": 0.1},
    {"max_grad_norm": float("inf")},
    {"per_device_train_batch_size": 3},
    {"gradient_accumulation_steps": 2},
    {"dataloader_drop_last": True},
    {"seed": 7},
    {"data_seed": 7},
    {"bf16": True},
    {"neftune_noise_alpha": 5.0},
    {"ignore_data_skip": True},
    {"accelerator_config": {"split_batches": True}},
    {"accelerator_config": {"even_batches": False}},
]
IN_ORDER = {"train_sampling_strategy": "sequential"} if IS_VERSION_5 else {"group_by_length": True}


@pytest.mark.every_case
@pytest.mark.parametrize("given", OTHER_COURSES, ids=str)
def test_a_run_goes_on_by_the_arguments_that_its_checkpoint_has(arguments, given):
    """The optimiser's are the checkpoint's, whatever is asked for, and other examples would be held out."""
    before, asked = {"optim": "adamw_torch"}, {**{"optim": "adamw_torch"}, **given}
    if "lr_scheduler_kwargs" in given:
        before["lr_scheduler_type"] = given["lr_scheduler_type"]
    if "optim_args" in given:
        before["optim"] = given["optim"]
    write_record(options_of(), arguments(**before))
    check_resumed(options_of(), arguments(**before))
    with pytest.raises(InputError, match=rf"cannot go on with other options: --{list(given)[-1]}\b.* was [^,]*$"):
        check_resumed(options_of(), arguments(**asked))
    write_record(options_of(), arguments(**asked))
    check_resumed(options_of(), arguments(**asked))


def test_a_run_goes_on_in_the_order_of_examples_that_it_was_begun_with_and_says_which(arguments):
    word = next(iter(IN_ORDER.values())) if IS_VERSION_5 else "group_by_length"
    write_record(options_of(), arguments())
    with pytest.raises(InputError, match=f"--train_sampling_strategy was 'random' and is '{word}'"):
        check_resumed(options_of(), arguments(**IN_ORDER))
    write_record(options_of(), arguments(**IN_ORDER))
    check_resumed(options_of(), arguments(**IN_ORDER))
    assert settings_of(data_of(), options_of(), arguments(**IN_ORDER))["order of the examples"] == word
    assert "order of the examples" not in settings_of(data_of(), options_of(), arguments())


def test_a_share_of_the_steps_to_warm_up_is_of_the_course_by_the_name_that_4_57_has_for_it(arguments):
    before, asked = OnDevices(arguments(), 1), OnDevices(arguments(), 1)
    before.warmup_ratio, asked.warmup_ratio = None, 0.1
    write_record(options_of(), before)
    with pytest.raises(InputError, match=r"--warmup_steps was 0 and is 0\.1\."):
        check_resumed(options_of(), asked)


def test_what_either_line_has_where_no_schedule_is_described_is_the_same_course(arguments):
    before, now = OnDevices(arguments(), 1), OnDevices(arguments(), 1)
    before.lr_scheduler_kwargs, now.lr_scheduler_kwargs = {}, None
    for begun, gone_on in ((before, now), (now, before)):
        write_record(options_of(), begun)
        check_resumed(options_of(), gone_on)
    now.lr_scheduler_kwargs = {"num_cycles": 2}
    with pytest.raises(InputError, match=r"--lr_scheduler_kwargs was \{\} and is \{'num_cycles': 2\}"):
        check_resumed(options_of(), now)


@pytest.mark.parametrize("steps, ratio, shown", [(0, 0.1, "0.1"), (0.1, None, "0.1"), (5, None, "5"), (0, None, "0")])
def test_steps_and_shares_to_warm_up_are_shown_by_the_name_of_either_line(arguments, steps, ratio, shown):
    given = OnDevices(arguments(), 1)
    given.warmup_steps, given.warmup_ratio = steps, ratio
    assert settings_of(data_of(), options_of(), given)["learning rate"].endswith(f"warm-up {shown}")


@pytest.mark.parametrize(("given", "word"), [({}, "random"), ({"group_by_length": True}, "group_by_length")])
def test_the_order_of_examples_is_told_by_one_word_on_both_lines(given, word):
    assert order_of(SimpleNamespace(**given)) == word
    assert order_of(SimpleNamespace(**given, train_sampling_strategy="sequential")) == "sequential"


def test_how_long_a_run_is_what_it_reports_and_on_how_many_devices_may_change(arguments):
    write_record(options_of(), OnDevices(arguments(gradient_accumulation_steps=2, max_steps=4), 2))
    given = {"max_steps": 9, "save_steps": 3, "logging_steps": 1, "eval_steps": 2, "save_total_limit": 7}
    check_resumed(options_of(), arguments(gradient_accumulation_steps=4, **given))
    with pytest.raises(InputError, match="--gradient_accumulation_steps times processes was 4 and is 2"):
        check_resumed(options_of(), arguments(gradient_accumulation_steps=2, **given))


def test_a_record_of_an_earlier_release_says_nothing_of_the_arguments(arguments, tmp_path):
    (folder := tmp_path / "run").mkdir()
    (folder / RECORD).write_text(json.dumps(dataclasses.asdict(options_of())))
    check_resumed(options_of(), arguments(learning_rate=1.0))
    (folder / RECORD).unlink()
    with pytest.raises(InputError, match="holds no run to go on with"):
        check_resumed(options_of(), arguments())
    (folder / "adapter_model.safetensors").touch()  # of a release that kept none
    check_resumed(options_of(), arguments(learning_rate=1.0))


@pytest.mark.parametrize("states", ["rng_state.pth", "rng_state_0.pth", None])
def test_a_run_whose_checkpoint_has_weights_alone_does_not_go_on(arguments, tmp_path, states):
    write_record(options_of(), arguments())
    (folder := tmp_path / "run/checkpoint-2").mkdir()
    for name in ("trainer_state.json", "adapter_model.safetensors", *([states] if states else [])):
        (folder / name).write_text("{}")
    if states:
        check_resumed(options_of(), arguments())
    else:
        with pytest.raises(InputError, match=r"checkpoint-2 has weights, but no state of the optimiser"):
            check_resumed(options_of(), arguments())


def test_what_describes_a_run_goes_with_it_and_what_somebody_wrote_stays(tmp_path):
    described = [
        "adapter_config.json",
        "config.json",
        "generation_config.json",
        "chat_template.jinja",
        "view_names.json",
        "base_weights.json",
    ]
    for name in [*described, "notes.txt"]:
        (tmp_path / name).write_text("")
    card = tmp_path / "README.md"
    card.write_text(stamped("---\n---\n\n# An adapter", MultimodalVLAConfig()))
    clear_run_folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 8  # nothing there is a run's
    for text, stays in ((card.read_text(), []), ("# My own words", ["README.md"])):
        for name in [*described, "model.safetensors"]:
            (tmp_path / name).write_text("")
        card.write_text(text)
        clear_run_folder(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [*stays, "notes.txt"]


ROBOT = SimpleNamespace(normalization_type="bounds", num_embodiments=1, state_size=8)
STATELESS = SimpleNamespace(**vars(ROBOT) | {"state_size": None})
CAR = SimpleNamespace(normalization_type=None)
UNREAD = [  # a model, an option that it leaves unread, and what is said
    (CAR, {"statistics": "a.json"}, "--statistics a.json: this model normalises by numbers of its own"),
    (CAR, {"unmasked_actions": [-1, 2]}, "--unmasked_actions -1 2: this model normalises by numbers of its own"),
    (CAR, {"action": ["left"]}, "--action left: a car's actions are its poses"),
    (CAR, {"repeat_last": True}, "--repeat_last True: a car's examples end"),
    (CAR, {"embodiment_column": "robot"}, "--embodiment_column robot: this model has one embodiment"),
    (CAR, {"answer": "said", "learn_text": True}, "--answer said: this model learns to write the column 'reasoning'"),
    (CAR, {"text_weight": 0.5}, "--text_weight 0.5: no text is learnt"),
    (ROBOT, {"answer": "answer"}, "--answer answer: no text is learnt"),
    (ROBOT, {"text_weight": 0.5}, "--text_weight 0.5: no text is learnt"),
    (ROBOT, {"embodiment_column": "robot"}, "--embodiment_column robot: this model has one embodiment"),
    (STATELESS, {"state": ["pose"]}, "--state pose: this model takes no"),
    (STATELESS, {"embodiment_column": "robot"}, "--embodiment_column robot: this model has one embodiment"),
]


@pytest.mark.parametrize(("config", "given", "message"), UNREAD, ids=lambda value: str(value)[:40])
def test_an_option_that_nothing_reads_is_refused(config, given, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_read(options_of(**given), config)
    check_read(options_of(), config)


READ_BY = {"rank": "lora", "alpha": "lora", "top_layers": "B", "backbone_lr_scale": "B and full"}
READ_BY |= {"vision_lr_scale": "vlm"}


@pytest.mark.parametrize("train", STRATEGIES)
@pytest.mark.parametrize("name", READ_BY)
def test_an_option_of_another_kind_of_training_is_refused_before_anything_is_read(arguments, name, train):
    options = options_of(train=train, **{name: getattr(options_of(), name) / 2})
    if train in READ_BY[name].split():
        check_finetune(options, arguments())
        return
    message = rf"--{name.replace('_', '-')} \S+ is for --train {READ_BY[name]}, not for --train {train}"
    with pytest.raises(InputError, match=message):
        check_finetune(options, arguments())


def test_an_option_of_another_kind_of_training_is_refused_with_the_value_that_it_has_anyway():
    """Where it is known that it was given, as of a command line."""
    with pytest.raises(InputError, match="--rank 32 is for --train lora"):
        check_kind("full", {"rank": FinetuneOptions.rank})
    with pytest.raises(InputError, match="--backbone-lr-scale 0 is for --train B and full"):
        check_kind("lora", {"backbone_lr_scale": 0})
    check_kind("full", {"backbone_lr_scale": FinetuneOptions.backbone_lr_scale})


def test_options_that_a_model_reads_are_taken():
    robots = SimpleNamespace(**{**vars(ROBOT), "num_embodiments": 2})
    given = {"embodiment_column": "robot", "answer": "said", "text_weight": 0.5, "learn_text": True, "state": ["pose"]}
    check_read(options_of(**given, statistics="a.json", unmasked_actions=[1], action=["a"], repeat_last=True), robots)
    check_read(options_of(text="request", state=["pose"], text_weight=0.5, trajectory_text=True), CAR)
    check_read(options_of(train="vlm", text_weight=0.5), CAR)


def test_statistics_of_a_replaced_run_go_where_the_new_one_has_none(arguments, tmp_path):
    file = tmp_path / "run/dataset_statistics.json"
    for statistics in ({"kitchen": {}}, None):
        given = {"options": options_of(), "arguments": arguments(), "data": data_of(statistics=statistics)}
        write_beginning(SimpleNamespace(**given))
        assert file.is_file() == bool(statistics)


@pytest.mark.parametrize("name", [RECORD, "dataset_statistics.json"])
def test_a_run_that_is_killed_while_it_writes_its_records_keeps_those_that_it_had(arguments, name, monkeypatch):
    given = {"options": options_of(), "arguments": arguments(), "data": data_of(statistics={"kitchen": {}})}
    write_beginning(SimpleNamespace(**given))
    folder = Path(given["arguments"].output_dir)
    before = (folder / name).read_text()
    write = Path.write_text

    def write_half(path, text, *args, **kwargs):
        if name not in path.name:
            return write(path, text, *args, **kwargs)
        write(path, text[: len(text) // 2], *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(KeyboardInterrupt):
        write_beginning(SimpleNamespace(**given))
    assert (folder / name).read_text() == before
    assert sorted(path.name for path in folder.iterdir()) == ["dataset_statistics.json", RECORD]


def test_every_text_of_a_run_is_written_whole():
    files = Path(finetuning.__file__).parents[1].rglob("*.py")
    direct = {file.name for file in files if ".write_text(" in file.read_text()}
    assert direct == {Path(whole_file.__file__).name}


RESULTS = ["adapter_model.safetensors", "adapter_model.bin", "model.safetensors", "model-00001-of-00002.safetensors"]
RESULTS += ["model.safetensors.index.json", "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "checkpoint-3"]


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_of_a_run_is_seen_and_goes_when_it_is_replaced(tmp_path, name):
    kept = tmp_path / "notes.txt"
    for path in (tmp_path / name / "inside" if name.startswith("checkpoint") else tmp_path / name, kept):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    with pytest.raises(InputError, match=f"holds a run .{name}"):
        check_run_folder(tmp_path, resume=False, overwrite=False)
    check_run_folder(tmp_path, resume=False, overwrite=True)
    clear_run_folder(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


LATE = """
import os, vlahub
os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"  # as other TrainingArguments leave it on 4.57
from vlahub.errors import InputError
from vlahub.finetuning import FinetuneArguments
try:
    FinetuneArguments(output_dir="run", use_cpu=True)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("launched", [False, True])
def test_what_was_there_when_vlahub_was_imported_is_the_launched_precision(launched, tmp_path):
    env = {name: value for name, value in os.environ.items() if name != precision.PRECISION}
    if launched:
        env[precision.PRECISION] = "bf16"
    done = in_fresh_python(["-c", LATE], env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("ACCELERATE_MIXED_PRECISION=bf16 was put into the environment" in done.stdout) is not launched
