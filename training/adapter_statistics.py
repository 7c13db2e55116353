"""By what an adapter that is saved predicts: the statistics and the views of the data that it was trained on.

A config.json there is none beside an adapter, so that its model would predict in the units of its base.
"""

from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..modeling.replaced_weights import STATISTICS
from ..modeling.run_settings import settle_settings

logger = logging.get_logger(__name__)


def settings_of(collator: Any) -> Any:
    """The config by whose statistics a collator of ours normalises; `None` of other collators, and of models that
    normalise by numbers of their own."""
    config = getattr(collator, "config", None)
    return config if getattr(config, "normalization_type", None) is not None else None


def write_statistics(folder: Path, collator: Any, processor: Any) -> None:
    """What a collator normalises by, else the processor, into the folder of an adapter, in the place of those of a
    former run; where neither says, what lies there stays."""
    config = settings_of(collator) or (processor if getattr(processor, "norm_stats", None) else None)
    if config is not None:
        settle_settings(folder, config, is_adapter=True)


def warn_of_missing_statistics(model: Any, collator: Any, processor: Any, folder: str | Path) -> None:
    """Say before a training that nothing will say in which units its adapter predicts.

    Args:
        model: that has the adapter, without its wrapper; processor: which is saved beside it, or `None`; folder: where.
    """
    normalises = getattr(getattr(model, "config", None), "normalization_type", None) is not None
    if not normalises or settings_of(collator) is not None or getattr(processor, "norm_stats", None):
        return
    if (there := Path(folder, STATISTICS)).is_file():
        logger.warning(
            "The adapter will predict by %s, which lies there already: neither the collator nor the processor says by "
            "which statistics it is trained. If they are of a former run, remove them.",
            there,
        )
    else:
        logger.warning(
            "Beside the adapter there will be no statistics, and it would predict in the units of its base: give "
            "VLATrainer the processor (processing_class=...), or a collator of vlahub.data.collator_for."
        )
