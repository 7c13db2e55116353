"""The tensors of a published Alpamayo: of one folder, or of fine-tuning's first stage and its release."""

from ...configuration.vla_errors import ConversionError
from ..checkpoint_plan import weights_of
from ..job import Job
from ..tensors.collected import Collected, SourceGroup, collect
from ..tensors.rename import Row
from .names import EXPERT_PARTS, TABLE
from .options import EXPERT


def collect_weights(job: Job) -> Collected:
    """Every tensor of a run, and with `--expert` the expert of another, under its name in the model.

    Raises:
        ConversionError: there are no weights, a name is unknown, or the run has an expert of its own.
    """
    run = SourceGroup(weights_of(job.adapters[0], "run"), TABLE)
    if EXPERT not in job.parts:
        return collect([run])
    if has_expert(collect([run])):
        raise ConversionError(
            f"--expert {job.parts[EXPERT]} was given, but {job.adapters[0]} has an expert of its own; leave it out."
        )
    return collect([SourceGroup(weights_of(job.parts[EXPERT], EXPERT), expert_table()), run])


def expert_table() -> list[Row]:
    """Of a whole model, of which the expert is taken."""
    return [Row(r"vlm\..+", None, "the run's is taken"), *TABLE]


def has_expert(collected: Collected) -> bool:
    """Whether there is a tensor of the expert or of the projections around it."""
    return any(name.partition(".")[0] in EXPERT_PARTS for name in collected.candidates)
