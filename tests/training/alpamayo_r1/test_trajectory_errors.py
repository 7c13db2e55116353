"""Errors of sampled trajectories, against numpy."""

import numpy as np
import pytest
import torch

from vlahub.evaluation import trajectory_errors


@pytest.mark.parametrize("steps", [64, 25])
def test_trajectories_are_measured_by_the_best_sample(steps):
    random = np.random.RandomState(0)
    predicted = random.standard_normal((5, 3, steps, 3)).cumsum(axis=2).astype(np.float32)
    driven = random.standard_normal((5, steps, 3)).cumsum(axis=1).astype(np.float32)
    found = trajectory_errors(torch.from_numpy(predicted), torch.from_numpy(driven))
    distance = np.linalg.norm((predicted - driven[:, None])[..., :2], axis=-1)  # (scenes, samples, steps)
    best = distance.mean(axis=2).argmin(axis=1)
    own = distance[np.arange(5), best]
    assert found["minADE"] == pytest.approx(distance.mean(axis=2).min(axis=1).mean(), rel=1e-5)
    assert found["minFDE"] == pytest.approx(distance[..., -1].min(axis=1).mean(), rel=1e-5)
    assert found["ADE"] == pytest.approx(distance.mean(), rel=1e-5)
    assert found["FDE"] == pytest.approx(distance[..., -1].mean(), rel=1e-5)
    ends = [*range(10, steps, 10), steps]
    assert [row["seconds"] for row in found["horizons"]] == [end / 10 for end in ends]
    for row, end in zip(found["horizons"], ends, strict=True):
        assert row["minADE"] == pytest.approx(own[:, :end].mean(), rel=1e-5)
        assert row["minFDE"] == pytest.approx(distance[..., end - 1].min(axis=1).mean(), rel=1e-5)
    error = np.abs(predicted[np.arange(5), best].astype(float) - driven)
    np.testing.assert_allclose(found["mae"], error.mean(axis=(0, 1)))
    np.testing.assert_allclose(found["per_step"]["rmse"], np.sqrt((error**2).mean(axis=0)))
