"""The scenes that demonstrations are recorded from, where Meta-World is installed (`make .venv-lerobot/metaworld`)."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("metaworld")
EXAMPLES = Path(__file__).parents[3] / "examples" / "closed_loop"


@pytest.fixture(scope="module")
def scene():
    """The module."""
    sys.path.append(str(EXAMPLES))
    yield importlib.import_module("metaworld_scene")
    sys.path.remove(str(EXAMPLES))


def test_scenes_of_one_process_do_not_draw_each_others_frames(scene):
    """A task's frames are those that it has alone, whichever other task was drawn in between."""
    alone, together = {}, {}
    for task in scene.TASKS:
        only = scene.Scene(task, light=True)
        only.reset(5)
        alone[task] = [only.frame(), only.frame()]
    scenes = {task: scene.Scene(task, light=True) for task in scene.TASKS}
    for one in scenes.values():
        one.reset(5)
    for _ in range(2):
        for task, one in scenes.items():
            together.setdefault(task, []).append(one.frame())
    for task in scene.TASKS:
        np.testing.assert_array_equal(alone[task], together[task])
    assert np.abs(np.subtract(*(frames[0].astype(float) for frames in alone.values()))).mean() > 1  # other objects
