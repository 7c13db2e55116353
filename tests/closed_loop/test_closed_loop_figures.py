"""What tells whether two ways of driving a robot did the same, and the picture of an episode."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "examples" / "closed_loop"))
from closed_loop_figures import largest_difference, write_strip


def test_the_largest_difference_is_over_all_steps_of_all_episodes():
    first = {"1000": np.zeros((3, 4)), "1001": np.zeros((5, 4))}
    second = {"1001": np.zeros((5, 4)), "1000": np.zeros((3, 4))}
    assert largest_difference(first, second) == 0
    second["1001"][4, 2] = -0.25
    assert largest_difference(first, second) == 0.25


def test_an_episode_with_more_steps_is_another_one():
    assert largest_difference({"1": np.zeros((3, 4))}, {"1": np.zeros((4, 4))}) == np.inf


def test_other_episodes_are_not_compared():
    with pytest.raises(ValueError, match="'1001'"):
        largest_difference({"1000": np.zeros((3, 4))}, {"1000": np.zeros((3, 4)), "1001": np.zeros((3, 4))})


@pytest.mark.parametrize(("frames", "columns"), [(40, 6), (2, 2)])
def test_a_strip_begins_and_ends_as_the_episode(tmp_path, frames, columns):
    greys = np.linspace(0, 255, frames).astype(np.uint8)
    write_strip(tmp_path / "strip.png", [np.full((480, 480, 3), grey, np.uint8) for grey in greys], size=20)
    with Image.open(tmp_path / "strip.png") as image:
        found = np.asarray(image.convert("RGB"))
    assert found.shape == (20, 20 * columns, 3)
    assert found[:, :20].max() == 0
    assert found[:, -20:].min() == 255
