"""`pytest --shuffle SEED`: files in a random order, and the tests of each; one seed is one order in every worker."""

import random

import pytest


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files and their tests in a random order")


@pytest.hookimpl(tryfirst=True)  # pytest puts together afterwards what shares a fixture
def pytest_collection_modifyitems(config, items):
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    draw, files = random.Random(seed), {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = list(files.values())
    draw.shuffle(order)
    for tests in order:
        draw.shuffle(tests)
    items[:] = [item for tests in order for item in tests]
