"""What a prediction is given beside images and instruction: options that a robot's model has a use for."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from vlahub.conversion.predictions.prediction_trace import Drawn
from vlahub.conversion.predictions.robot_prediction import (
    given_options,
    printed,
    sampling_options,
    warning_in_a_line,
)
from vlahub.errors import FarStateWarning, InputError


def options(state_dim=2, robots=1, **given):
    asked = {"state": None, "advantage": None, "embodiment_id": None, **given}
    return given_options(SimpleNamespace(state_dim=state_dim), SimpleNamespace(num_embodiments=robots), **asked)


def test_what_is_given_is_passed_on_and_zeros_stand_for_a_state_that_is_not():
    assert options() == {"state": [0.0, 0.0]} and options(state_dim=None) == {"state": None}
    assert options(state=[0.5, -1.0]) == {"state": [0.5, -1.0]}
    assert options(robots=2, embodiment_id=0, advantage="good") == {
        "state": [0.0, 0.0], "embodiment_id": 0, "advantage": "good",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"state_dim": None, "state": [1.0]}, "trained without a state"),
        ({"state": [1.0]}, "--state has 1 values, the state of this model 2"),
        ({"state": [1.0] * 3}, "--state has 3 values, the state of this model 2"),
        ({"embodiment_id": 0}, "--embodiment-id 0: this model has one embodiment"),
    ],
)
def test_what_a_model_has_no_use_for_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        options(**given)


def test_samples_are_drawn_by_heads_that_draw_alone():
    drawing, single = SimpleNamespace(draws_samples=True), SimpleNamespace(draws_samples=False)
    assert sampling_options(drawing, 4) == {"num_samples": 4}
    assert sampling_options(drawing, None) == sampling_options(single, None) == {}
    with pytest.raises(InputError, match="--num-samples 1: this model's action head predicts one chunk"):
        sampling_options(single, 1)


def test_a_far_state_is_a_note_and_any_other_warning_stays_one(capsys):
    with pytest.warns(UserWarning, match="another") as found, warning_in_a_line():
        warnings.warn(FarStateWarning("the state is far"), stacklevel=1)
        warnings.warn("another", UserWarning, stacklevel=1)
    assert len(found) == 1 and capsys.readouterr().err == "vlahub: the state is far\n"


def test_what_is_written_is_the_first_chunk_and_of_several_all_with_their_spread(capsys):
    actions = np.arange(12.0).reshape(3, 2, 2)
    assert printed(range(2), Drawn(actions[:1])) == {"actions": actions[0].tolist()}
    assert "spread" not in capsys.readouterr().out
    spread, entropy = actions.std(axis=0), actions[1]
    found = printed(range(2), Drawn(actions, spread, entropy))
    assert found == {
        "actions": actions[0].tolist(), "samples": actions.tolist(), "spread": spread.tolist(),
        "entropy": entropy.tolist(),
    }  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["0", "0.0000", "1.0000"] and "of 3 samples" in lines[3]
    assert lines[-1].split() == ["1", "3.2660", "3.2660"]
