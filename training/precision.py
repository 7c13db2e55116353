"""The precision that a training computes in. accelerate has one for all of a process, which arguments set when they are
made, and transformers 4.57 leaves it in the environment for those that come after."""

import os

from transformers import Trainer

from ..configuration.vla_errors import InputError
from ..launched_precision import LAUNCHED_PRECISION, PRECISION

LEFT: dict[str, str | None] = {}  # by the latest arguments of ours


def as_launched(says: bool) -> None:
    """Take the precision of the arguments before out of the environment, of which `left_by_arguments` was told.

    says: whether the arguments that come say one themselves.

    Raises:
        InputError: they do not, and somebody else has put one there: it is not told whether this run is meant.
    """
    found = os.environ.get(PRECISION, "no")
    if not says and found not in ("no", LAUNCHED_PRECISION, LEFT.get(PRECISION)):
        raise InputError(
            f"{PRECISION}={found} was put into the environment after vlahub was imported, by you or by other "
            f"TrainingArguments, and these arguments say no precision: give {found}=True, or remove it from os.environ."
        )
    if LAUNCHED_PRECISION is None:
        os.environ.pop(PRECISION, None)
    else:
        os.environ[PRECISION] = LAUNCHED_PRECISION


def left_by_arguments() -> None:
    """Remember what arguments of ours have just left in the environment."""
    LEFT[PRECISION] = os.environ.get(PRECISION)


def check_precision(trainer: Trainer) -> None:
    """Refuse a Trainer that would compute in the precision of other arguments than its own; accelerate itself refuses
    it on 5.x. That of DeepSpeed is of its own config.

    Raises:
        InputError: the message names both precisions.
    """
    arguments, found = trainer.args, trainer.accelerator.mixed_precision
    own = "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else LAUNCHED_PRECISION or "no"
    if found != own and not trainer.is_deepspeed_enabled:
        raise InputError(
            f"the arguments of this Trainer say mixed precision {own!r}, and accelerate computes in {found!r}, that of "
            "other TrainingArguments in this process; make those of each training just before its Trainer, as "
            "vlahub.finetuning.FinetuneArguments."
        )
