"""A whole fine-tune from its options, as `vlahub train` and examples/finetune.py do it."""

from vlahub.training.finetuning.arguments import FinetuneArguments, check_finetune, make_arguments
from vlahub.training.finetuning.finetune import (
    make_trainer,
    overview_of,
    prepare_finetuning,
    run_finetuning,
)
from vlahub.training.finetuning.options import TRAINING_DEFAULTS, FinetuneOptions
from vlahub.training.finetuning.overview import as_text
from vlahub.training.finetuning.prepared import Finetuning
from vlahub.training.finetuning.run_card import merge_command

__all__ = [
    "TRAINING_DEFAULTS",
    "FinetuneArguments",
    "FinetuneOptions",
    "Finetuning",
    "as_text",
    "check_finetune",
    "make_arguments",
    "make_trainer",
    "merge_command",
    "overview_of",
    "prepare_finetuning",
    "run_finetuning",
]
