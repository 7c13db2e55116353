"""The script of the examples: strategies, resuming after a kill, precision, checkpointing, and what it leaves."""

import json
import os
import re
import shutil
import signal
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from fresh_python import in_fresh_python
from huggingface_hub import HfApi
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments

from vlahub.conversion.cli import main as vlahub_command
from vlahub.conversion.families import OURS
from vlahub.data import hold_out_episodes, load_frames
from vlahub.errors import InputError, NonFiniteError
from vlahub.training.finetuning.arguments import make_arguments
from vlahub.training.finetuning.finetune import prepare_finetuning
from vlahub.training.finetuning.options import STATE, FinetuneOptions
from vlahub.training.finetuning.run_data import read_frames
from vlahub.training.statistics import run_statistics

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = ["--per_device_train_batch_size=4", "--logging_steps=1", "--disable_tqdm=True", "--use_cpu=True"]


KILLED_IN_ITS_MIDDLE = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
import finetune
from vlahub.training.trainer import VLATrainer

step = VLATrainer.training_step

def killed(self, *arguments, **options):
    if self.state.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments, **options)

VLATrainer.training_step = killed
finetune.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def finetune():
    """`finetune.main`."""
    sys.path.insert(0, str(EXAMPLES))
    import finetune as script

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield script.main
    torch.set_num_threads(threads)
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def table(finetune, tmp_path_factory):
    """Four episodes of two frames."""
    from tiny_dataset import write_dataset

    write_dataset(folder := tmp_path_factory.mktemp("data") / "table", episodes=4, frames=2)
    return folder


@pytest.fixture(scope="module")
def road(finetune, tmp_path_factory):
    """Two drives."""
    from tiny_driving_dataset import write_driving_dataset

    write_driving_dataset(folder := tmp_path_factory.mktemp("data") / "road", episodes=2)
    return folder


@pytest.fixture(params=OURS)
def family(request):
    return request.param


@pytest.fixture
def dataset(family, table, road):
    return road if family == "alpamayo_r1" else table


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("strategy", ["A", "B", "full"])
def test_every_strategy_trains_what_it_says_and_leaves_a_whole_checkpoint(
    finetune, family, dataset, strategy, tmp_path
):
    options = ["--train", strategy, "--max_steps", "2", "--save_strategy", "no"]
    options += ["--top_layers", "1"] if strategy == "B" else []
    options += ["--adam_beta2", "0.9", "--learning_rate", "1e-3", "--lr_scheduler_type", "constant"]
    sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path)]
    trainer = finetune([*sources, *options, *QUICK])
    assert np.isfinite(losses(trainer)).all()
    groups = trainer.optimizer.optimizer.param_groups
    assert [group["lr"] for group in groups] == [1e-3, *[1e-4] * (strategy != "A")]
    assert {group["betas"] for group in groups} == {(0.9, 0.9)}
    saved = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    before = AutoModelForImageTextToText.from_pretrained(tmp_path / "tiny_model")
    trained = dict(trainer.model.named_parameters())
    moved = set()
    for (name, new), old in zip(saved.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(new, trained[name])
        moved |= {name} if not torch.equal(new, old) else set()
    assert moved <= {name for name, parameter in trained.items() if parameter.requires_grad}
    pretrained = ("backbone.", "geometric_model.", "language_model.", "vision_backbone.", "vision_tower.", "vlm.")
    inside = {name for name in moved if name.startswith(pretrained)}
    layers = {name for name in inside if ".layers." in name and not name.startswith(("vision", "geometric"))}
    if strategy == "A":
        assert all(any(part in name for part in ("film", "aggregation", "router")) for name in inside)
    assert bool(layers - {n for n in layers if "router" in n}) is (strategy != "A")
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert saved.config.view_names and saved.config.view_names == processor.view_names
    if family != "alpamayo_r1":
        statistics = json.loads((tmp_path / "dataset_statistics.json").read_text())
        assert saved.config.norm_stats == processor.norm_stats == statistics
        assert list(statistics) == ["table"]


def moved(folder, before):
    """Names of the parameters that differ between two saved models."""
    pairs = zip(
        *(AutoModelForImageTextToText.from_pretrained(each).named_parameters() for each in (folder, before)),
        strict=True,
    )
    return {name for (name, new), (_, old) in pairs if not torch.equal(new, old)}


def test_alpamayos_published_stages_follow_each_other(finetune, road, tmp_path):
    """From a Qwen3-VL to its start, then the VLM by text, then the expert; each leaves a checkpoint to go on from."""
    from tiny_alpamayo import TinyAlpamayo

    TinyAlpamayo(dtype=torch.float32).write_whole_base(tmp_path / "base")
    start = tmp_path / "start"
    options = ["--base", str(tmp_path / "base"), "--min-pixels", "1024", "--max-pixels", "8192", "--quiet"]
    options += ["--future-bins", "100", "--history-bins", "60"]
    assert vlahub_command(["create", "--family", "alpamayo_r1", *options, "--output", str(start)]) == 0
    steps = [
        *QUICK,
        "--dataset",
        str(road),
        "--max_steps",
        "4",
        "--save_strategy",
        "no",
        "--lr_scheduler_type=constant",
    ]
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    options = ["--model", str(start), "--train", "vlm", "--learning_rate", "1e-3", "--eval_episodes", "0.5"]
    trainer = finetune([*steps, *options, "--output_dir", str(first)])
    assert losses(trainer)[-1] < losses(trainer)[0]
    logged = trainer.state.log_history[0]
    assert logged["loss"] == pytest.approx(logged["lm_loss"] + logged["trajectory_lm_loss"], rel=1e-3)
    assert "eval_action_error" in trainer.state.log_history[-1] and "action_loss" not in logged
    changed = moved(first, start)
    assert changed and all(name.startswith("vlm.") for name in changed)
    assert {"vlm.lm_head.weight", "vlm.model.visual.patch_embed.proj.weight"} <= changed
    finetune([*steps, "--model", str(first), "--train", "A", "--output_dir", str(second)])
    changed = moved(second, first)
    assert changed and not any(name.startswith("vlm.") for name in changed)
    options = ["--train", "full", "--learn_text", "--trajectory_text", "--stop_grad_from_vlm", "False"]
    trainer = finetune([*steps, "--model", str(first), *options, "--output_dir", str(third)])
    assert {"action_loss", "lm_loss", "trajectory_lm_loss"} <= trainer.state.log_history[0].keys()
    changed = moved(third, first)
    assert any(name.startswith("vlm.") for name in changed) and any(name.startswith("expert.") for name in changed)
    assert not AutoModelForImageTextToText.from_pretrained(third).config.stop_grad_from_vlm


def test_all_experts_train_and_ddp_is_told_where_a_batch_does_not_reach_them_all(finetune, table, tmp_path):
    from tiny_models import write_model

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16, "vocab_size": 320}
    text = {"model_type": "qwen3_moe", "num_experts": 32, "num_experts_per_tok": 1, "moe_intermediate_size": 8, **sizes}
    write_model("multimodal_vla", tmp_path / "model", text_config={**text, "num_key_value_heads": 1})
    arguments = make_arguments(output_dir=str(tmp_path / "run"), use_cpu=True)
    options = FinetuneOptions(str(tmp_path / "model"), str(table), "full")
    found = prepare_finetuning(options, arguments, quiet=True)
    experts = {name: p for name, p in found.model.named_parameters() if ".experts." in name}
    assert experts and all(p.requires_grad for p in experts.values())
    assert arguments.ddp_find_unused_parameters is any(".experts.0." in name for name in experts)


def test_an_unread_option_is_refused_before_the_model_is_loaded(finetune, family, dataset, tmp_path, monkeypatch):
    sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path), *QUICK]
    monkeypatch.setattr("vlahub.training.finetuning.finetune.load_model", None)
    with pytest.raises(InputError, match=r"--text_weight 0\.5: no text is learnt"):
        finetune([*sources, "--text_weight", "0.5"])
    with pytest.raises(InputError, match="backbone_unfreeze_layers=99 must be between 1 and"):
        finetune([*sources, "--train", "B", "--top_layers", "99"])


def test_a_row_without_an_instruction_is_refused_before_statistics_are_computed(finetune, table, tmp_path, monkeypatch):
    frames = load_frames(table)
    told = ["", *frames["task"][1:]]
    frames.remove_columns("task").add_column("task", told).save_to_disk(tmp_path / "data")
    monkeypatch.setattr("vlahub.training.finetuning.run_data.run_statistics", None)
    sources = ["--model", "multimodal_vla", "--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "run")]
    with pytest.raises(InputError, match="column 'task' has no text in row 0: ''"):
        finetune([*sources, *QUICK, "--max_steps", "1"])


def test_a_model_that_would_learn_something_else_is_refused_before_it_is_loaded(finetune, table, tmp_path, monkeypatch):
    from tiny_models import write_model

    write_model("cogvla", tmp_path / "model", action_head="discrete", action_attention="causal")
    monkeypatch.setattr("vlahub.training.finetuning.finetune.load_model", None)
    arguments = make_arguments(output_dir=str(tmp_path / "run"), use_cpu=True)
    with pytest.raises(InputError, match="what is learnt would not be what is predicted"):
        prepare_finetuning(FinetuneOptions(str(tmp_path / "model"), str(table)), arguments, quiet=True)


def test_text_alone_is_refused_for_a_family_that_does_not_write_its_actions(finetune, table, tmp_path):
    sources = ["--model", "multimodal_vla", "--dataset", str(table), "--output_dir", str(tmp_path)]
    with pytest.raises(InputError, match="a multimodal_vla does not learn with learn_actions, learn_trajectory_text"):
        finetune([*sources, "--train", "vlm", *QUICK])


def test_bf16_gradient_checkpointing_and_augmentation(finetune, family, dataset, tmp_path):
    options = ["--bf16", "True", "--gradient_checkpointing", "True", "--augment", "--gradient_accumulation_steps", "2"]
    sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path)]
    trainer = finetune([*sources, *options, "--max_steps", "2", "--save_strategy", "no", *QUICK])
    assert np.isfinite(losses(trainer)).all()
    adapter = load_file(tmp_path / "adapter_model.safetensors")
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in adapter.values())


def test_checkpointing_changes_nothing(finetune, family, dataset, tmp_path):
    found = []
    for on in ("False", "True"):
        sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path / on)]
        options = ["--gradient_checkpointing", on, "--max_steps", "2", "--save_strategy", "no"]
        found.append(losses(finetune([*sources, *options, *QUICK])))
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize(("family", "step"), [("cogvla", 2), ("mapanything_llava3d", 2), ("mapanything_llava3d", 3)])
def test_a_killed_run_resumes_to_the_same_weights(finetune, family, step, table, tmp_path):
    """Killed for good while it trains; what it resumes from is a checkpoint at an epoch's end or in its middle."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sources = ["--model", family, "--dataset", str(table), *QUICK, "--max_steps", "6", f"--save_steps={step}"]
    finetune([*sources, "--output_dir", str(whole)])
    words = ["-c", KILLED_IN_ITS_MIDDLE, EXAMPLES, *sources, "--output_dir", killed]
    process = in_fresh_python(words, env=os.environ, cwd=tmp_path)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (killed / f"checkpoint-{step}").is_dir() and not (killed / "adapter_model.safetensors").exists()
    (killed / "checkpoint-5").mkdir(exist_ok=True)  # one that was being written: it is not taken
    finetune([*sources, "--output_dir", str(killed), "--resume"])
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (whole, killed))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=1e-7, msg=name)
    said = figures(killed)
    assert said["train_loss"] == pytest.approx(figures(whole)["train_loss"], abs=1e-3)
    finetune([*sources, "--output_dir", str(killed), "--resume"])  # there is nothing left to do
    assert figures(killed) == said


def figures(folder):
    """What the card of a run says of its losses."""
    card = (folder / "README.md").read_text()
    return {
        name: float(value) for name, value in re.findall(r"\| (train_loss|last loss[^|]*) \| ([0-9.e+-]+) \|", card)
    }


def test_what_is_pushed_is_the_folder_with_its_card(finetune, table, tmp_path, monkeypatch):
    pushed = []
    monkeypatch.setattr(Trainer, "init_hf_repo", lambda self, token=None: setattr(self, "hub_model_id", "you/run"))

    def push(*_, folder_path, **__):
        pushed.append({path.name: path.read_bytes() for path in Path(folder_path).iterdir() if path.is_file()})

    monkeypatch.setattr(HfApi, "upload_folder", push)
    monkeypatch.setattr("transformers.trainer.upload_folder", push, raising=False)  # of 4.57
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, name, revision=None: ["README.md"])
    for strategy in ("lora", "A"):
        out = tmp_path / strategy
        sources = ["--model", "multimodal_vla", "--dataset", str(table), "--output_dir", str(out), *QUICK]
        options = ["--train", strategy, "--max_steps", "1", "--save_strategy", "no", "--push_to_hub", "True"]
        finetune([*sources, *options, "--hub_model_id", "you/run"])
        [there] = pushed
        assert b"## How it was trained" in there["README.md"] and "trainer_state.json" in there
        assert there["README.md"] == (out / "README.md").read_bytes()
        pushed.clear()


FORMER = ["chat_template.jinja", "additional_chat_templates/tools.jinja", "added_tokens.json"]
OF_WEIGHTS = ["adapter_model.safetensors", "model-00001-of-00002.safetensors", "conversion_report.json"]


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize(("strategy", "stale"), [("lora", FORMER), ("A", [*FORMER, *OF_WEIGHTS])])
def test_what_a_former_run_left_in_a_repository_goes_with_a_push(
    finetune, table, tmp_path, monkeypatch, strategy, stale, blocking
):
    removed, answer = [], Future()
    monkeypatch.setattr(Trainer, "init_hf_repo", lambda self, **_: setattr(self, "hub_model_id", "you/run"))
    push = lambda *_, **__: answer  # noqa: E731
    monkeypatch.setattr(HfApi, "upload_folder", push)
    monkeypatch.setattr("transformers.trainer.upload_folder", push, raising=False)  # of 4.57
    there = ["notes.txt", "older/chat_template.jinja", *stale]
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, name, revision=None: there)
    commit = lambda self, name, operations, **_: removed.append([name, *(each.path_in_repo for each in operations)])  # noqa: E731
    monkeypatch.setattr(HfApi, "create_commit", commit)
    sources = ["--model", "multimodal_vla", "--dataset", str(table), "--output_dir", str(tmp_path), *QUICK]
    trainer = finetune([*sources, "--train", strategy, "--max_steps", "1", "--save_strategy", "no"])
    trainer.push_to_hub(blocking=blocking)
    assert bool(removed) == blocking
    answer.set_result(None)
    assert removed == [["you/run", *sorted(stale)]]


@pytest.mark.parametrize("source", ["computed", "of the folder", "given"])
def test_a_run_goes_on_in_the_units_that_it_began_with(finetune, table, tmp_path, source):
    """The dataset's own have changed meanwhile."""
    folder, given = shutil.copytree(table, tmp_path / "data" / "table"), tmp_path / "given.json"
    file = given if source == "given" else folder / "dataset_statistics.json"
    [statistics] = run_statistics(load_frames(table), table, state=STATE, quiet=True, progress=False).values()
    if source != "computed":
        file.write_text(json.dumps({"mine": statistics}))
    more = ["--statistics", str(given)] if source == "given" else []
    sources = ["--model", "multimodal_vla", "--dataset", str(folder), "--output_dir", str(tmp_path / "run"), *QUICK]
    finetune([*sources, *more, "--max_steps", "1", "--save_steps", "1"])
    own = tmp_path / "run" / "dataset_statistics.json"
    began = own.read_text()
    other = {**statistics, "action": {**statistics["action"], "q99": [9.0] * 7, "max": [9.0] * 7}}
    file.write_text(json.dumps({"mine": other}))
    trainer = finetune([*sources, *more, "--max_steps", "2", "--save_steps", "1", "--resume"])
    assert own.read_text() == began and trainer.model.config.norm_stats == json.loads(began)
    assert trainer.state.global_step == 2


def test_a_run_that_is_there_is_not_replaced_unless_it_is_said_so(finetune, table, tmp_path):
    sources = ["--model", "multimodal_vla", "--dataset", str(table), "--output_dir", str(tmp_path), *QUICK]
    finetune([*sources, "--max_steps", "2", "--save_steps", "2"])
    before = (tmp_path / "adapter_model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"adapter_model.*--resume.*--overwrite_output_dir"):
        finetune([*sources, "--max_steps", "1"])
    with pytest.raises(InputError, match="choose one of them"):
        finetune([*sources, "--max_steps", "1", "--resume", "--overwrite_output_dir"])
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == before and (tmp_path / "checkpoint-2").exists()
    for model in (tmp_path, tmp_path / "checkpoint-2"):
        begun = ["--model", str(model), *sources[2:], "--max_steps", "1"]
        with pytest.raises(InputError, match="would remove"):
            finetune([*begun, "--overwrite_output_dir"])
    with pytest.raises(InputError, match="no column 'left'"):
        finetune([*sources, "--action", "left", "--overwrite_output_dir"])
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == before and (tmp_path / "checkpoint-2").exists()
    trainer = finetune([*sources, "--max_steps", "1", "--train", "A", "--overwrite_output_dir"])
    assert not list(tmp_path.glob("adapter_model*")) and not (tmp_path / "checkpoint-2").exists()
    assert not (tmp_path / "adapter_config.json").exists()
    loaded = dict(AutoModelForImageTextToText.from_pretrained(tmp_path).named_parameters())
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in trainer.model.named_parameters())
    card = (tmp_path / "README.md").read_text()
    assert "An adapter of" not in card and "nothing has to be merged" in card
    with pytest.raises(InputError, match=r"model\.safetensors"):
        finetune([*sources, "--max_steps", "1"])
    finetune([*sources, "--max_steps", "1", "--overwrite_output_dir"])
    assert not list(tmp_path.glob("model*.safetensors")) and not (tmp_path / "config.json").exists()


def test_held_out_episodes_are_measured_and_not_learnt(finetune, family, dataset, tmp_path):
    sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path), *QUICK]
    options = ["--max_steps", "2", "--save_strategy", "no", "--eval_strategy", "steps", "--eval_steps", "1"]
    with pytest.raises(InputError, match="--eval_episodes"):
        finetune([*sources, *options])
    trainer = finetune([*sources, *options, "--eval_episodes", "0.25"])
    metrics = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(metrics) == 3 and all(np.isfinite(entry["eval_loss"]) for entry in metrics)
    assert all(entry["eval_action_error"] > 0 for entry in metrics)
    assert len(trainer.eval_dataset) > 0 and metrics[-1]["eval_loss"] == metrics[-2]["eval_loss"]


def test_statistics_come_from_where_they_are_and_that_is_said(finetune, table, tmp_path, capsys):
    folder = shutil.copytree(table, tmp_path / "mine")
    sources = [
        "--model",
        "multimodal_vla",
        "--dataset",
        str(folder),
        "--max_steps",
        "1",
        "--save_strategy",
        "no",
        *QUICK,
    ]

    def run(name, *options):
        finetune([*sources, "--output_dir", str(tmp_path / name), *options])
        saved = json.loads((tmp_path / name / "dataset_statistics.json").read_text())
        assert AutoProcessor.from_pretrained(tmp_path / name).norm_stats == saved
        return saved, capsys.readouterr().out

    computed, said = run("computed", "--unmasked_actions", "-1")
    mask = [True] * 6 + [False]
    assert (
        computed["mine"]["action"]["mask"] == mask
        and f"statistics of mine: computed; mask of the actions: {mask}" in said
    )
    other = {"other": {**computed["mine"], "num_transitions": 5}}
    (folder / "dataset_statistics.json").write_text(json.dumps(other))
    own, said = run("own")
    rows = "of 5 rows where the dataset has 8"
    assert own == other and f"statistics of other: {folder / 'dataset_statistics.json'}, {rows}; mask" in said
    with pytest.raises(InputError, match=r"its 'action' is of the columns \['action'\], not of \['observation.state'"):
        run("columns", "--action", "observation.state", "--state", "action")
    again, said = run("again", "--unmasked_actions", "0")
    assert list(again) == ["mine"] and again["mine"]["action"]["mask"] == [False] + [True] * 6
    (tmp_path / "third.json").write_text(json.dumps({"third": computed["mine"]}))
    third, said = run("third", "--statistics", str(tmp_path / "third.json"))
    assert list(third) == ["third"] and "third.json" in said
    with pytest.raises(InputError, match=r"unmasked_actions=\[0\]"):
        run("both", "--statistics", str(tmp_path / "third.json"), "--unmasked_actions", "0")


def test_columns_of_other_names_and_vectors_in_pieces_are_learnt_alike(finetune, table, tmp_path):
    """A data set with `image`, `wrist` and the state and the actions in two columns each, one of single numbers."""
    frames = load_frames(table)
    views = [name for name in frames.column_names if "image" in name]
    pieces = frames.map(
        lambda row: {
            "left": row["action"][:6],
            "gripper": row["action"][6],
            "actions": row["action"],
            "joints": row["observation.state"][:3],
            "state": row["observation.state"][3:],
        },
        remove_columns=["action", "observation.state"],
    ).rename_columns(dict(zip(views, ("image", "wrist"), strict=True)))
    pieces.save_to_disk(tmp_path / "table")
    sources = ["--model", "multimodal_vla", "--max_steps", "2", "--save_strategy", "no", *QUICK, "--output_dir"]
    plain = finetune([*sources, str(tmp_path / "plain"), "--dataset", str(table)])
    named = ["--dataset", str(tmp_path / "table"), "--images", "image", "wrist", "--state", "joints", "state"]
    joined = finetune([*sources, str(tmp_path / "joined"), *named, "--action", "left", "gripper"])
    assert losses(joined) == losses(plain)
    found, wanted = (trainer.model.config.norm_stats["table"] for trainer in (joined, plain))
    assert found["action"].pop("columns") == ["left", "gripper"] and wanted["action"].pop("columns") == ["action"]
    assert found["proprio"].pop("columns") == ["joints", "state"] and wanted["proprio"].pop("columns")
    assert found == wanted
    assert joined.model.config.view_names == ["image", "wrist"]
    finetune([*sources, str(tmp_path / "named"), *named, "--action", "actions", "--max_steps", "1"])
    with pytest.raises(InputError, match="there is no column 'states'"):
        finetune([*sources, str(tmp_path / "wrong"), *named, "--action", "actions", "--state", "states"])
    with pytest.raises(InputError, match="there is no column 'action'"):
        finetune([*sources, str(tmp_path / "default"), *named])


def test_a_run_that_is_not_finite_ends_with_an_error_and_writes_nothing(finetune, table, tmp_path):
    statistics = {"t": {part: {"q01": [-10.0] * n, "q99": [10.0] * n} for part, n in (("action", 7), ("proprio", 8))}}
    (tmp_path / "s.json").write_text(json.dumps(statistics))
    sources = ["--model", "multimodal_vla", "--dataset", str(table), "--output_dir", str(tmp_path / "out"), *QUICK]
    options = ["--max_steps", "3", "--learning_rate", "1e38", "--train", "full", "--max_grad_norm", "0"]
    with pytest.raises(NonFiniteError, match="step"):
        finetune([*sources, *options, "--statistics", str(tmp_path / "s.json")])
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_help_names_our_options_and_those_of_transformers(finetune, capsys):
    with pytest.raises(SystemExit) as ended:
        finetune(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    for name in ("--model", "--dataset", "--train", "--action", "--quantize", "--resume", "--bf16", "--deepspeed"):
        assert name in said


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 2), (0.99, 3)])
def test_whole_episodes_are_held_out(table, share, count):
    frames = load_frames(table)
    seen, held = hold_out_episodes(frames, share, seed=1)
    numbers = set(seen["episode_index"]), set(held["episode_index"])
    assert len(numbers[1]) == count and not numbers[0] & numbers[1] and len(numbers[0] | numbers[1]) == 4
    assert len(seen) + len(held) == len(frames)
    assert hold_out_episodes(frames, share, seed=1)[1]["episode_index"] == held["episode_index"]
    with pytest.raises(InputError, match="between 0 and 1"):
        hold_out_episodes(frames, 1.0)
    with pytest.raises(InputError, match="two or more"):
        hold_out_episodes(frames.select([0, 1]), 0.5)


def test_the_share_of_episodes_is_rounded_and_a_seed_chooses_which():
    frames = datasets.Dataset.from_dict({"episode_index": np.arange(19).repeat(2)})
    for share, count in ((0.1, 2), (0.34, 6), (0.35, 7)):
        assert len(hold_out_episodes(frames, share)[1]) == 2 * count
    chosen = {tuple(hold_out_episodes(frames, 0.3, seed)[1]["episode_index"]) for seed in range(8)}
    assert len(chosen) == 8


def test_the_seed_of_a_run_chooses_the_episodes_that_are_held_out(table, tmp_path):
    options, chosen = SimpleNamespace(dataset=table, eval_episodes=0.5), set()
    for seed in range(4):
        arguments = TrainingArguments(tmp_path, seed=seed, use_cpu=True)
        held = read_frames(options, arguments)[1]["episode_index"]
        assert held == hold_out_episodes(load_frames(table), 0.5, seed)[1]["episode_index"]
        chosen.add(tuple(held))
    assert len(chosen) > 1


def test_the_script_is_short():
    assert len((EXAMPLES / "finetune.py").read_text().splitlines()) < 220
