"""Any model of transformers, ours included, into which adapters are merged key by key."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..family import Family
from .options import GenericOptions

if TYPE_CHECKING:  # slow to import
    from ..job import Job, Prepared


def prepare_generic(families: Mapping[str, Family], job: "Job") -> "Prepared":
    from .checkpoint import plan_merge

    return plan_merge(job, families)


def generic_family(families: Mapping[str, Family]) -> Family:
    """families: our own by name: a checkpoint of theirs keeps its own card, and files of their runs are refused."""
    return Family(
        name="generic",
        options=GenericOptions,
        prepare=partial(prepare_generic, families),
    )
