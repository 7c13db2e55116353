"""Calls of vlahub on cards, of which `simulated_card` runs this: `python -m simulated_card calls_on_cards`."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from vlahub import freeze_unreached
from vlahub.conversion.alpamayo_r1.trajectory_plot import plot_trajectories
from vlahub.training.evaluation import own_randomness

CARDS = [torch.device("cuda", index) for index in range(2)]


class Spread(nn.Module):
    """A part on each card, which draws there."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Dropout()).to(card) for card in CARDS)
        self.unread = nn.Linear(4, 4).to(CARDS[1])

    def forward(self, actions: torch.Tensor) -> SimpleNamespace:
        for part, card in zip(self.parts, CARDS, strict=True):
            actions = part(actions.to(card))
        return SimpleNamespace(loss=actions.square().mean())


def drawn() -> list[list[float]]:
    """What the processor and each card draw next."""
    return [torch.rand(3, device=device).tolist() for device in ("cpu", *CARDS)]


def random_numbers_of_all_cards_are_given_back() -> None:
    torch.manual_seed(0)
    wanted = drawn()
    for device in CARDS:
        torch.manual_seed(0)
        with own_randomness(5, device):
            assert drawn() != wanted
        assert drawn() == wanted, device
    model = Spread()
    torch.manual_seed(0)
    assert freeze_unreached(model, {"actions": torch.ones(2, 4)}) == ["unread.weight", "unread.bias"]
    assert drawn() == wanted


def what_a_drive_on_a_card_returns_is_drawn() -> None:
    paths = torch.randn(1, 2, 64, 3, device="cuda").cumsum(-2)
    history, started = torch.randn(16, 3, device="cuda"), torch.tensor([[True, False]], device="cuda")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "drive.png")
        view, texts = np.zeros((8, 8, 3), dtype=np.uint8), [["one", "two"]]
        plot_trajectories(picture, [[view]], paths, texts, history, paths[0, 0], has_start_token=started)
        assert picture.stat().st_size


if __name__ == "__main__":
    random_numbers_of_all_cards_are_given_back()
    what_a_drive_on_a_card_returns_is_drawn()
