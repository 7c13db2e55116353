"""Which language models, VLMs and towers the running release of transformers has, and can run by itself."""

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from vlahub.configuration.transformers_release import RELEASE

WANTS_TORCHVISION = "its image processor wants torchvision"
# Between 4.57 and the release that mended them.
BEFORE = {
    "doge": ((5, 18), "it loses its mask, and is refused"),
    "idefics3": ((5, 18), WANTS_TORCHVISION),
    "smolvlm": ((5, 18), WANTS_TORCHVISION),
}


def skip_unless_here(kind):
    """Skip a test of a model_type that this release lacks, or cannot run."""
    if kind not in CONFIG_MAPPING_NAMES:
        pytest.skip(f"{kind} is not in this transformers")
    mended, reason = BEFORE.get(kind, ((5, 0), None))
    if (5, 0) <= RELEASE < mended:
        pytest.skip(f"{kind} in this transformers: {reason}")
