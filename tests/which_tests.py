"""Which tests run, and in which order: `pytest --shuffle SEED` and `pytest --cases NUMBER`; and what came of it.

`--shuffle` puts files in a random order, and the tests of each; one seed is one order in every worker. `--cases` keeps
so many cases of a parametrised test, from its first to its last. Of tests that are to run in every environment
(`newest`) and of those whose cases have little in common (`every_case`: the pages of the documentation, the training of
each family) it keeps all, of those that compile kernels (`inductor`) or take half a minute or more a case (`long`) a
third as many. `--record` appends a line about a run to a table, such as that of the runs in random order,
benchmarks/random_order.csv.
"""

import csv
import os
import platform
import random
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest

BEGAN = time.monotonic()
REPOSITORY = Path(__file__).parents[1]
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files and their tests in a random order")
    parser.addoption("--record", type=Path, metavar="FILE", help="append a line about the run to a table (CSV)")
    parser.addoption("--cases", type=int, metavar="NUMBER", help="run so many cases of a parametrised test at most")


@pytest.hookimpl(tryfirst=True, wrapper=True)  # pytest puts together afterwards what shares a fixture
def pytest_collection_modifyitems(config, items):
    if (seed := config.getoption("--shuffle")) is not None:
        items[:] = shuffled(items, seed)
    yield
    if (cases := config.getoption("--cases")) is not None:
        kept = {id(item) for item in spread(items, cases)}
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
        items[:] = [item for item in items if id(item) in kept]


def shuffled(items, seed):
    draw, files = random.Random(seed), {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = list(files.values())
    draw.shuffle(order)
    for tests in order:
        draw.shuffle(tests)
    return [item for tests in order for item in tests]


def spread(items, cases):
    """Of each function's items `cases` that lie as far from each other as they can, or all."""
    functions = {}
    for item in items:
        functions.setdefault((item.path, item.nodeid.partition("[")[0]), []).append(item)
    for each in functions.values():
        marks = {mark.name for mark in each[0].iter_markers()}
        most = (
            len(each) if marks & {"newest", "every_case"} else -(-cases // 3) if marks & {"inductor", "long"} else cases
        )
        kept = min(most, len(each))
        yield from (each[round(step * (len(each) - 1) / max(kept - 1, 1))] for step in range(kept))


def pytest_terminal_summary(terminalreporter, config):
    """In the process that a user started, which counts what its workers did."""
    if (path := config.getoption("--record")) is None or hasattr(config, "workerinput"):
        return
    counts = {name: len(terminalreporter.stats.get(name, ())) for name in OUTCOMES}
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        row = {**described_run(config), **counts, "seconds": round(time.monotonic() - BEGAN)}
        table.writerows([row.keys(), row.values()] if is_new else [row.values()])


def described_run(config):
    """What was run, where; load: how many processes wanted a core, in the mean of the last quarter of an hour."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "commit": commit(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "seed": config.getoption("--shuffle"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[2], 1),
    }


def commit():
    """Of the tree; with a plus behind it where files were changed."""
    git = ["git", "-C", str(REPOSITORY)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    paths = [".", ":(exclude)benchmarks/*.csv"]
    changed = subprocess.run([*git, "status", "--porcelain", "-uno", *paths], capture_output=True, text=True).stdout
    return f"{name}+" if changed else name
