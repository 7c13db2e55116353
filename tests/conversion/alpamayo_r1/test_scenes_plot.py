"""The picture of `vlahub evaluate` for cars: its lines are the paths, and the errors those that are written."""

import numpy as np
import pytest
import torch
from picture_checks import check_texts, words_of

from vlahub.conversion.alpamayo_r1.evaluation_plot import scenes_figure
from vlahub.conversion.predictions.evaluated_data import json_ready
from vlahub.training.alpamayo_r1.trajectory_errors import best_samples, trajectory_errors


def evaluated(scenes, samples, steps=64, scale=1.0):
    random = np.random.RandomState(0)
    time = np.arange(1, steps + 1)[:, None] / 10
    driven = time * random.rand(scenes, 1, 3) * [12, 4, 0.1] * scale
    predicted = driven[:, None] + scale * random.randn(scenes, samples, 1, 3) * time**2 * 0.1
    predicted, driven = torch.tensor(predicted).float(), torch.tensor(driven).float()
    result = {"checkpoint": "my-driver", "dataset": "drives", "samples": scenes, "episodes": [0, 1]}
    result |= {"num_traj_samples": samples, "dimensions": list("xyz"), **trajectory_errors(predicted, driven)}
    best = best_samples(predicted, driven)
    return predicted.numpy(), best.numpy(), driven.numpy(), json_ready(result)


def drawn(axes):
    return [line.get_xydata() for line in axes.lines]


@pytest.mark.parametrize(("scenes", "shown"), [(6, [0, 2, 3, 5]), (1, [0])])
def test_lines_are_the_paths_and_the_errors_those_of_the_file(scenes, shown):
    predicted, best, driven, result = evaluated(scenes, 3)
    figure = scenes_figure(predicted, best, driven, [f"scene {i}" for i in range(scenes)], result)
    check_texts(figure)
    *columns, horizons, steps = figure.axes
    for scene, place in zip(shown, range(0, len(columns), 5), strict=True):
        above, distance, *coordinates = columns[place : place + 5]
        lines = drawn(above)
        for path in (driven[scene], best[scene], *predicted[scene]):
            assert any(np.array_equal(line[:, ::-1], path[:, :2]) for line in lines)
        found = sorted(line[:, 1].mean() for line in drawn(distance))
        wanted = np.linalg.norm((predicted[scene] - driven[scene])[..., :2], axis=-1).mean(axis=-1)
        np.testing.assert_allclose(sorted(set(found)), sorted(wanted), rtol=1e-6)
        for i, axes in enumerate(coordinates):
            recorded, closest = drawn(axes)
            np.testing.assert_array_equal(recorded[:, 1], driven[scene, :, i])
            np.testing.assert_array_equal(closest[:, 1], best[scene, :, i])
            np.testing.assert_allclose(closest[:, 0], np.arange(1, 65) / 10)
    for line, name in zip(horizons.lines, ("minADE", "minFDE"), strict=True):
        assert line.get_xydata().tolist() == [[row["seconds"], row[name]] for row in result["horizons"]]
    np.testing.assert_array_equal(np.stack([line.get_ydata() for line in steps.lines], -1), result["per_step"]["mae"])
    for line in steps.lines:
        np.testing.assert_allclose(line.get_xdata(), np.arange(1, 65) / 10)
    read = words_of(figure)
    for wanted in ("scene 0", f"minADE {result['minADE']:.3f} m", "ahead (m)", "to the side (m)", "time from now (s)"):
        assert wanted in read


@pytest.mark.parametrize(("samples", "steps", "scale"), [(1, 5, 1.0), (16, 64, 300.0), (2, 64, 0.0)])
def test_nothing_lies_on_anything_else(samples, steps, scale):
    *paths, result = evaluated(5, samples, steps, scale)
    check_texts(scenes_figure(*paths, [f"episode {i * 1000}, frame {i * 777}" for i in range(5)], result))
