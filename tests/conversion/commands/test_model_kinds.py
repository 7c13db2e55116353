"""What commands that ask a model refuse before they read weights: other models, options and outputs that do not fit."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from vlahub.conversion.alpamayo_r1.options import DRIVING, DRIVING_EVALUATION
from vlahub.conversion.commands import evaluate, predict
from vlahub.conversion.commands.model_kinds import different, family_of, refuse_same, refuse_unused, tell_of_place
from vlahub.conversion.predictions import robot_prediction
from vlahub.conversion.predictions.evaluation import ROBOT_EVALUATION, SHARED
from vlahub.conversion.predictions.flow_options import FLOW
from vlahub.conversion.predictions.prediction import ROBOT, predict_robot
from vlahub.errors import ConversionError, InputError


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "openvla", "auto_map": {}}, r"model_type 'openvla'; known are .*cogvla.*vlahub inspect"),
        ({"auto_map": {}}, "model_type None"),
        ({"model_type": ["cogvla"], "auto_map": {}}, r"model_type is \['cogvla'\]"),
        ({"model_type": "cogvla"}, "its config.json has no auto_map"),
    ],
)
def test_a_folder_that_vlahub_did_not_write_is_of_no_family(config, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError, match=words):
        family_of(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "alpamayo_r1", "auto_map": {}}))
    assert family_of(tmp_path).name == "alpamayo_r1"


def test_kinds_that_take_the_same_are_one():
    assert different([ROBOT, DRIVING, ROBOT]) == [ROBOT, DRIVING]
    assert set(predict.KINDS) == {ROBOT, DRIVING} and len(predict.KINDS) == 2
    assert set(evaluate.KINDS) == {ROBOT_EVALUATION, DRIVING_EVALUATION} and len(evaluate.KINDS) == 2


@pytest.mark.parametrize("kind", [*predict.KINDS, *evaluate.KINDS], ids=lambda kind: kind.does)
def test_every_option_that_a_kind_declares_is_one_that_others_refuse(kind):
    parser = ArgumentParser(add_help=False)
    kind.add_arguments(parser)
    assert {action.dest for action in parser._actions} == set(kind.options)


@pytest.mark.parametrize("kinds", [predict.KINDS, evaluate.KINDS])
def test_options_of_other_kinds_are_refused_by_name_whatever_their_value(kinds):
    for own, other in (kinds, kinds[::-1]):
        nothing = dict.fromkeys((*own.options, *other.options))
        refuse_unused(Namespace(**nothing, **{}), "mine", own, kinds)
        refuse_unused(Namespace(**nothing | dict.fromkeys(own.options, 1)), "mine", own, kinds)
        for option in set(other.options) - set(own.options):
            words = f"^--{option.replace('_', '-')}: a model of the kind 'mine' {own.does}, and has no use"
            for value in (1, 0, "", []):
                with pytest.raises(InputError, match=words):
                    refuse_unused(Namespace(**nothing | {option: value}), "mine", own, kinds)


PREDICTED = {"pred_xyz", "reasoning", "has_start_token"}
FIGURES = SHARED | {"num_traj_samples", "started", "minADE", "minFDE", "ADE", "FDE", "horizons"}


@pytest.mark.parametrize(
    ("kind", "names", "is_ours"),
    [
        (ROBOT, {"actions"}, True),
        (ROBOT, {"actions", "samples", "spread", "entropy"}, True),
        (ROBOT, {"actions", "more"}, False),
        (ROBOT, {"samples"}, False),
        (ROBOT, set(), False),
        (DRIVING, PREDICTED, True),
        (DRIVING, PREDICTED | {"minADE", "minFDE", "sets"}, True),
        (DRIVING, PREDICTED - {"reasoning"}, False),
        (DRIVING, {"question", "answers", "finished"}, True),
        (DRIVING, {"question", "answers"}, False),
        (ROBOT_EVALUATION, SHARED | {"action_error", "recorded_std", "gripper"}, True),
        (ROBOT_EVALUATION, SHARED, False),
        (DRIVING_EVALUATION, FIGURES, True),
        (DRIVING_EVALUATION, FIGURES - {"ADE"}, False),
    ],
)
def test_an_earlier_result_is_known_by_all_its_names(kind, names, is_ours, tmp_path):
    assert kind.wrote(dict.fromkeys(names)) == is_ours
    command = predict.is_prediction if kind in (ROBOT, DRIVING) else evaluate.is_evaluation
    (tmp_path / "x.json").write_text(json.dumps(dict.fromkeys(names)))
    assert command(tmp_path / "x.json") == is_ours


@pytest.mark.parametrize("files", [{}, {"output": Path("x.json")}, {"output": Path("x.json"), "plot": Path("x.png")}])
def test_a_picture_is_drawn_where_one_was_asked_for(files, monkeypatch):
    asked = []
    monkeypatch.setattr(robot_prediction, "predict_actions", lambda *given, **how: asked.append(how["picture"]))
    options = ("images", "device", "fast", "quiet", *ROBOT.options, *FLOW)
    predict_robot("trace", Path("ckpt"), Namespace(**dict.fromkeys(options)), files)
    assert asked == [("trace", files["plot"]) if "plot" in files else None]


def test_one_file_by_two_names_is_refused_and_one_inside_of_the_checkpoint_told_of(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refuse_same({"output": Path("a"), "plot": Path("b")})
    with pytest.raises(InputError, match=r"^--output and --plot both name a; they are two files\."):
        refuse_same({"output": Path("a"), "plot": tmp_path / "x" / ".." / "a"})
    (tmp_path / "inside").mkdir()
    for quiet in (True, False):
        tell_of_place([Path("a"), tmp_path / "inside" / "b"], tmp_path / "inside", quiet)
        said = capsys.readouterr().err
        assert said.count("note: ") == (not quiet) and ("inside/b lies inside of" in said) == (not quiet)
