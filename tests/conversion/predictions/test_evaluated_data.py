"""What an evaluation takes for granted unasked, refuses, and writes of how its figures came about."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlahub.conversion.predictions import robot_evaluation
from vlahub.conversion.predictions.evaluated_data import (
    SETTINGS,
    EvaluatedData,
    described,
    json_ready,
    settings_of,
    with_advantage,
)
from vlahub.conversion.predictions.evaluation import evaluate_robot
from vlahub.conversion.predictions.processes import Processes
from vlahub.conversion.predictions.robot_evaluation import (
    chosen_embodiment,
    gripper_dimensions,
    gripper_line,
    predicted_chunks,
)
from vlahub.errors import InputError
from vlahub.training.open_loop import Samples, noise_for


def test_figures_are_numbers_of_json_and_what_is_none_is_null():
    value = {"a": np.float32([0.5, np.nan]), "b": [np.int64(3), float("nan"), (1, "x")], "c": {"d": np.bool_(True)}}
    found = json_ready(value)
    assert found == {"a": [0.5, None], "b": [3, None, [1, "x"]], "c": {"d": True}}
    assert type(found["b"][0]) is int and type(found["c"]["d"]) is bool


def test_settings_are_those_that_were_given_or_have_a_default():
    given = dict.fromkeys((*SETTINGS, "unnorm_key", "other"))
    given |= {"seed": 0, "stride": 2, "unnorm_key": "a", "other": "x"}
    data = EvaluatedData("there", None, ["top", "wrist"])
    found = settings_of(SimpleNamespace(**given), data, ("unnorm_key",))
    assert found == {"seed": 0, "stride": 2, "unnorm_key": "a", "images": ["top", "wrist"]}


def test_a_folder_is_called_by_its_own_name_and_a_repository_by_its_whole(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    samples = type("Samples", (), {"episode": np.array([4, 4, 2]), "__len__": lambda self: 3})()
    given = SimpleNamespace(checkpoint=".", dataset=str(tmp_path / "mine"))
    here = described(given, EvaluatedData(str(tmp_path / "mine"), None, []), samples)
    assert here == {"checkpoint": "mine", "dataset": "mine", "samples": 3, "episodes": [2, 4]}
    given = SimpleNamespace(checkpoint="user/vla", dataset=".")
    assert described(given, EvaluatedData(".", None, []), samples)["dataset"] == "mine"
    given = SimpleNamespace(checkpoint="user/vla", dataset="user/blocks")
    there = described(given, EvaluatedData("/cache/snapshots/abc", None, []), samples)
    assert (there["checkpoint"], there["dataset"]) == ("user/vla", "user/blocks")


def test_a_word_for_the_prompts_is_that_of_every_example():
    examples = [{"text": "a"}, {"text": "b", "advantage": "bad"}]
    assert with_advantage(examples, None) is examples
    assert [each["advantage"] for each in with_advantage(examples, "good")] == ["good", "good"]
    assert "advantage" not in examples[0]


@pytest.mark.parametrize(
    ("given", "names", "mask", "found"),
    [
        ([0, -1], ["x", "gripper", "z"], [True, True, False], [0, 2]),
        (None, ["left_Gripper", "x", "right_gripper"], [True, False, True], [0, 2]),
        (None, ["x", "y", "z"], [False, True, False], [0, 2]),
        (None, ["x", "y", "z"], [True] * 3, [2]),
        (None, ["x", "y", "z"], None, [2]),
    ],
)
def test_grippers_are_those_given_then_named_then_passed_then_the_last(given, names, mask, found):
    assert gripper_dimensions(given, names, {"mask": mask}) == found


@pytest.mark.parametrize("number", [3, -4])
def test_a_gripper_that_there_is_not_is_refused(number):
    with pytest.raises(InputError, match=f"--gripper {number}: the actions have 3 dimensions, 0 to 2"):
        gripper_dimensions([0, number], ["x", "y", "z"], {})


@pytest.mark.parametrize(
    ("column", "number", "count", "found"),
    [
        (None, None, 1, None),
        (None, None, 3, "embodiment_id"),
        ("robot", None, 3, "robot"),
        (None, 0, 3, 0),
        ("robot", None, 1, "--embodiment-column robot: this model has one"),
        (None, 0, 1, "--embodiment-id 0: this model has one"),
        ("robot", 0, 3, "both say whose"),
    ],
)
def test_the_robot_is_of_a_column_or_of_all_frames(column, number, count, found):
    given = SimpleNamespace(embodiment_column=column, embodiment_id=number)
    if isinstance(found, str) and " " in found:
        with pytest.raises(InputError, match=found):
            chosen_embodiment(given, count)
    else:
        assert chosen_embodiment(given, count) == found


def test_a_gripper_in_words_has_what_was_met_and_what_there_is_no_score_of():
    found = {"name": "hand", "threshold": 0.5, "tolerance": 5, "matched": 2, "recorded": 3, "predicted": 4}
    found |= {"precision": 0.5, "recall": 2 / 3, "f1": None, "accuracy": 1.0}
    assert gripper_line(found) == (
        "gripper hand: 2 of 3 switches met, 4 predicted; precision 0.500 recall 0.667 f1 - accuracy 1.000 "
        "(threshold 0.5, 5 frames)"
    )
    assert gripper_line(found | {"threshold": None}) == "gripper hand: the recording never moves it"


class Collator:
    """A model's, that keeps what it is asked; a chunk is of two steps and one dimension."""

    config, chunk_shape = SimpleNamespace(draws_noise=True, follows_flow=True), (2, 1)

    def predicted(self, model, batch, device, noise, **options):
        self.asked = model, [each.get("advantage") for each in batch], str(device), noise, options
        return noise + 1

    def recorded(self, batch):
        return torch.zeros(len(batch), 2, 1), torch.zeros(len(batch), 2, dtype=torch.bool)


GIVEN = {"batch_size": 3, "seed": 7, "num_workers": 2, "quiet": False, "advantage": "good", "dtype": "bfloat16"}
GIVEN |= {
    "fast": "compile",
    "num_inference_steps": 4,
    "ode_solver": "heun",
    "ode_spacing": None,
    "guidance_scale": None,
}


@pytest.mark.parametrize(("rank", "quiet"), [(0, False), (0, True), (1, False)])
def test_chunks_are_predicted_as_options_say_and_in_the_part_of_the_process(rank, quiet, monkeypatch):
    asked, collator, samples = [], Collator(), Samples(np.arange(2), np.array([5, 5]), np.array([0, 1]))

    def predicted_in_batches(predict, *given):
        asked.append(given)
        return predict([{}, {}], samples)

    monkeypatch.setattr(robot_evaluation, "predicted_in_batches", predicted_in_batches)
    monkeypatch.setattr(robot_evaluation, "load_model", lambda *given: asked.append(given) or "model")
    arguments = SimpleNamespace(**GIVEN | {"quiet": quiet})
    task = SimpleNamespace(collator=collator, examples="examples", samples=samples)
    processes = Processes(rank, 4, "meta", None)
    predicted, recorded, is_pad = predicted_chunks(Path("vla"), task, arguments, processes)
    assert asked[0] == (Path("vla"), "meta", "bfloat16", "compile", quiet)
    shows = rank == 0 and not quiet
    assert asked[1] == ("examples", samples, 3, 7, torch.device("meta"), (rank, 4), 2, shows)
    model, words, device, noise, options = collator.asked
    assert (model, words, device) == ("model", ["good", "good"], "meta")
    assert options == {"num_inference_steps": 4, "ode_solver": "heun"}
    assert torch.equal(noise, noise_for(samples, 7, (2, 1)))
    np.testing.assert_array_equal(predicted, noise.numpy() + 1)
    assert recorded.shape == (2, 2, 1) and is_pad.shape == (2, 2)


@pytest.mark.parametrize(("given", "wanted"), [(None, 5), (0, 0), (8, 8)])
def test_a_robot_is_evaluated_with_its_picture_and_a_tolerance_of_five_frames(given, wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(robot_evaluation, "evaluate_actions", lambda *found: asked.append(found) or {"mae": 0})
    arguments = SimpleNamespace(gripper_tolerance=given)
    files = {"output": Path("out.json"), "plot": Path("out.png")}
    assert evaluate_robot(Path("model"), arguments, files) == {"mae": 0}
    assert asked == [(Path("model"), arguments, Path("out.png"))] and arguments.gripper_tolerance == wanted
    evaluate_robot(Path("model"), arguments, {"output": Path("out.json")})
    assert asked[1][2] is None
