# PYTHON_ARGCOMPLETE_OK
"""`python -m vlahub`, the same as `vlahub`: what `accelerate launch -m vlahub` starts."""

import sys

from vlahub.conversion.cli import main

sys.exit(main())
