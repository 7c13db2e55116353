"""What a drawn trajectory is returned as: looked at as a whole, and its texts as long as they are."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vlahub.errors import InputError, NonFiniteError
from vlahub.modeling.alpamayo_r1.trajectory_outputs import Trajectories, check_drawn, with_texts
from vlahub.modeling.alpamayo_r1.value_checks import ValueCheck

MODEL = nn.Linear(1, 1)
END, PAD = 9, 0
# Two tokens of a prompt, then what was written: up to two tokens and the end of one of three.
SEQUENCES = torch.tensor(
    [[1, 2, 5, END, PAD, PAD], [1, 2, 6, 7, END, PAD], [1, 2, END, PAD, PAD, PAD], [1, 2, 5, 8, PAD, PAD]]
)
SAMPLING = SimpleNamespace(max_new_tokens=4, end_ids=(END, 8))


def drawn(finite=(True,) * 4, longest=2, **changed):
    """Rows of two samples with two trajectories each."""
    known = {"actions": torch.zeros(4, 2, 2), "pred_xyz": torch.zeros(4, 2, 3), "pred_rot": torch.zeros(4, 2, 3, 3)}
    lengths = torch.tensor([1, 2, 0, 2])
    return Trajectories(
        **known | changed, sequences=SEQUENCES, lengths=lengths, finite=torch.tensor(finite), longest=longest
    )


@pytest.mark.parametrize("row", range(4))
def test_a_text_of_logits_that_are_not_finite_is_an_error_of_its_sample(row):
    check_drawn(MODEL, drawn(), 2, {})
    finite = [other != row for other in range(4)]
    with pytest.raises(NonFiniteError, match=f"logits of the text.*{row // 2}"):
        check_drawn(MODEL, drawn(finite), 2, {})
    check_drawn(MODEL, drawn(finite), 2, {}, check_finite=False)
    for name in ("actions", "pred_xyz", "pred_rot"):
        broken = getattr(drawn(), name).clone()
        broken[row] = float("nan")
        with pytest.raises(NonFiniteError, match=name):
            check_drawn(MODEL, drawn(**{name: broken}), 2, {})


@pytest.mark.parametrize("check_finite", [True, False])
def test_what_a_device_holds_is_refused_at_the_end(check_finite):
    def refuse():
        raise InputError("a pose is missing")

    check_drawn(MODEL, drawn(), 2, {}, [ValueCheck(torch.tensor(False), refuse)], check_finite)
    with pytest.raises(InputError, match="a pose is missing"):
        check_drawn(MODEL, drawn(), 2, {}, [ValueCheck(torch.tensor(True), refuse)], check_finite)


@pytest.mark.parametrize("longest", [2, None])
def test_texts_are_as_long_as_they_are_and_trajectories_in_their_places(longest):
    seen = []

    def decode(ids, skip_special_tokens):
        seen.append(list(ids))
        return f"{list(map(int, ids))}<|cot_end|>" if not skip_special_tokens else "no"

    found = with_texts(drawn(longest=longest), (1, 2, 2), 2, SAMPLING, SimpleNamespace(decode=decode))
    assert found.pred_xyz.shape == (1, 2, 2, 2, 3) and found.pred_rot.shape == (1, 2, 2, 2, 3, 3)
    assert found.actions.shape == (1, 2, 2, 2, 2) and torch.equal(found.sequences, SEQUENCES[:, :5])
    assert [list(map(int, row)) for row in seen] == [[5], [6, 7], [], [5, 8]]
    assert found.reasoning == [[["[5]", "[6, 7]"], ["[]", "[5, 8]"]]]
    assert found.has_start_token.tolist() == [[[True, True], [True, False]]]
    short = SimpleNamespace(max_new_tokens=1, end_ids=(END,))
    assert with_texts(drawn(longest=longest), (1, 2, 2), 2, short, None).sequences.shape == (4, 3)
    assert with_texts(drawn(longest=longest), (1, 2, 2), 2, short, None).reasoning is None
