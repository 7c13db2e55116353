"""Plants each fault of the list in a copy of the tree and runs the tests that should notice it.

python -m tests.mutants [--jobs N] [--only NAME ...] [--list] [--output FOLDER]

Ends with 0 if at least 95 % are caught. A run that was interrupted goes on where it was, as long as no Python file of
the tree changed; FOLDER/results.json has a row for each mutant, FOLDER/logs what the tests said. Faults of code that
runs on other releases than the installed ones (`only_on`) are left out: .venv4/bin/python tries those of 4.57.
"""

import argparse
import sys
from pathlib import Path

from .every import MUTANTS
from .planted import REPOSITORY, ListError
from .run import MutantRun

LOWEST_RATE = 0.95


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="copies in which tests run at a time")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone, and again where they ran before")
    parser.add_argument("--list", action="store_true", help="names and files, and run nothing")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which tests count as hanging")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "mutants_output")
    arguments = parser.parse_args()
    known = [mutant for mutant in MUTANTS if mutant.runs_here]
    chosen = [mutant for mutant in known if not arguments.only or mutant.name in arguments.only]
    if unknown := set(arguments.only or ()) - {mutant.name for mutant in chosen}:
        elsewhere = {f"{mutant.name} ({mutant.only_on})" for mutant in MUTANTS if mutant.name in unknown}
        parser.error(f"here is no mutant {', '.join(sorted(elsewhere or unknown))}; --list shows their names")
    if arguments.list:
        print("\n".join(f"{mutant.name:50} {mutant.file}" for mutant in chosen))
        return 0
    try:
        outcomes = MutantRun(arguments.output, arguments.limit).outcomes(chosen, arguments.jobs, bool(arguments.only))
    except ListError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    survivors = [name for name, outcome in outcomes.items() if outcome == "survived"]
    rate = 1 - len(survivors) / len(outcomes)
    print(f"{len(outcomes) - len(survivors)} of {len(outcomes)} caught ({rate:.1%})")
    for name in survivors:
        print(f"survived: {name}")
    return 0 if rate >= LOWEST_RATE else 1


if __name__ == "__main__":
    sys.exit(main())
