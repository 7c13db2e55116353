"""A fine-tune from its options to its folder: prepared, told of, trained and saved."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoProcessor, PrinterCallback, TrainerState, set_seed
from transformers.integrations.deepspeed import set_hf_deepspeed_config

from ..own_classes import check_learnable, check_own_classes
from ..run_folder import clear_run_folder
from ..statistics import FILE as STATISTICS
from ..trainer import VLATrainer, last_checkpoint
from ..unreached import chooses_experts
from ..waiting import waiting
from ..whole_file import write_whole
from .arguments import FinetuneArguments, check_finetune
from .interruption import StopAfterStep, stopping_at_interrupt
from .memory import memory_estimate
from .options import FinetuneOptions
from .overview import Table, memory_table, parts_table, settings_table, statistics_table, view_table
from .prepared import Finetuning
from .run_card import figures_of, write_run_card
from .run_data import apply_data, collator_of, read_frames, settle_data
from .run_model import check_is_ours, first_pass, load_model, with_what_trains
from .run_record import check_resumed, write_record
from .settled_options import check_settled


def prepare_finetuning(options: FinetuneOptions, arguments: FinetuneArguments, quiet: bool = False) -> Finetuning:
    """Read data and model, and freeze what shall not train. Nothing is written.

    What does not fit is refused before the model is loaded, where its config tells.

    Raises:
        CheckpointError: `options.model` is no checkpoint of a family known here.
        InputError, ConfigError: see `check_finetune`, `check_settled`, `settle_data`, `with_what_trains`.
    """
    check_finetune(options, arguments)
    if options.resume:
        check_resumed(options, arguments)
    check_is_ours(options.model)
    config = AutoConfig.from_pretrained(options.model)
    check_own_classes(config)
    check_learnable(config)
    check_settled(options, config)
    processor = AutoProcessor.from_pretrained(options.model)
    frames, held_out = read_frames(options, arguments)
    quiet_here = quiet or arguments.process_index > 0
    progress = not (quiet_here or arguments.disable_tqdm)
    begun_with = statistics_of(arguments.output_dir) if options.resume else None
    data = settle_data(frames, held_out, options, config, processor, quiet_here, progress, begun_with)
    set_seed(arguments.seed)
    with waiting("loading the model", progress):
        model = load_model(options)
    apply_data(model.config, processor, data.statistics, data.images)
    collator = collator_of(model.config, processor, options)
    model, groups = with_what_trains(model, options, arguments)
    with waiting("computing the first loss", progress):
        first = first_pass(model, collator([data.examples[0]]))
    if chooses_experts(model):
        arguments.ddp_find_unused_parameters = True  # which ones are unused differs between the processes
    return Finetuning(options, arguments, model, groups, processor, data, collator, first, quiet)


def overview_of(found: Finetuning) -> list[Table]:
    """What is worth a look before it trains."""
    config = (found.model.get_base_model() if found.groups is None else found.model).config
    estimate = memory_estimate(found.model, found.arguments, found.first.activation_bytes)
    tables = [
        view_table(found.data),
        statistics_table(found.data, config, found.options),
        parts_table(found.model),
        memory_table(estimate),
        settings_table(found.data, found.options, found.arguments, found.first.loss),
    ]
    if found.data.assumed:
        tables.append(Table("assumed", (), [(sentence,) for sentence in found.data.assumed]))
    return tables


def make_trainer(found: Finetuning) -> VLATrainer:
    """The Trainer; its folder is made here."""
    if found.arguments.deepspeed:  # splits the model here
        set_hf_deepspeed_config(found.arguments.hf_deepspeed_config)
    more: dict[str, Any] = {"groups": found.groups, "predict_in_evaluation": True}
    if found.options.learns_text:
        more["loss_weights"] = {"text": found.options.text_weight}
    data = found.data
    trainer = VLATrainer(
        found.model, found.arguments, found.collator, data.examples, data.held_out, found.processor, **more
    )
    if found.quiet:
        trainer.remove_callback(PrinterCallback)
    return trainer


def run_finetuning(found: Finetuning) -> VLATrainer:
    """Train, and leave the run's folder: weights, processor, statistics, trainer_state.json, figures and a card.

    An interrupt saves a checkpoint after its step, where one process trains. With `push_to_hub` the folder is pushed
    when all of this is there.

    Raises:
        KeyboardInterrupt: interrupted; the message says what `--resume` goes on from.
        NonFiniteError: see `VLATrainer`.
    """
    options, arguments = found.options, found.arguments
    trainer = make_trainer(found)
    if arguments.overwrite_output_dir:
        clear_run_folder(arguments.output_dir)
    if trainer.is_world_process_zero():
        write_beginning(found)
    begin = last_checkpoint(arguments.output_dir) if options.resume else None
    if found.speaks and options.resume:
        print(going_on(begin, options.augment, arguments.output_dir))
    stop = StopAfterStep()
    trainer.add_callback(stop)
    try:
        with stopping_at_interrupt(stop, arguments.world_size):
            figures = trainer.train(resume_from_checkpoint=begin).metrics
    except KeyboardInterrupt:
        raise KeyboardInterrupt(interruption(trainer)) from None
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        raise KeyboardInterrupt(interruption(trainer))
    with waiting("saving", found.shows_bars):
        trainer.save_model(_internal_call=True)  # which pushes nothing yet
        trainer.save_state()
    if found.data.held_out:
        figures |= trainer.evaluate()
    figures = figures_of(figures, trainer.state.log_history, resumed=begin is not None)
    write_card = partial(write_run_card, found, trainer.state.global_step, figures)
    if trainer.is_world_process_zero():
        write_card()
    if arguments.push_to_hub:
        trainer.create_model_card = lambda **_: write_card()  # a push saves the model again, and its card with it
        trainer.push_to_hub()
    return trainer


def write_beginning(found: Finetuning) -> None:
    """What the folder holds from its first step on: the options, and the statistics."""
    folder = Path(found.arguments.output_dir)
    write_record(found.options, found.arguments)
    if found.data.statistics:
        write_whole(folder / STATISTICS, json.dumps(found.data.statistics, indent=2, allow_nan=False))
    else:
        (folder / STATISTICS).unlink(missing_ok=True)  # of a run that this one replaces


def going_on(checkpoint: str | None, augment: bool, folder: str) -> str:
    """What a run that goes on says, and where its images will be others than without the interruption."""
    if checkpoint is None:
        return f"{folder} has no checkpoint: from the beginning"
    state = TrainerState.load_from_json(str(Path(checkpoint, "trainer_state.json")))
    said = f"going on from {checkpoint}"
    if augment and not float(state.epoch).is_integer():
        said += (
            f", amid an epoch ({state.epoch:.2f}): --augment changes the images of the rest of it otherwise than in a "
            "run that was not interrupted, and the weights will differ from its weights"
        )
    return said


def statistics_of(folder: str) -> Path | None:
    """The file of the statistics that a run began with; `None` where it has none."""
    file = Path(folder, STATISTICS)
    return file if file.is_file() else None


def interruption(trainer: VLATrainer) -> str:
    """What an interrupted run has left."""
    step, checkpoint = trainer.state.global_step, last_checkpoint(trainer.args.output_dir)
    if checkpoint is None:
        return f"interrupted in step {step + 1}; no checkpoint was saved (--save_steps says how often)"
    return f"interrupted after step {step}; {checkpoint} is saved, and the same command with --resume goes on from it"
