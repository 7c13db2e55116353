"""Statistics that are kept while a dataset is written are those of all of its rows and pictures at once."""

import numpy as np
import pytest

from vlahub.conversion.datasets.running_statistics import ImageStatistics, RunningStatistics


@pytest.mark.parametrize("sizes", [(10,), (1, 9), (3, 3, 4), (4, 5, 1)])
def test_blocks_of_rows_have_the_statistics_of_all_rows(sizes):
    rows = np.random.RandomState(0).randn(10, 3) * [1, 100, 0.01] + [0, 1e6, 5]
    found = RunningStatistics()
    for block in np.split(rows, np.cumsum(sizes)[:-1]):
        found.add(block)
    for name, value in found.result().items():
        np.testing.assert_allclose(value, getattr(rows, name)(axis=0), rtol=1e-12, err_msg=name)


def test_pictures_have_the_statistics_of_their_channels():
    random = np.random.RandomState(0)
    pictures = np.stack([random.randint(low, high, (3, 4, 5)) for low, high in ((3, 90), (0, 255), (200, 256))], -1)
    pictures[0, 0, 0] = [7, 255, 0]
    found = ImageStatistics()
    for part in (pictures[:1], pictures[1:]):
        found.add(part.astype(np.uint8))
    values = pictures.reshape(-1, 3) / 255
    for name, value in found.result().items():
        np.testing.assert_allclose(value, getattr(values, name)(axis=0), rtol=1e-12, err_msg=name)
