"""The suite's own guards see what they are for: each is run over a test that offends."""

import csv
import sys
import textwrap

import leftovers
import own_draws
import pytest
import transformers
import which_tests

OFFENDERS = {
    "environment": ("import os", "os.environ['LEFT'] = 'x'", "the environment: LEFT=None -> 'x'"),
    "folder": ("import os", "os.chdir('/')", "the current folder"),
    "dtype": ("import torch", "torch.set_default_dtype(torch.float64)", "torch's default dtype"),
    "handler": ("import signal", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "handlers of signals"),
    "logging": ("import logging", "logging.getLogger().addHandler(logging.NullHandler())", "handlers of logging"),
}
RUN_ON = """
    import subprocess, sys, threading

    def test_one():
        end, child = threading.Event(), subprocess.Popen(["sleep", "60"])
        sys.left = (end, child)
        threading.Thread(target=end.wait, name="left").start()
"""


class Reports:
    """What a run reported, in its order: `(name of the test, when, outcome, text)`."""

    def __init__(self):
        self.found = []

    def pytest_runtest_logreport(self, report):
        self.found.append((report.nodeid.partition("::")[2], report.when, report.outcome, report.longreprtext))

    def of(self, when):
        return [(outcome, text) for _, at, outcome, text in self.found if at == when]


@pytest.fixture
def run(tmp_path):
    """Run a file of tests in this process, with the guards."""

    def run(text, *options):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        file = tmp_path / "test_offender.py"
        file.write_text(textwrap.dedent(text))
        reports = Reports()
        words = [file, "-s", "-c", tmp_path / "pytest.ini", "--import-mode=importlib", *options]
        words += ["-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:unraisableexception"]
        sys.modules.pop(file.stem, None)  # of the text before
        pytest.main([*map(str, words)], plugins=[leftovers, own_draws, which_tests, reports])
        return reports

    return run


@pytest.mark.parametrize("name", OFFENDERS)
def test_what_a_test_changes_is_put_back_and_in_a_random_order_an_error(name, run):
    imports, body, said = OFFENDERS[name]
    before = leftovers.state_of_process()
    for options, outcome in ((), "passed"), (("--shuffle", "1"), "failed"):
        reports = run(f"{imports}\ndef test_one():\n    {body}\n", *options)
        assert [outcome for outcome, _ in reports.of("call")] == ["passed"]
        ((found, text),) = reports.of("teardown")
        assert found == outcome and (f"the test left changed: {said}" in text) == bool(options)
        assert leftovers.state_of_process() == before


def test_threads_and_processes_that_are_left_are_named(run, monkeypatch):
    monkeypatch.setattr(leftovers, "ENDING", 0.1)
    monkeypatch.setattr(sys, "left", None, raising=False)
    ((found, text),) = run(RUN_ON, "--shuffle", "1").of("teardown")
    end, child = sys.left
    end.set()
    child.kill()
    child.wait()
    assert found == "failed" and "the file left running: process sleep 60 , thread left" in text


def test_a_test_that_would_end_the_process_fails_and_a_child_of_its_own_may_end(run):
    ((found, text),) = run("import os\ndef test_one():\n    os._exit(0)\n").of("call")
    assert found == "failed" and "would end the process of the tests" in text
    text = "import os\ndef test_one():\n    child = os.fork()\n    child or os._exit(7)\n"
    text += "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    assert run(text).of("call") == [("passed", "")]


def test_a_seed_is_an_order_and_another_is_another(run):
    text = "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_one(n):\n    pass\n"

    def order(*options):
        return [name for name, when, *_ in run(text, *options).found if when == "call"]

    plain, first, second = order(), order("--shuffle", "1"), order("--shuffle", "2")
    assert first == order("--shuffle", "1")
    assert sorted(first) == sorted(second) == sorted(plain) == plain
    assert plain != first != second != plain


def test_what_came_of_runs_is_a_table_of_them(run, tmp_path):
    path = tmp_path / "runs.csv"
    text = "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_one(n):\n"
    for seed, body in (("7", "    pass\n"), ("8", "    n == 3 and pytest.skip()\n    assert n != 2\n")):
        run(text + body, "--shuffle", seed, "--record", str(path))
    first, second = csv.DictReader(path.open(newline=""))
    assert [first[name] for name in ("seed", "passed", "failed", "error", "skipped")] == ["7", "5", "0", "0", "0"]
    assert [second[name] for name in ("seed", "passed", "failed", "error", "skipped")] == ["8", "3", "1", "0", "1"]
    assert first["commit"] and first["transformers"] == transformers.__version__ and float(first["load"]) >= 0


def test_of_each_tests_cases_so_many_are_kept_from_the_first_to_the_last(run):
    text = """
        import pytest
        MANY = [*range(8), pytest.param(8, marks=pytest.mark.slow)]

        @pytest.mark.parametrize("n", MANY)
        def test_many(n):
            pass

        @pytest.mark.parametrize("n", range(2))
        def test_two(n):
            pass

        @pytest.mark.inductor
        @pytest.mark.parametrize("n", range(2))
        def test_kernels(n):
            pass

        class TestMore:
            @pytest.mark.every_case
            @pytest.mark.parametrize("n", range(4))
            def test_four(self, n):
                pass

            @pytest.mark.parametrize("n", range(9))
            def test_many(self, n):
                pass
    """

    def names(*options):
        return [name for name, when, *_ in run(text, *options).found if when == "call"]

    assert names("-m", "not slow", "--cases", "3") == [
        *("test_many[0]", "test_many[4]", "test_many[7]", "test_two[0]", "test_two[1]"),
        "test_kernels[0]",
        *(f"TestMore::test_four[{n}]" for n in range(4)),
        *("TestMore::test_many[0]", "TestMore::test_many[4]", "TestMore::test_many[8]"),
    ]
    assert [name for name in names("--cases", "1") if "four" not in name] == [
        *("test_many[0]", "test_two[0]", "test_kernels[0]", "TestMore::test_many[0]"),
    ]
    assert len(names()) == len(names("--cases", "9")) == 26


def test_what_is_drawn_follows_from_the_name_of_who_draws(run, monkeypatch):
    text = """
        import random, sys
        import numpy as np
        import pytest
        import torch

        def drawn():
            return random.random(), np.random.rand(), torch.rand(1).item()

        @pytest.fixture(scope="module", params=range(2))
        def shared(request):
            return drawn()

        @pytest.fixture
        def own():
            return drawn()

        @pytest.mark.parametrize("n", range(3))
        def test_one(shared, own, n, request):
            name = request.node.name
            sys.drawn[name] = (*shared, *own, *drawn())

        @pytest.mark.parametrize("n", range(3))
        def test_two(shared, own, n, request):
            sys.drawn[request.node.name] = (*shared, *own, *drawn())
    """
    found = []
    for options in ((), ("--shuffle", "1"), ("--shuffle", "2")):
        monkeypatch.setattr(sys, "drawn", {}, raising=False)
        run(text, *options)
        found.append(sys.drawn)
    assert found[0] == found[1] == found[2] and list(found[0]) != list(found[1])
    draws = [draw for name, each in found[0].items() for draw in (each[:3], each[3:6], (name, each[6:]))]
    assert len(draws) == 36 and len(set(draws)) == 2 + 1 + 12  # of each parameter, of the other fixture, of each test
