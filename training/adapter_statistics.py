"""By what an adapter that is saved predicts: the statistics and the views of the data that it was trained on.

A config.json there is none beside an adapter, so that its model would predict in the units of its base.
"""

from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..modeling.run_settings import settle_settings

logger = logging.get_logger(__name__)


def settings_of(collator: Any) -> Any:
    """The config by whose statistics a collator of ours normalises; `None` of other collators, and of models that
    normalise by numbers of their own."""
    config = getattr(collator, "config", None)
    return config if getattr(config, "normalization_type", None) is not None else None


def write_statistics(folder: Path, collator: Any) -> None:
    """What a collator normalises by, into the folder of an adapter; nothing where it does not say."""
    if (config := settings_of(collator)) is not None:
        settle_settings(folder, config, is_adapter=True)


def warn_of_missing_statistics(model: Any, collator: Any, processor: Any) -> None:
    """Say before a training that nothing will say in which units its adapter predicts.

    Args:
        model: that has the adapter, without its wrapper; processor: which is saved beside it, or `None`.
    """
    normalises = getattr(getattr(model, "config", None), "normalization_type", None) is not None
    if normalises and settings_of(collator) is None and not getattr(processor, "norm_stats", None):
        logger.warning(
            "Beside the adapter there will be no statistics, and it would predict in the units of its base: give "
            "VLATrainer the processor (processing_class=...), or a collator of vlahub.data.collator_for."
        )
