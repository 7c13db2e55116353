"""The Hub on loopback of tests/hub."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hub_server() -> Iterator:
    path = Path(__file__).parents[1] / "hub" / "hub_server.py"
    spec = importlib.util.spec_from_file_location("hub_server", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.HubServer() as server:
        yield server
