"""`vlahub stats --plot`: lines stand where the file says, bars hold all rows, and nothing overlaps."""

import json

import numpy as np
import pytest
from datasets import Dataset
from matplotlib.patches import StepPatch
from picture_checks import check_texts, words_of

from vlahub.conversion.cli import main
from vlahub.conversion.plots.statistics_plot import DrawnPart, statistics_figure
from vlahub.training.statistics import statistics_and_rows


def part_of(width, rows=200, seed=0, **changes):
    values = np.random.default_rng(seed).normal(size=(rows, width)).cumsum(axis=1) * 10.0 ** np.arange(-3, width - 3)
    values[:, -1] = 3.0  # one that never moves
    frames = Dataset.from_dict({"action": values.tolist()})
    statistics, kept = statistics_and_rows(frames, state=None, unmasked_actions=[-1], progress=False)
    names = [str(i) for i in range(width)]
    found = {"title": "action", "names": names, "units": [""] * width, "rows": kept["action"]}
    return DrawnPart(statistics=statistics["action"], **(found | changes))


@pytest.mark.parametrize("width", [1, 7, 32])
def test_lines_and_bars_are_those_of_the_statistics(width):
    part = part_of(width)
    figure = statistics_figure([part, part], "table: 200 rows")
    assert len(figure.axes) == 2 * width
    for i, axes in enumerate(figure.axes[:width]):
        places = [line.get_xdata()[0] for line in axes.lines]
        assert places == [part.statistics[name][i] for name in ("q01", "q99", "mean")]
        [bars] = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
        heights, edges, _ = bars.get_data()
        assert heights.sum() == pytest.approx(1)
        assert edges[0] <= part.statistics["min"][i] and edges[-1] >= part.statistics["max"][i]
    check_texts(figure)
    assert "passes unchanged" in words_of(figure)


def test_names_and_units_are_told():
    part = part_of(2, names=["shoulder_pan", "gripper"], units=["rad", ""])
    words = words_of(statistics_figure([part], "table"))
    assert all(word in words for word in ("shoulder_pan", "rad", "gripper (passes unchanged)", "dataset's unit"))


def test_rows_beyond_those_that_are_kept_are_a_sample():
    frames = Dataset.from_dict({"action": np.arange(100.0)[:, None].tolist()})
    statistics, rows = statistics_and_rows(frames, state=None, exact_rows=10, progress=False)
    assert rows["action"].shape == (10, 1) and statistics["action"]["max"] == [99.0]


@pytest.fixture
def data(tmp_path):
    columns = {"action": np.eye(4, 7).tolist(), "observation.state": np.eye(4, 8).tolist()}
    Dataset.from_dict(columns).save_to_disk(tmp_path / "table")
    return tmp_path / "table"


def test_the_command_draws_and_replaces_what_it_drew_alone(data, tmp_path, capsys):
    words = ["stats", str(data), "--output", str(tmp_path / "s.json"), "--overwrite", "--quiet", "--plot"]
    picture = tmp_path / "s.png"
    for _ in range(2):
        assert main([*words, str(picture)]) == 0
        assert picture.stat().st_size > 5000 and "table" in json.loads((tmp_path / "s.json").read_text())
    picture.write_bytes(b"a picture of somebody else's")
    assert main([*words, str(picture)]) == 1
    assert picture.read_bytes() == b"a picture of somebody else's"


@pytest.mark.parametrize(
    ("place", "message"), [("s.txt", "suffix"), ("no/such/s.png", "no folder"), ("s.json", "suffix")]
)
def test_a_picture_that_cannot_be_written_is_refused_before_the_data_are_read(place, message, data, tmp_path, capsys):
    assert main(["stats", str(data), "--output", str(tmp_path / "s.json"), "--plot", str(tmp_path / place)]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "s.json").exists()
