"""What can be said on the command line about a merge into any model."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class GenericOptions:
    """`None` where an option was not given."""

    statistics: Path | None = None
