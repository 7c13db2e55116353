"""What a run was begun with, in its folder, so that it goes on with the same."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from ...configuration.checkpoint_json import read_mapping
from ...configuration.vla_errors import InputError
from ..run_folder import RECORD, results_in
from ..trainer import last_checkpoint
from ..whole_file import write_whole
from .arguments import order_of
from .options import FinetuneOptions

MAY_CHANGE = {"resume"}
# Of TrainingArguments: what a checkpoint has its own of, or what other steps would follow from. How long a run trains,
# what it logs, saves and evaluates, and on how many devices, may change.
OF_THE_COURSE = (
    *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
    *("optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm"),
    *("per_device_train_batch_size", "dataloader_drop_last", "seed", "data_seed"),
    *("bf16", "fp16", "neftune_noise_alpha", "ignore_data_skip"),
)
OF_ACCELERATE = ("split_batches", "even_batches", "use_seedable_sampler")  # which examples make a batch
BATCHES = "gradient_accumulation_steps times processes"


def write_record(options: FinetuneOptions, arguments: TrainingArguments) -> None:
    """Write what a run is begun with into its folder."""
    folder = Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record_of(options, arguments), indent=2, allow_nan=False)
    write_whole(folder / RECORD, text + "\n")


def record_of(options: FinetuneOptions, arguments: TrainingArguments) -> dict[str, Any]:
    """The options, and the arguments of `OF_THE_COURSE`, as JSON has them."""
    course = {name: getattr(arguments, name) for name in OF_THE_COURSE}
    course["max_grad_norm"] = str(course["max_grad_norm"])  # inf, which JSON lacks, measures and clips nothing
    course["lr_scheduler_kwargs"] = course["lr_scheduler_kwargs"] or {}  # transformers 4.57 has {} for 5.x' None
    course["warmup_steps"] = course["warmup_steps"] or getattr(arguments, "warmup_ratio", None) or 0  # 5.x: below 1
    course["train_sampling_strategy"] = order_of(arguments)
    course |= {f"accelerator_config.{name}": getattr(arguments.accelerator_config, name) for name in OF_ACCELERATE}
    course[BATCHES] = arguments.gradient_accumulation_steps * arguments.world_size
    return json.loads(json.dumps(dataclasses.asdict(options) | course, allow_nan=False))


def check_resumed(options: FinetuneOptions, arguments: TrainingArguments) -> None:
    """Refuse to go on with a run under other options or arguments than it was begun with.

    A run without a record, of an earlier release, is not looked at, nor is what its record lacks.

    Raises:
        InputError: the folder holds no run; the message names what differs; or its last checkpoint has no optimiser.
    """
    folder = Path(arguments.output_dir)
    check_optimizer_is_there(last_checkpoint(folder))
    file = folder / RECORD
    if not file.is_file():
        if not results_in(folder):
            raise InputError(f"--resume: {folder} holds no run to go on with; leave it out to begin one there.")
        return
    before, now = read_mapping(file), record_of(options, arguments)
    different = [name for name in now if name not in MAY_CHANGE and name in before and before[name] != now[name]]
    if different:
        said = ", ".join(f"--{name} was {before[name]!r} and is {now[name]!r}" for name in different)
        raise InputError(f"{folder} cannot go on with other options: {said}. Begin another run in another folder.")


def check_optimizer_is_there(checkpoint: str | None) -> None:
    """Raises InputError for a checkpoint of the weights alone: optimiser and schedule would silently begin anew.

    Their own files have other names in every kind of distributed training; random numbers are always beside them.
    """
    if checkpoint and not list(Path(checkpoint).glob("rng_state*.pth")):
        raise InputError(
            f"--resume: {checkpoint} has weights, but no state of the optimiser (--save_only_model), so that the run "
            "cannot go on as it was. Begin another run in another folder."
        )
