"""What a fixture or a test draws without a seed follows from its name, and not from what ran before it.

A tiny model whose weights are drawn is thus the same in every order, on every worker, and when its test runs alone.
"""

import random
import zlib

import numpy as np
import pytest
import torch


def draw_by(name):
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed notes for each absent device from where it was called


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    draw_by(f"{fixturedef.baseid} {fixturedef.argname} {request.param_index}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    draw_by(item.nodeid)
