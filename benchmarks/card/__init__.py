"""What a card computes, held against what a processor computes: `make test-gpu`; one file a check.

The models and their inputs are those of the tests, whose shared files (`tests/families.py`, `tests/tiny_configs.py`,
...) are on the path from here on; and so are packages that were carried along (`carried.py`), after a machine's own.
But for those that transformers and PEFT would import themselves, whether they work with the machine's torch or not:
`APART` has a folder for each, which the check that needs it puts on the path.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2]
APART = FOLDER / "packages_apart"

for name in ("tests", "packages"):
    if (FOLDER / name).is_dir() and str(FOLDER / name) not in sys.path:
        sys.path.append(str(FOLDER / name))
