"""Options of a merge for a run that was trained by the statistics of its base, and leaves none of its own."""

import json
from pathlib import Path


def statistics_of(base):
    """`--statistics` with the base's config.json; nothing where its model has none.

    base: the folder of a checkpoint.
    """
    config = Path(base, "config.json")
    return ["--statistics", str(config)] if json.loads(config.read_text()).get("norm_stats") else []
