"""How long properties are looked at: 25 examples each, the same in every run, or as many as VLAHUB_EXAMPLES.

With VLAHUB_EXAMPLES, examples are drawn anew in each run; `--hypothesis-seed=7` repeats one. What fails is printed with
a line that repeats it (`@reproduce_failure`), so that nothing is kept on the disk.
"""

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("VLAHUB_EXAMPLES")

settings.register_profile(
    "vlahub",
    max_examples=int(EXAMPLES or 25),
    derandomize=EXAMPLES is None,
    deadline=None,  # of an example; machines are slow when they are busy
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile("vlahub")


@pytest.fixture(autouse=True)
def random_numbers_of_torch_are_the_same():
    """Hypothesis sets those of Python and numpy itself."""
    torch.manual_seed(0)
