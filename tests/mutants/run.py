"""Copies, workers and results of one run over the mutants."""

import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path

from .copied_tree import CopiedTree, tracked_files, tree_hash
from .every import NOTHING_IMPORTS
from .planted import ListError, Mutant

OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"]


class Tester:
    """One copy and the worker that runs tests in it."""

    def __init__(self, tree: CopiedTree, limit: float):
        self.tree = tree
        self.limit = limit
        self.worker = tree.start_worker()

    def run(self, tests: Iterable[str], log: Path, mutant: Mutant | None = None, more: Iterable[str] = ()) -> dict:
        """pytest's exit code and the seconds."""
        request = {"tests": list(tests), "options": [*OPTIONS, *more], "limit": self.limit, "log": str(log)}
        with self.tree.mutated(mutant) if mutant else nullcontext():
            self.worker.stdin.write(json.dumps(request) + "\n")
            self.worker.stdin.flush()
            line = self.worker.stdout.readline()
        if not line:
            raise ListError(f"the process that runs tests ended with {self.worker.wait()}")
        return json.loads(line)

    def end(self) -> None:
        self.worker.stdin.close()
        try:
            self.worker.wait(10)
        except subprocess.TimeoutExpired:
            self.worker.kill()


class MutantRun:
    def __init__(self, output: Path, limit: float):
        self.logs = output / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.results_file = output / "results.json"
        self.limit = limit
        self.files = tracked_files()
        self.lock = threading.Lock()
        self.results = self.read_results()

    def read_results(self) -> dict:
        """Those of an earlier run on the same tree, with the same transformers."""
        fresh = {"tree": f"{tree_hash(self.files)} {version('transformers')}", "passed": [], "mutants": {}}
        if not self.results_file.is_file():
            return fresh
        earlier = json.loads(self.results_file.read_text(encoding="utf-8"))
        return earlier if earlier["tree"] == fresh["tree"] else fresh

    def outcomes(self, mutants: list[Mutant], jobs: int, again: bool) -> dict[str, str]:
        """`{name: "caught" or "survived"}` of these mutants, those that ran before taken from the results."""
        for mutant in (*mutants, NOTHING_IMPORTS):
            mutant.mutated()
        known = {} if again else self.results["mutants"]
        left = [mutant for mutant in mutants if mutant.name not in known]
        tests = by_file(test for test in unique(left) if test not in self.results["passed"])
        if left:
            with self.testers(min(jobs, len(left))) as testers:
                self.check_copies(testers)
                self.spread(testers, tests, self.check_passes)
                self.spread(testers, left, self.try_mutant)
        return {mutant.name: self.results["mutants"][mutant.name]["outcome"] for mutant in mutants}

    @contextmanager
    def testers(self, count: int):
        with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
            found = [Tester(CopiedTree(Path(folder) / f"tree{i}", self.files), self.limit) for i in range(count)]
            try:
                yield found
            finally:
                for tester in found:
                    tester.end()

    def check_copies(self, testers: list[Tester]) -> None:
        for tester in testers:
            log = self.logs / "nothing-imports.log"
            tester.run(NOTHING_IMPORTS.tests, log, NOTHING_IMPORTS)
            if "RuntimeError: planted" not in log.read_text(encoding="utf-8"):
                raise ListError(f"tests do not import the package of the copy, in which nothing can be imported: {log}")

    def check_passes(self, tester: Tester, tests: list[str]) -> None:
        """Tests of one file."""
        file = tests[0].partition("::")[0]
        log = self.logs / f"{file.replace('/', '_')}.log"
        found = tester.run(tests, log)
        if found["code"] != 0:
            raise ListError(f"{file} does not pass without a mutant (code {found['code']}), see {log}")
        self.keep(lambda: self.results["passed"].extend(tests))
        print(f"passes    {found['seconds']:6} s  {file}", flush=True)

    def try_mutant(self, tester: Tester, mutant: Mutant) -> None:
        log = self.logs / f"{mutant.name}.log"
        found = tester.run(mutant.tests, log, mutant, ["-x"])
        outcome = "survived" if found["code"] == 0 else "caught"  # also where tests cannot be imported, or hang
        row = {"outcome": outcome, **found}
        self.keep(lambda: self.results["mutants"].update({mutant.name: row}))
        note = "  (its tests did not end)" if found["code"] is None else ""
        print(f"{outcome:9} {found['seconds']:6} s  {mutant.name}{note}", flush=True)

    def keep(self, change: Callable[[], object]) -> None:
        with self.lock:
            change()
            self.results_file.write_text(json.dumps(self.results, indent=1), encoding="utf-8")

    @staticmethod
    def spread(testers: list[Tester], work: list, do: Callable) -> None:
        """Each tester takes the next piece of work; the first error ends all of them."""
        waiting, errors = queue.SimpleQueue(), []
        for piece in work:
            waiting.put(piece)

        def take(tester: Tester) -> None:
            while not errors:
                try:
                    do(tester, waiting.get_nowait())
                except queue.Empty:
                    return
                except Exception as error:
                    errors.append(error)

        threads = [threading.Thread(target=take, args=(tester,)) for tester in testers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


def unique(mutants: list[Mutant]) -> list[str]:
    """The tests that they name, each once."""
    return list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))


def by_file(tests: Iterable[str]) -> list[list[str]]:
    """The tests of each file together."""
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    return list(files.values())
