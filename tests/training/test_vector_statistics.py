"""The sample behind q01 and q99: all rows while they fit, a uniform random one beyond, whatever the batches."""

import numpy as np
import pytest

from vlahub.errors import InputError
from vlahub.training.vector_statistics import RowSample

PROBABILITIES = (0.01, 0.5, 0.99)


def sampled(rows, size, batch_size, seed=0):
    sample = RowSample(size, seed)
    for start in range(0, len(rows), batch_size):
        sample.add(rows[start : start + batch_size])
    return sample


def heavy_tailed(rows, dimensions, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_cauchy((rows, dimensions)).astype(dtype)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("dimensions", (1, 14))
@pytest.mark.parametrize(("rows", "batch_size"), ((1, 1), (2, 5), (99, 7), (1000, 64), (1000, 1000)))
def test_quantiles_of_rows_that_fit_are_those_of_numpy(rows, batch_size, dimensions, dtype):
    values = heavy_tailed(rows, dimensions, dtype)
    found = sampled(values, 1000, batch_size).quantiles(PROBABILITIES)
    np.testing.assert_array_equal(found, np.quantile(values.astype(np.float64), PROBABILITIES, axis=0))


def test_a_full_sample_is_the_rows_with_the_smallest_numbers_of_the_seed():
    values = np.arange(10_000.0)[:, None]
    numbers = np.random.default_rng(7).random(10_000)
    wanted = values[np.argsort(numbers)[:300]]
    np.testing.assert_array_equal(
        sampled(values, 300, 977, seed=7).quantiles(PROBABILITIES), np.quantile(wanted, PROBABILITIES, axis=0)
    )


def test_batches_change_nothing():
    values = heavy_tailed(5000, 3)
    wanted = sampled(values, 400, 5000).quantiles(PROBABILITIES)
    for batch_size in (1, 13, 400, 401, 4999):
        np.testing.assert_array_equal(sampled(values, 400, batch_size).quantiles(PROBABILITIES), wanted)


def test_one_row_more_than_fits_is_sampled():
    values = np.arange(101.0)[:, None]
    found = sampled(values, 100, 10).quantiles(np.linspace(0, 1, 100)).ravel()
    dropped = set(values.ravel()) - set(found.round(6))
    assert len(dropped) == 1


@pytest.mark.parametrize("arrange", (np.sort, np.flip, np.asarray))
def test_ranks_of_a_sample_err_by_their_standard_error(arrange):
    """Also for a stream that is sorted, where taking the first rows, or every k-th, would be something else."""
    rows, size = 200_000, 10_000
    values = arrange(np.arange(float(rows)))[:, None]
    errors = []
    for seed in range(20):
        found = sampled(values, size, 9973, seed).quantiles((0.01, 0.99)).ravel()
        errors.append(found / rows - (0.01, 0.99))
    deviation = np.sqrt(0.01 * 0.99 / size)
    assert np.abs(errors).max() < 5 * deviation
    assert 0.5 < np.std(errors) / deviation < 1.5  # neither systematic nor wider than documented
    assert abs(np.mean(errors)) < deviation


def test_every_row_is_as_likely_as_any_other():
    counts = np.zeros(50)
    for seed in range(2000):
        sample = sampled(np.arange(50.0)[:, None], 10, 7, seed)
        sample.cut()
        (rows,) = sample.rows
        assert len(np.unique(rows)) == 10  # without replacement
        counts[rows.ravel().astype(int)] += 1
    assert np.abs(counts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_memory_is_bounded_by_the_sample():
    sample = RowSample(100)
    held = []
    for _ in range(500):
        sample.add(np.zeros((60, 2), dtype=np.float32))
        held.append(sum(map(len, sample.rows)))
    assert max(held) <= 185 and sample.rows[0].dtype == np.float32


def test_an_empty_sample_is_refused():
    with pytest.raises(InputError, match="0 rows"):
        RowSample(0)
