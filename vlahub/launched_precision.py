"""The precision that `accelerate launch` asked for, read before other code of the process can put its own there."""

import os

PRECISION = "ACCELERATE_MIXED_PRECISION"
LAUNCHED_PRECISION = os.environ.get(PRECISION)
