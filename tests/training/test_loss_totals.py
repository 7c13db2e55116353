"""What a step's loss is made of and divided by: parts by their weights, items over batches and processes."""

from types import SimpleNamespace

import pytest
import torch

from vlahub.errors import InputError
from vlahub.training.loss_totals import base_of, check_weights, loss_totals, weighted_loss


def test_parts_of_a_loss_are_added_by_their_weights():
    output = {"action_loss": torch.tensor(2.0), "lm_loss": torch.tensor(3.0), "trajectory_lm_loss": torch.tensor(5.0)}
    for weights, wanted in (({}, 10.0), ({"text": 0.5, "trajectory": 0}, 3.5), ({"action": 0, "trajectory": 2}, 13.0)):
        assert weighted_loss(output, weights).item() == wanted
    assert weighted_loss({"action_loss": torch.tensor(2.0), "lm_loss": None}, {"text": 3}).item() == 2


@pytest.mark.parametrize("weight", [-0.5, float("inf"), float("nan")])
def test_weights_are_numbers_of_zero_or_more_of_parts_that_there_are(weight):
    check_weights({"action": 0, "text": 1.5, "trajectory": 1})
    with pytest.raises(InputError, match=r"loss_weights\['text'\]"):
        check_weights({"action": 1, "text": weight})
    with pytest.raises(InputError, match="names 'actions'; a loss has the parts action, text, trajectory"):
        check_weights({"actions": 1})


class Counted:
    """A model that draws a time for a batch and counts its rows."""

    def drawn(self, rows, time=None):
        return {"time": rows * 10 if time is None else time}

    def loss_items(self, rows, time):
        return {"flow": torch.tensor(time), "action": torch.tensor(rows)}


def test_items_are_added_up_over_batches_and_processes_and_drawn_times_stay():
    accelerator = SimpleNamespace(device=torch.device("cpu"), reduce=lambda totals, how: {"sum": 2}[how] * totals)
    batches = [{"rows": 1}, {"rows": 2, "time": 5}]
    totals = loss_totals(Counted(), batches, accelerator)
    assert {name: total.item() for name, total in totals.items()} == {"action": 6, "flow": 30}
    assert batches == [{"rows": 1, "time": 10}, {"rows": 2, "time": 5}]
    assert loss_totals(Counted(), [], accelerator) is None


def test_the_model_itself_is_inside_of_pefts():
    model = torch.nn.Linear(1, 1)
    assert base_of(model) is model and base_of(SimpleNamespace(get_base_model=lambda: model)) is model
