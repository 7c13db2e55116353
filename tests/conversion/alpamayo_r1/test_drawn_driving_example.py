"""The picture of a card is of the prediction that the card's code asks for, and tells what that code prints."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.configuration.card_snippet import Asked, car_words
from vlahub.conversion.alpamayo_r1 import drawn_example

CONFIG = SimpleNamespace(
    num_history_poses=3, action_space_cfg={"dt": 0.5}, camera_labels=True, view_names=None, predicts="trajectories"
)
CONFIG.name_or_path, CONFIG.num_images_in_input = "here/my-vla", None


@pytest.mark.parametrize("text", [None, "turn left"])
def test_it_is_drawn_as_the_code_of_the_card_asks(text, monkeypatch, tmp_path):
    given, drawn = {}, {}

    def processor(**inputs):
        given.update(inputs)
        return {name: value for name, value in inputs.items() if name.startswith("ego")}

    processor.view_names = ["front", "left"]

    def sample_trajectories(num_traj_samples, **inputs):
        path = torch.arange(2 * 4 * 3.0).view(1, 1, 2, 4, 3) + torch.rand(1)
        return SimpleNamespace(pred_xyz=path, reasoning=[[["keep", "stop"]]], has_start_token=torch.ones(1, 1, 2))

    def plot(path, *shown, **named):
        drawn.update(named, path=path, shown=shown)

    monkeypatch.setattr(drawn_example, "plot_trajectories", plot)
    model = SimpleNamespace(config=CONFIG, device=torch.device("cpu"), sample_trajectories=sample_trajectories)
    views = [Image.new("RGB", (2, 2)), Image.new("RGB", (3, 3))]
    torch.manual_seed(5)
    said = drawn_example.draw_driving_example(tmp_path / "x.png", model, processor, views, asked := Asked(text=text))
    words = car_words(CONFIG, asked)
    assert words and given.keys() - {"images", "ego_history_xyz", "ego_history_rot"} == words.keys() | (
        {"text"} if text else set()
    )
    assert {name: given[name] for name in words} == words and given.get("text") == text
    assert given["images"] == [[view] for view in views]
    assert given["ego_history_xyz"].tolist() == [[-10.0, 0, 0], [-5.0, 0, 0], [0, 0, 0]]
    assert np.array_equal(given["ego_history_rot"], [np.eye(3)] * 3)
    noise = torch.rand(1, generator=torch.Generator().manual_seed(0))  # whatever was drawn before
    last = torch.tensor([9.0, 10.0, 11.0]) + noise
    assert said == f"(1, 1, 2, 4, 3)\n{last}\nkeep\n"
    assert drawn["path"] == tmp_path / "x.png" and drawn["camera_names"] == ["front", "left"]
    assert "my-vla" in drawn["title"] and drawn["shown"][2] == [["keep", "stop"]]
