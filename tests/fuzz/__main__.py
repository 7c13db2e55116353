"""`python -m fuzz`: all targets, or one, for some time; or one case alone, which shows what it does."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--target", action="append", help="its name (repeat for several; default all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="of all targets together (default 600)")
    parser.add_argument("--case", type=int, help="run this case of --target alone")
    parser.add_argument("--slice", action="store_true", help="as many cases of each as run with every test run")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_faults"), help="where inputs of faults are kept")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        prepare_process(Path(place))
        from .campaign import run  # imports libraries, which look at the environment once

        faults = run(arguments, Path(place))
    return 1 if faults else 0


def prepare_process(place: Path) -> None:
    """Settings of libraries for forked processes of one thread, and caches that nobody else uses."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    os.environ |= {
        "HF_HOME": str(place / "cache"),
        "TMPDIR": str(place / "temporary"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "DATASETS_VERBOSITY": "critical",  # what it says of files it also raises
    }
    (place / "temporary").mkdir()
    tempfile.tempdir = None
    sys.setrecursionlimit(1000)  # of a user's process
    sys.dont_write_bytecode = True  # of what a case is the first to import; nothing is written but a case's output


if __name__ == "__main__":
    sys.exit(main())
