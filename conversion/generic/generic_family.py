"""Any model of transformers, ours included, into which adapters are merged key by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..family import Family

if TYPE_CHECKING:  # slow to import
    from ..job import Job, Prepared


@dataclass
class GenericOptions:
    """What can be said on the command line about a merge into any model; `None` where it was not given."""

    statistics: Path | None = None


def prepare_generic(families: Mapping[str, Family], job: "Job") -> "Prepared":
    from .checkpoint import plan_merge

    return plan_merge(job, job.options(GenericOptions).statistics, families)


def generic_family(families: Mapping[str, Family]) -> Family:
    """families: our own by name: a checkpoint of theirs keeps its own card, and files of their runs are refused."""
    return Family(
        name="generic",
        options=GenericOptions,
        prepare=partial(prepare_generic, families),
    )
