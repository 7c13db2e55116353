"""`vlahub train`: fine-tune a checkpoint on a dataset; says first what it would train."""

import argparse
import dataclasses
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ...configuration.vla_errors import InputError
from ...training.finetuning.options import FinetuneOptions
from ...training.finetuning.unread_options import check_kind
from ..files.given_datasets import check_dataset_name, reading_dataset
from ..files.given_paths import exists
from ..files.output_guard import lies_inside
from .command import Command
from .error_boundary import ending_at_interrupt
from .stats import loading_bars
from .train_options import add_debug_argument, add_further_arguments, add_train_arguments

if TYPE_CHECKING:
    from ...training.finetuning.arguments import FinetuneArguments
    from ...training.finetuning.prepared import Finetuning

AT_LEAST_ONE = {"rank": "--rank", "max_steps": "--steps", "per_device_train_batch_size": "--batch-size"}


def run_train(arguments: argparse.Namespace) -> None:
    """Print what is trained on what, train, and print what comes next.

    Raises:
        InputError, ConfigError, ConversionError: checkpoint, dataset and options do not fit each other; nothing was
            trained, and the model not loaded where its config tells.
        KeyboardInterrupt: interrupted; the message says what is saved.
        NonFiniteError: the weights became so.
    """
    check_output(arguments.output, [arguments.model, arguments.dataset])
    check_sizes(arguments)
    check_kind(getattr(arguments, "train", FinetuneOptions.train), vars(arguments))
    check_dataset_name(arguments.dataset)
    with ending_at_interrupt():
        import_all()
        from ..model_to_train import check_model

    with quietly() if arguments.quiet else nullcontext():
        check_model(arguments.model)
        train(arguments)


def import_all() -> None:
    """What training needs, which takes seconds."""
    from ...training.finetuning import finetune, overview  # noqa: F401


def train(arguments: argparse.Namespace) -> None:
    """What `run_train` does when names and sizes are checked."""
    from ...training.finetuning.finetune import overview_of, prepare_finetuning, run_finetuning
    from ...training.finetuning.overview import as_text

    options, training = given_options(arguments), training_arguments(arguments)
    with loading_bars(not arguments.quiet):
        with reading_dataset(arguments.dataset):
            run = prepare_finetuning(options, training, arguments.quiet)
        if run.speaks:
            print(as_text(overview_of(run)), flush=True)
            note_of_place(arguments.output, [arguments.model, arguments.dataset])
        if not arguments.dry_run:
            run_finetuning(run)
            leave_group()
    if run.speaks:
        print(closing_words(run, arguments.dry_run))


def leave_group() -> None:
    """All processes of a training end together: one that leaves gloo's threads running may be aborted at its end."""
    from accelerate import PartialState

    state = PartialState()
    state.wait_for_everyone()
    state.destroy_process_group()


def check_output(output: Path, sources: Sequence[str]) -> None:
    """Raises InputError for a file, or a source of the run, in the place of the run's folder."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; --output names the folder of the run.")
    if same := [name for name in sources if exists(Path(name)) and Path(name).resolve() == output.resolve()]:
        raise InputError(f"--output {output} is what the run begins from ({same[0]}); name another folder.")


def note_of_place(output: Path, sources: Sequence[str]) -> None:
    """Say so where the run's folder lies inside of what the run begins from."""
    if note := lies_inside(output, map(Path, sources)):
        print(f"note: {note}", file=sys.stderr)


def check_sizes(arguments: argparse.Namespace) -> None:
    """Raises InputError for a number of which less than one means nothing."""
    for name, option in AT_LEAST_ONE.items():
        value = getattr(arguments, name, 1)
        if value < 1 and not (name == "max_steps" and value == -1):
            raise InputError(f"{option} {value} must be 1 or more.")


def given_options(arguments: argparse.Namespace) -> FinetuneOptions:
    """Those of this package that were given."""
    names = {field.name for field in dataclasses.fields(FinetuneOptions)}
    return FinetuneOptions(**{name: value for name, value in vars(arguments).items() if name in names})


def training_arguments(arguments: argparse.Namespace) -> "FinetuneArguments":
    """Those of transformers that were given, and what `--output`, `--debug` and `--quiet` say of them."""
    from ...training.finetuning.arguments import FinetuneArguments, make_arguments

    names = {field.name for field in dataclasses.fields(FinetuneArguments) if field.init} - {"debug"}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    given["output_dir"] = str(arguments.output)
    if isinstance(arguments.debug, str):
        given["debug"] = arguments.debug
    if arguments.quiet:
        given |= {"disable_tqdm": True}
    return make_arguments(**given)


@contextmanager
def quietly() -> Iterator[None]:
    """Errors only, of other libraries and of the workers that read data, too; afterwards all speak as before."""
    import transformers

    accelerate, said = logging.getLogger("accelerate"), transformers.logging
    before = said.get_verbosity(), said.is_progress_bar_enabled(), accelerate.level, os.environ.get("PYTHONWARNINGS")
    said.set_verbosity_error()
    said.disable_progress_bar()
    accelerate.setLevel(logging.ERROR)
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        said.set_verbosity(before[0])
        if before[1]:
            said.enable_progress_bar()
        accelerate.setLevel(before[2])
        del os.environ["PYTHONWARNINGS"]
        if before[3] is not None:
            os.environ["PYTHONWARNINGS"] = before[3]


def closing_words(run: "Finetuning", dry_run: bool) -> str:
    """What was done, and the command that comes next."""
    from ...training.finetuning.run_card import merge_command

    folder = run.arguments.output_dir
    if dry_run:
        return "\nnothing was trained or written (--dry-run)"
    if run.options.train == "lora":
        return f"\n{folder} holds an adapter; to make one checkpoint of it:\n  {merge_command(run)}"
    return f"\n{folder} is a whole checkpoint; to see what it predicts: vlahub evaluate {folder} --dataset ..."


TRAIN = Command(
    summary="fine-tune a checkpoint on a dataset, by LoRA or whole",
    text="Fine-tune a checkpoint of vlahub on recorded episodes, and leave one folder to merge or to publish. Before "
    "it trains it says which views, statistics and parameters it would train with, and how much memory that takes "
    "(--dry-run: only this). Required are CKPT, --dataset and --output. --help-all lists every option; all of "
    "transformers' TrainingArguments are taken. Several devices: `accelerate launch -m vlahub train ...`.",
    example="train my-vla --dataset path/to/lerobot --output runs/mine --steps 20000 --batch-size 16 --bf16 "
    "--eval-episodes 0.1",
    add_arguments=add_train_arguments,
    add_further=add_further_arguments,
    add_debug=add_debug_argument,
    run=run_train,
)
