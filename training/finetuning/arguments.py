"""transformers' TrainingArguments for a fine-tune: made, and refused where they would end badly later."""

from dataclasses import dataclass, field
from typing import Any

from transformers import Trainer, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from ...configuration.vla_errors import InputError
from ..precision import as_launched, left_by_arguments
from ..run_folder import check_run_folder
from ..trainer import check_arguments as check_trainers_arguments
from .options import TRAINING_DEFAULTS, FinetuneOptions
from .unread_options import check_kind, given_of

PACKAGES = {"azure_ml": "azureml-mlflow", "comet_ml": "comet-ml", "flyte": "flytekit"}  # named otherwise
OF_THEIR_MODEL = ("galore", "apollo", "lomo")  # optimisers that are made for a model
CHECKPOINTING = {  # names in transformers 4.57 and in 5.x
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
UNUSED = {
    "do_predict": "there is nothing to predict in a training; vlahub evaluate does that",
    "resume_from_checkpoint": "--resume goes on from the last checkpoint of the output folder",
}


@dataclass
class FinetuneArguments(TrainingArguments):
    """transformers', with one that its version 5 no longer has."""

    overwrite_output_dir: bool = field(default=False, metadata={"help": "replace the run that output_dir holds"})

    def __post_init__(self) -> None:
        """What 4.57 calls gradient checkpointing is given by the name that 5.x has for it, whose old one goes in 6.

        4.57 leaves the precision of a run in the environment, from which the next one in the process would take it.

        Raises:
            InputError: see `as_launched`.
        """
        as_launched(says=bool(self.bf16 or self.fp16))
        for old, new in CHECKPOINTING.items():
            if hasattr(self, new) and getattr(self, new) is None:
                setattr(self, new, getattr(self, old))
        super().__post_init__()
        left_by_arguments()


def make_arguments(**given: Any) -> FinetuneArguments:
    """The arguments with this package's defaults, and with these in place of them.

    Raises:
        InputError: a value that transformers refuses, such as an unknown optimiser; the message is its own.
    """
    try:
        return FinetuneArguments(**{**TRAINING_DEFAULTS, **given})
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"TrainingArguments: {' '.join(str(error).split())}") from error


def check_finetune(options: FinetuneOptions, arguments: FinetuneArguments) -> None:
    """Settle what every fine-tune needs, and refuse what would end badly later, before anything is read.

    Raises:
        InputError: an option is of another kind of training, the output folder holds a run, evaluation has no data, a
            tracker or an optimiser is not installed, or an argument has no effect here.
    """
    check_kind(options.train, given_of(options))
    old = "gradient_checkpointing_kwargs"
    new = CHECKPOINTING[old]
    name = new if hasattr(arguments, new) else old
    setattr(arguments, name, {**(getattr(arguments, name) or {}), "use_reentrant": False})
    unset_hf_deepspeed_config()  # ZeRO-3 splits models while they load, and mistakes the names of some parts
    sources = options.model, options.dataset
    check_run_folder(arguments.output_dir, options.resume, arguments.overwrite_output_dir, sources)
    if arguments.eval_strategy != "no" and not options.eval_episodes:
        raise InputError("--eval_strategy needs data to evaluate with: --eval_episodes 0.1 holds a tenth out.")
    if options.quantize and options.train != "lora":
        raise InputError(f"--quantize is for --train lora: weights in 4 bits do not train (--train {options.train}).")
    for name, reason in UNUSED.items():
        if getattr(arguments, name):
            raise InputError(f"--{name} has no effect: {reason}.")
    check_trainers_arguments(arguments)
    check_trackers(arguments.report_to)
    check_optimizer(arguments)


def order_of(arguments: TrainingArguments) -> str:
    """In which order examples are seen, by the word of transformers 5."""
    by_length = getattr(arguments, "group_by_length", False)  # of 4.57, which has no other choice
    return str(getattr(arguments, "train_sampling_strategy", "group_by_length" if by_length else "random"))


def check_trackers(names: list[str]) -> None:
    """Raises InputError for a tracker of `report_to` that transformers does not know, or that is not installed."""
    available = get_available_reporting_integrations()
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise InputError(f"report_to={name!r} is unknown; choose from {known}, or none.")
        if name not in available:
            package = PACKAGES.get(name, name)
            raise InputError(
                f"report_to={name!r} needs the package {package}, which is not installed: pip install {package}"
            )


def check_optimizer(arguments: TrainingArguments) -> None:
    """Raises InputError for an optimiser whose package is not installed, or whose `optim_args` do not fit."""
    name = str(getattr(arguments.optim, "value", arguments.optim))
    if name.startswith(OF_THEIR_MODEL):
        return
    try:
        Trainer.get_optimizer_cls_and_kwargs(arguments)
    except (ValueError, ImportError) as error:
        raise InputError(f"optim={name}: {' '.join(str(error).split())}") from error
