"""What a card computes, held against what a processor computes: `make test-gpu`; one file a check.

The models and their inputs are those of the tests, whose shared files (`tests/families.py`, `tests/tiny_configs.py`,
...) are on the path from here on.
"""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"

if str(TESTS) not in sys.path:
    sys.path.append(str(TESTS))
