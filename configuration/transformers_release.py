"""The release of transformers that runs. Whatever depends on it asks here, by the release that changed it."""

import transformers

RELEASE = tuple(int(part) for part in transformers.__version__.split(".")[:2])
IS_4 = RELEASE < (5, 0)
