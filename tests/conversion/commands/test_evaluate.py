"""`vlahub evaluate` of every family, against loops over single frames; what it refuses before it reads weights."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_from_disk
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainingArguments

from vlahub.conversion.alpamayo_r1 import driving_evaluation
from vlahub.conversion.cli import main
from vlahub.conversion.commands.evaluate import add_evaluate_arguments, settled_seed
from vlahub.conversion.commands.model_kinds import family_of
from vlahub.conversion.predictions import robot_evaluation
from vlahub.conversion.predictions.evaluated_data import check_places
from vlahub.conversion.predictions.flow_options import FLOW
from vlahub.conversion.predictions.processes import joined_processes
from vlahub.data import ActionChunks, DrivingScenes, apply_statistics, dataset_statistics, load_frames
from vlahub.errors import InputError
from vlahub.processing.alpamayo_r1.messages import ROUTE
from vlahub.processing.alpamayo_r1.route_and_question import reads_routes
from vlahub.training.alpamayo_r1.collator_alpamayo_r1 import AlpamayoR1Collator
from vlahub.training.collators import collator_for
from vlahub.training.episodes import hold_out_episodes
from vlahub.training.open_loop import batch_seed, noise_for, samples_of

EXAMPLES = Path(__file__).parents[3] / "examples"
STATE = "observation.state"
KINDS = {
    "cogvla": ("cogvla", {}),
    "cogvla, diffusion": ("cogvla", {"action_head": "diffusion"}),
    "cogvla, discrete": ("cogvla", {"action_head": "discrete"}),
    "llava3d": ("mapanything_llava3d", {}),
    "composed": ("multimodal_vla", {}),
    "composed, flow": ("multimodal_vla", {"action_head": "flow"}),
}
QUICK = ("cogvla", "llava3d", "composed, flow")
LAUNCHERS = {
    "accelerate": "accelerate.commands.launch --main_process_port 0 --multi_gpu --num_processes 2 --num_machines 1 "
    "--mixed_precision no --dynamo_backend no",
    "torchrun": "torch.distributed.run --standalone --nproc_per_node 2",
}
DRIVING = ["--num-traj-samples", "2", "--max-new-tokens", "3", "--quiet"]


@pytest.fixture(scope="module")
def examples():
    """The folder of the examples can be imported from."""
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def table(examples, tmp_path_factory):
    """Three episodes of six frames."""
    from tiny_dataset import write_dataset

    write_dataset(folder := tmp_path_factory.mktemp("data") / "table", episodes=3, frames=6)
    return folder


@pytest.fixture(scope="module")
def road(examples, tmp_path_factory):
    from tiny_driving_dataset import write_driving_dataset

    write_driving_dataset(folder := tmp_path_factory.mktemp("data") / "road", episodes=2)
    return folder


@pytest.fixture(scope="module")
def robot(table, tmp_path_factory):
    """`robot("cogvla")`: a checkpoint with the statistics of the table, made once."""
    from tiny_models import write_model

    made = {}

    def checkpoint(kind):
        if kind not in made:
            family, fields = KINDS[kind]
            write_model(family, folder := tmp_path_factory.mktemp("model") / family, **fields)
            model, processor = loaded(folder)
            statistics = dataset_statistics(load_frames(table), unmasked_actions=[-1], progress=False)
            apply_statistics(model.config, processor, "table", statistics)
            model.save_pretrained(folder), processor.save_pretrained(folder)
            made[kind] = folder
        return made[kind]

    return checkpoint


@pytest.fixture(scope="module")
def driver(examples, tmp_path_factory):
    from tiny_models import write_model

    write_model("alpamayo_r1", folder := tmp_path_factory.mktemp("model") / "driver")
    return folder


@pytest.fixture
def no_weights(monkeypatch):
    """What is refused is refused before weights are read."""

    def load(*_):
        raise AssertionError("weights were read")

    monkeypatch.setattr(robot_evaluation, "load_model", load)


def loaded(folder):
    return AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


def evaluate(checkpoint, dataset, output, *more):
    """The file that is written, or the exit code."""
    words = ["evaluate", checkpoint, "--dataset", dataset, "--output", output, *more]
    code = main([*map(str, words)])
    return code or json.loads(output.read_text())


def predicted_one_by_one(folder, frames, seed, **options):
    """Each frame's chunk by a call of its own, and the recorded one cut where its episode ends."""
    model, processor = loaded(folder)
    steps, rows = model.config.num_action_chunks, []
    collator = collator_for(model.config, processor)
    noise = noise_for(samples_of(frames, np.arange(len(frames))), seed, (steps, 7))
    for index in range(len(frames)):
        row = frames[index]
        images = [row[f"observation.images.{view}"] for view in ("primary", "wrist")]
        inputs = processor(images=images, text=row["task"], state=row[STATE])
        start = {"noise": noise[index : index + 1]} if collator.starts_from_noise else {}
        predicted = model.predict_action(**inputs, **start, **options)[0].numpy()
        same = [
            i
            for i in range(index, min(index + steps, len(frames)))
            if frames[i]["episode_index"] == row["episode_index"]
        ]
        recorded = np.array([frames[i]["action"] for i in same])
        rows.append((row["episode_index"], row["frame_index"], predicted[: len(same)] - recorded))
    return rows


@pytest.mark.newest
@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS])
def test_figures_are_those_of_predictions_frame_by_frame(kind, robot, table, tmp_path, capsys):
    folder, frames = robot(kind), load_frames(table)
    steps = {"num_inference_steps": 3} if kind == "cogvla, diffusion" else {}  # of many, rounding grows
    options = [word for name, value in steps.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    found = evaluate(folder, table, tmp_path / "out.json", "--batch-size", "4", "--seed", "3", *options)
    rows = predicted_one_by_one(folder, frames, 3, **steps)
    errors = np.concatenate([error for *_, error in rows])
    near = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(found["mae"], np.abs(errors).mean(axis=0), **near)
    np.testing.assert_allclose(found["rmse"], np.sqrt((errors**2).mean(axis=0)), **near)
    for step in range(4):
        own = np.array([error[step] for *_, error in rows if len(error) > step])
        assert found["per_step"]["count"][step] == len(own)
        np.testing.assert_allclose(found["per_step"]["mae"][step], np.abs(own).mean(axis=0), **near)
        np.testing.assert_allclose(found["per_step"]["rmse"][step], np.sqrt((own**2).mean(axis=0)), **near)
    for entry in found["per_episode"]:
        own = np.concatenate([error for episode, _, error in rows if episode == entry["episode"]])
        np.testing.assert_allclose(entry["mae"], np.abs(own).mean(axis=0), **near)
    assert found["samples"] == 18 and found["episodes"] == [0, 1, 2] and found["dataset"] == "table"
    [gripper] = found["gripper"]  # the dimension that the statistics pass unchanged
    first = np.array([error[0, 6] for *_, error in rows])
    recorded = np.array(frames["action"])[:, 6]
    threshold = (recorded.min() + recorded.max()) / 2
    same = ((first + recorded) > threshold) == (recorded > threshold)
    assert gripper["dimension"] == 6 and gripper["accuracy"] == pytest.approx(same.mean())
    assert f"action error {found['action_error']:.5g}" in capsys.readouterr().out


def test_the_error_is_what_the_trainer_logs(robot, table, tmp_path):
    model, processor = loaded(robot("composed"))
    frames = load_frames(table)
    examples = ActionChunks(frames, 4, state=STATE)
    collator = collator_for(model.config, processor)
    wanted = collator.prediction_errors(model, [examples[i] for i in range(18)], torch.device("cpu")).mean()
    found = evaluate(robot("composed"), table, tmp_path / "out.json", "--quiet")
    assert found["action_error"] == pytest.approx(wanted.item(), rel=1e-5)


def test_parts_of_a_dataset_and_pictures(robot, table, tmp_path, capsys):
    folder, out = robot("composed, flow"), tmp_path / "out.json"
    whole = evaluate(folder, table, out, "--quiet", "--batch-size", "5")
    one = evaluate(folder, table, out, "--quiet", "--episodes", "1", "--plot", str(tmp_path / "out.png"))
    own = whole["per_episode"][1]
    np.testing.assert_allclose(one["mae"], own["mae"], rtol=1e-4)  # the noise of a frame is its own
    assert one["samples"] == 6 and one["episodes"] == [1]
    assert evaluate(folder, table, out, "--quiet", "--episodes", "0", "1-2")["mae"] == pytest.approx(
        whole["mae"], rel=1e-4
    )
    other = evaluate(folder, table, out, "--quiet", "--seed", "1")
    assert other["mae"] != whole["mae"]
    assert evaluate(folder, table, out, "--quiet", "--stride", "4")["samples"] == 6
    assert evaluate(folder, table, out, "--quiet", "--max-samples", "4")["samples"] == 4
    held = evaluate(folder, table, out, "--quiet", "--eval-episodes", "0.3")
    assert len(held["episodes"]) == 1 and held["settings"]["eval_episodes"] == 0.3
    assert capsys.readouterr().out == ""
    picture = Image.open(tmp_path / "out.png").convert("RGB")
    assert min(picture.size) > 400 and len(set(picture.getdata())) > 100
    assert evaluate(folder, table, out, "--episodes", "1", "--plot", str(tmp_path / "out.png")) != 1  # replaced
    picture.save(tmp_path / "out.png")
    assert evaluate(folder, table, out, "--plot", str(tmp_path / "out.png")) == 1
    assert "no result of this command" in capsys.readouterr().err
    out.write_text(json.dumps({"actions": [[0.0]]}))
    assert evaluate(folder, table, out) == 1 and json.loads(out.read_text()) == {"actions": [[0.0]]}


def test_other_seeds_hold_out_the_episodes_that_their_trainings_did(robot, table, tmp_path):
    frames, few = load_frames(table), ["--max-samples", "2", "--quiet"]
    held = {seed: hold_out_episodes(frames, 0.3, seed)[1]["episode_index"] for seed in range(5)}
    first, other = 0, next(seed for seed in held if held[seed] != held[0])
    for seed in (first, other):
        words = ["--eval-episodes", "0.3", "--eval-seed", seed, *few]
        found = evaluate(robot("composed"), table, tmp_path / "out.json", *words)
        assert found["episodes"] == sorted({*held[seed]}) and found["settings"]["eval_seed"] == seed


def test_of_several_statistics_those_that_are_named_count(robot, table, tmp_path):
    """Actions in another dataset's units, beside those of the table alone."""
    model, processor = loaded(robot("composed"))
    [(key, own)] = model.config.norm_stats.items()
    other = json.loads(json.dumps(own))
    for part in ("min", "q01", "mean", "q99", "max"):
        other["action"][part] = [value + 3 for value in own["action"][part]]
    model.config.norm_stats = processor.norm_stats = {key: own, "other": other}
    model.save_pretrained(tmp_path / "both"), processor.save_pretrained(tmp_path / "both")

    def errors(folder, *more):
        return evaluate(folder, table, tmp_path / "out.json", "--quiet", "--episodes", "1", *more)["mae"]

    alone = errors(robot("composed"))
    assert errors(tmp_path / "both", "--unnorm-key", key) == pytest.approx(alone, rel=1e-5)
    assert np.subtract(errors(tmp_path / "both", "--unnorm-key", "other"), alone)[:6].min() > 0.5


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["--dtype", "bfloat16"], {"dtype": "bfloat16"}),
        (["--device", "meta"], {"device": "meta"}),
        (["--fast", "compile"], {"fast": "compile"}),
        (["--quiet"], {"quiet": True}),
    ],
)
@pytest.mark.parametrize("kind", ["robot", "car"])
def test_weights_are_read_as_options_say(kind, words, changed, robot, driver, table, road, tmp_path, monkeypatch):
    asked = []

    def load_model(folder, device="cpu", dtype=None, fast=None, quiet=False):
        asked.append((folder, {"device": device, "dtype": dtype, "fast": fast, "quiet": quiet}))
        raise InputError("seen")

    checkpoint, dataset, module = {
        "robot": (robot("composed"), table, robot_evaluation),
        "car": (driver, road, driving_evaluation),
    }[kind]
    monkeypatch.setattr(module, "load_model", load_model)
    assert evaluate(checkpoint, dataset, tmp_path / "out.json", *words) == 1
    assert asked == [(checkpoint, {"device": "cpu", "dtype": None, "fast": None, "quiet": False} | changed)]


def test_names_columns_and_grippers_of_a_dataset(robot, table, tmp_path, capsys):
    """Two columns of actions whose names say which dimensions are grippers."""
    shutil.copytree(table, tmp_path / "named")
    info = json.loads((tmp_path / "named/meta/info.json").read_text())
    names = ["x", "left_gripper", "z", "roll", "pitch", "yaw", "right_gripper"]
    info["features"]["action"]["names"] = {"axes": names}
    (tmp_path / "named/meta/info.json").write_text(json.dumps(info))
    found = evaluate(robot("composed"), tmp_path / "named", tmp_path / "out.json")
    assert found["dimensions"] == names and [entry["dimension"] for entry in found["gripper"]] == [1, 6]
    assert "left_gripper" in capsys.readouterr().out
    options = ["--gripper", "-1", "--gripper-threshold", "0.25", "--gripper-tolerance", "0", "--quiet"]
    [gripper] = evaluate(robot("composed"), tmp_path / "named", tmp_path / "out.json", *options)["gripper"]
    assert (gripper["dimension"], gripper["threshold"], gripper["tolerance"]) == (6, 0.25, 0)
    frames = load_frames(table)
    pieces = frames.map(lambda row: {"arm": row["action"][:6], "hand": row["action"][6]}, remove_columns=["action"])
    pieces.rename_columns({"task": "words", STATE: "joints"}).save_to_disk(tmp_path / "pieces")
    columns = ["--action", "arm", "hand", "--state-column", "joints", "--text", "words", "--quiet"]
    columns += ["--images", "observation.images.primary", "observation.images.wrist"]
    joined = evaluate(robot("composed"), tmp_path / "pieces", tmp_path / "joined.json", *columns)
    assert joined["mae"] == found["mae"] and joined["dimensions"] == [str(i) for i in range(7)]


@pytest.mark.slow
def test_a_word_for_the_prompts_and_the_number_of_a_robot(examples, table, tmp_path, capsys):
    """An expert for three robots: each number predicts otherwise, and a column says which is asked."""
    from tiny_models import write_model

    write_model("mapanything_llava3d", folder := tmp_path / "three", num_embodiments=3)
    model, processor = loaded(folder)
    statistics = dataset_statistics(load_frames(table), progress=False)
    apply_statistics(model.config, processor, "table", statistics)
    model.save_pretrained(folder), processor.save_pretrained(folder)
    frames = load_frames(table)
    numbered = frames.add_column("embodiment_id", [2 * (number == 1) for number in frames["episode_index"]])
    numbered.save_to_disk(tmp_path / "numbered")

    def errors(dataset, *more):
        found = evaluate(folder, dataset, tmp_path / "out.json", "--quiet", *more)
        return [entry["mae"] for entry in found["per_episode"]]

    first, third = (errors(table, "--embodiment-id", number) for number in ("0", "2"))
    column = errors(tmp_path / "numbered")
    np.testing.assert_allclose(column, [first[0], third[1], first[2]], rtol=1e-4)
    assert first[1] != third[1] and errors(table, "--embodiment-id", "0", "--advantage", "positive") != first
    capsys.readouterr()
    named = ["--embodiment-column", "embodiment_id"]
    found = evaluate(folder, tmp_path / "numbered", tmp_path / "out.json", "--quiet", *named)
    assert found["settings"]["embodiment_column"] == "embodiment_id"
    for options in ([], ["--embodiment-id", "3"]):
        assert evaluate(folder, table, tmp_path / "out.json", *options) == 1
        assert "embodiment_id" in capsys.readouterr().err
    assert evaluate(folder, tmp_path / "numbered", tmp_path / "out.json", *named, "--embodiment-id", "0") == 1
    assert "--embodiment-column embodiment_id, --embodiment-id 0: both" in capsys.readouterr().err


def without_column(frames):
    return frames.remove_columns(["action"])


def with_nan(frames):
    return frames.map(lambda row, i: {"action": [float("nan") if i == 9 else 0.0] * 7}, with_indices=True)


def of_other_width(frames):
    return frames.map(lambda row: {"action": row["action"][:5]})


def without_text(frames):
    return frames.map(lambda row, i: {"task": None if i == 11 else row["task"]}, with_indices=True)


def with_empty_text(frames):
    return frames.map(lambda row, i: {"task": "" if i == 11 else row["task"]}, with_indices=True)


def without_state(frames):
    return frames.remove_columns([STATE])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (without_column, [], r"no columns ['action']"),
        (with_nan, [], "column 'action' is not finite in row 9"),
        (of_other_width, [], "(4, 5); (4, 7) is needed"),
        (without_text, [], "column 'task' has no text in row 11"),
        (with_empty_text, [], "column 'task' has no text in row 11: ''"),
        (without_state, [], "'state'"),
        (None, ["--episodes", "2", "5"], "no episodes [5]"),
        (None, ["--unnorm-key", "other"], "unnorm_key='other' is unknown; choices: table"),
        (None, ["--images", "task", STATE], "hold no images"),
        (None, ["--images", "observation.images.wrist", "front"], "no columns ['front']"),
        (None, ["--state", "pose"], "no columns ['pose']"),
        (None, ["--gripper", "7"], "--gripper 7"),
        (None, ["--gripper-tolerance", "-1"], "--gripper-tolerance -1"),
        (None, ["--num-inference-steps", "3"], "--num-inference-steps"),
        (None, ["--embodiment-id", "0"], "one embodiment"),
        (None, ["--stride", "0"], "stride=0"),
        (None, ["--num-traj-samples", "2"], "--num-traj-samples: a model of the kind 'multimodal_vla'"),
        (None, ["--plot", "out.xyz"], "png"),
        (None, ["--device", "warp"], "--device warp"),
        (None, ["--revision", "main"], "only datasets on the Hub have revisions"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_what_does_not_fit_is_said_before_weights_are_read(
    change, options, message, robot, table, tmp_path, no_weights, capsys
):
    dataset = table
    if change:
        change(load_frames(table)).save_to_disk(tmp_path / "data")
        dataset = tmp_path / "data"
    assert evaluate(robot("composed"), dataset, tmp_path / "out.json", *options) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("options", [["--episodes", "3-1"], ["--episodes", "x"], ["--seed", "-1"], ["--dtype", "int8"]])
def test_wrong_usage_is_exit_code_2(options, robot, table):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(robot("composed")), "--dataset", str(table), *options])
    assert ended.value.code == 2


def test_a_driving_model_is_measured_by_its_best_sample(driver, road, tmp_path, capsys):
    """Against trajectories that are drawn scene by scene, greedy in text and with the noise of each scene."""
    options = [*DRIVING[:-1], "--top-k", "1", "--batch-size", "3", "--plot", str(tmp_path / "out.png")]
    found = evaluate(driver, road, tmp_path / "out.json", *options)
    model, processor = loaded(driver)
    frames = load_from_disk(road)
    scenes = DrivingScenes(frames)
    samples = samples_of(frames, scenes.rows)
    noise, distances, errors = noise_for(samples, 0, (2, 64, 2)), [], []
    for i in range(len(samples)):
        scene = scenes[i]
        poses = scene["ego_history_xyz"], scene["ego_history_rot"]
        greedy = {"num_traj_samples": 2, "top_k": 1, "max_new_tokens": 3, "noise": noise[i]}
        predicted = model.sample_trajectories(**processor(scene["images"], *poses), **greedy).pred_xyz[0, 0].numpy()
        difference = predicted - scene["ego_future_xyz"]
        distances.append(np.linalg.norm(difference[..., :2], axis=-1))
        errors.append(np.abs(difference[distances[-1].mean(axis=1).argmin()]).mean(axis=0))
    distances = np.array(distances)
    assert found["samples"] == 4 and found["num_traj_samples"] == 2
    assert found["minADE"] == pytest.approx(distances.mean(axis=2).min(axis=1).mean(), rel=1e-4)
    assert found["minFDE"] == pytest.approx(distances[..., -1].min(axis=1).mean(), rel=1e-4)
    np.testing.assert_allclose(found["mae"], np.mean(errors, axis=0), rtol=1e-4, atol=1e-6)
    assert [row["seconds"] for row in found["horizons"]] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.4]
    best = distances.mean(axis=2).min(axis=1)
    for episode, entry in enumerate(found["per_episode"]):
        assert (entry["episode"], entry["samples"]) == (episode, np.sum(samples.episode == episode))
        assert entry["minADE"] == pytest.approx(best[samples.episode == episode].mean(), rel=1e-4)
    assert len(found["per_episode"]) == 2
    assert f"minADE {found['minADE']:.3f} m" in capsys.readouterr().out
    assert min(Image.open(tmp_path / "out.png").size) > 400
    again = evaluate(driver, road, tmp_path / "out.json", *DRIVING)
    assert evaluate(driver, road, tmp_path / "other.json", *DRIVING) == again
    assert evaluate(driver, road, tmp_path / "other.json", *DRIVING, "--seed", "1")["minADE"] != again["minADE"]


def test_steps_words_and_seed_reach_every_drive(driver, road, tmp_path, monkeypatch):
    """What the model is asked for, in batches of two scenes."""
    asked, samples = [], samples_of(frames := load_from_disk(road), DrivingScenes(frames).rows)

    def predicted(self, model, batch, device, noise, generator, num_inference_steps, **more):
        words = [example.pop("advantage") for example in batch]
        asked.append((noise.clone(), generator.initial_seed(), num_inference_steps, words))
        return plain(self, model, batch, device, noise=noise, generator=generator, **more)

    plain = AlpamayoR1Collator.predicted
    monkeypatch.setattr(AlpamayoR1Collator, "predicted", predicted)
    words = [*DRIVING, "--batch-size", "2", "--num-inference-steps", "2", "--advantage", "positive"]
    for seed in (0, 3):
        asked.clear()
        settings = evaluate(driver, road, tmp_path / "out.json", *words, "--seed", seed)["settings"]
        noise, generators, steps, given = zip(*asked, strict=True)
        assert (settings["seed"], settings["num_inference_steps"], settings["advantage"]) == (seed, 2, "positive")
        assert torch.equal(torch.cat(noise), noise_for(samples, seed, (2, 64, 2)).flatten(0, 1))
        assert (steps, given) == ((2, 2), (["positive"] * 2,) * 2)
        assert generators == tuple(batch_seed(seed, samples.taken([i])) for i in (0, 2))


def asked_of(driver, road, **more):
    """What an evaluation would ask, before weights are read."""
    unset = dict.fromkeys(
        ("revision", "episodes", "eval_episodes", "images", "state", "text", "advantage", "max_samples")
    )
    flow = dict.fromkeys(FLOW)
    given = {"dataset": str(road), "trajectory_source": "expert", "stride": 1, **unset, **flow, **more}
    with joined_processes("cpu") as processes:
        return driving_evaluation.prepared(driver, argparse.Namespace(**given), processes)


def test_a_driving_model_is_asked_with_the_navigation_that_its_training_reads(driver, road, tmp_path, monkeypatch):
    """One without tokens for it is asked without."""
    frames = load_from_disk(road)
    frames.add_column("nav_text", [f"turn {row}" for row in range(len(frames))]).save_to_disk(tmp_path / "routes")
    drives = asked_of(driver, tmp_path / "routes", text="reasoning")
    assert (drives.examples.texts["nav_text"], drives.examples.texts["text"]) == ("nav_text", "reasoning")
    example, tokenizer = drives.examples[0], drives.collator.processor.tokenizer
    prompt = tokenizer.decode(drives.collator.scenes([example])["input_ids"][0])
    assert example["nav_text"].join(ROUTE) in prompt and example["text"] in prompt
    assert "nav_text" not in asked_of(driver, road).examples.texts
    monkeypatch.setattr(tokenizer.__class__, "get_added_vocab", lambda self: {})
    assert not reads_routes(tokenizer)
    assert "nav_text" not in asked_of(driver, tmp_path / "routes").examples.texts


WIDE, TELE = "observation.images.wide", "observation.images.tele"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([TELE, WIDE], "observation.images.tele is in place 0, where the checkpoint was trained with the view 'wide'"),
        (
            ["front", WIDE],
            "observation.images.wide is in place 1, where the checkpoint was trained with the view 'tele'",
        ),
        ([WIDE], "--images names 1 columns"),
        ([WIDE, TELE, "left"], "--images names 3 columns"),
    ],
)
def test_columns_at_other_places_than_their_views_are_refused(columns, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_places(columns, ["wide", "tele"])
    for others in ([WIDE, TELE], ["front", "left"], [WIDE, "left"]):
        check_places(others, ["wide", "tele"])
    check_places(columns, None)


def test_views_that_a_checkpoint_records_are_looked_at_before_weights_are_read(driver, road, tmp_path):
    far, front = (f"observation.images.{name}" for name in ("far", "front"))
    shutil.copytree(driver, tmp_path / "named")
    processor = AutoProcessor.from_pretrained(driver)
    processor.view_names = ["front", "far"]
    processor.save_pretrained(tmp_path / "named")
    assert asked_of(tmp_path / "named", road).data.views == [front, far]
    assert asked_of(tmp_path / "named", road, images=[front, far]).data.views == [front, far]
    with pytest.raises(InputError, match="is in place 0"):
        asked_of(tmp_path / "named", road, images=[far, front])


def test_a_driving_model_refuses_what_is_for_robots_and_data_that_are_no_drives(driver, table, road, tmp_path, capsys):
    assert evaluate(driver, road, tmp_path / "out.json", "--gripper", "0") == 1
    assert "--gripper" in capsys.readouterr().err
    assert evaluate(driver, table, tmp_path / "out.json", *DRIVING) == 1
    assert "no row has 15 rows before and 64 after it" in capsys.readouterr().err
    assert evaluate(driver, road, tmp_path / "out.json", *DRIVING, "--text", "request") == 1
    assert "request" in capsys.readouterr().err
    words = ["--trajectory-source", "text", "--max-samples", "2", "--top-k", "1"]
    assert evaluate(driver, road, tmp_path / "out.json", *DRIVING, *words, "--num-inference-steps", "2") == 1
    assert "--num-inference-steps" in capsys.readouterr().err


@pytest.mark.parametrize(("rank", "written"), [(0, ["output"]), (1, [])])
def test_the_first_process_alone_writes_and_tells(rank, written, robot, table, tmp_path, monkeypatch, capsys):
    """The others predict their share."""
    given, ours = [], family_of(folder := shutil.copytree(robot("composed"), tmp_path / "model"))
    kind = replace(ours.evaluation, predict=lambda folder, arguments, files: given.append([*files]) or {})
    monkeypatch.setattr("vlahub.conversion.commands.evaluate.family_of", lambda _: replace(ours, evaluation=kind))
    monkeypatch.setenv("RANK", str(rank))
    output = folder / "figures.json"  # which is told of: the folder is no longer as it was written
    assert main(["evaluate", str(folder), "--dataset", str(table), "--output", str(output)]) == 0
    printed = "".join(capsys.readouterr())
    assert given == [written] and output.exists() == bool(written) == ("figures.json" in printed), printed


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("launcher", "kind"), [("accelerate", "robot"), ("torchrun", "car")])
def test_two_processes_write_the_figures_of_one(launcher, kind, robot, driver, table, road, tmp_path):
    """Flow from noise, and sampled text; batches that do not divide evenly."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    checkpoint, dataset, more = {
        "robot": (robot("composed, flow"), table, ["--batch-size", "4", "--plot", str(tmp_path / "out.png")]),
        "car": (driver, road, [*DRIVING, "--batch-size", "1", "--max-samples", "3"]),
    }[kind]
    one = evaluate(checkpoint, dataset, tmp_path / "one.json", *more)
    words = ["-m", "vlahub", "evaluate", checkpoint, "--dataset", dataset, "--output", tmp_path / "two.json", *more]
    command = [sys.executable, "-m", *LAUNCHERS[launcher].split(), *map(str, words)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert json.loads((tmp_path / "two.json").read_text()) == one
    assert ended.stdout.count("action error") == (kind == "robot")  # one process prints
    command[command.index("--dataset") + 1] = str(tmp_path / "nothing")
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode != 0 and "error: " in ended.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"one.json", "two.json", "out.png"}


def test_episodes_are_held_out_by_the_seed_that_a_training_has_unasked(tmp_path):
    parser = argparse.ArgumentParser()
    add_evaluate_arguments(parser)
    asked = parser.parse_args(["model", "--dataset", "data", "--eval-episodes", "0.2"])
    assert settled_seed(asked) == TrainingArguments(output_dir=str(tmp_path)).seed
    asked = parser.parse_args(["model", "--dataset", "data", "--eval-episodes", "0.2", "--eval-seed", "0"])
    assert settled_seed(asked) == 0 and settled_seed(parser.parse_args(["model", "--dataset", "data"])) is None
