"""Fine-tune a VLA of any family with transformers' Trainer, and leave one folder to merge or to publish.

    python examples/finetune.py --model you/your-vla --dataset path/to/lerobot_dataset --output_dir runs/mine
    merge-lora --base you/your-vla --adapter runs/mine --output my-vla        # after --train lora, the default

`--model cogvla` (or another family's name) takes a tiny untrained model, and `--dataset demo` a drawn dataset. Every
argument of transformers' TrainingArguments works (--bf16, --gradient_checkpointing, --deepspeed, ...), under
`python`, and under `accelerate launch` on several devices with DDP, FSDP2 or DeepSpeed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from demonstration import DRIVING, demonstration
from peft import get_peft_model, prepare_model_for_kbit_training
from tiny_models import MAKERS
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    HfArgumentParser,
    TrainingArguments,
    set_seed,
)
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

import vlahub
from vlahub.data import (
    ActionChunks,
    DrivingScenes,
    RandomAugmentation,
    apply_statistics,
    camera_columns,
    collator_for,
    hold_out_episodes,
    load_frames,
    record_views,
    run_statistics,
)
from vlahub.errors import InputError

STATE = "observation.state"
STRATEGIES = ["lora", "A", "B", "full", "vlm"]
DEFAULTS = {
    "remove_unused_columns": False,  # the collators read all of an example
    "ddp_find_unused_parameters": False,  # there are none left, see `freeze_unreached`
    "learning_rate": 5e-4,
    "logging_steps": 10,
    "logging_nan_inf_filter": False,  # it hides them, and waits for the device in every step
    "save_total_limit": 2,
    "report_to": "none",
}


@dataclass
class Options:
    """What is trained on what."""

    model: str = field(metadata={"help": f"checkpoint, or a family for a tiny model: {', '.join(MAKERS)}"})
    dataset: str = field(default="demo", metadata={"help": "LeRobot folder, saved or Hub dataset, or demo"})
    train: str = field(
        default="lora",
        metadata={"help": "lora; A: what is new; B: also the language model's top layers; full; vlm: its text alone"}
        | {"choices": STRATEGIES},
    )
    rank: int = field(default=32, metadata={"help": "of LoRA"})
    alpha: int = field(default=16, metadata={"help": "of LoRA"})
    quantize: bool = field(default=False, metadata={"help": "load the language model in 4 bits (QLoRA)"})
    top_layers: int = field(default=4, metadata={"help": "of the language model, with --train B"})
    backbone_lr_scale: float = field(default=0.1, metadata={"help": "on the learning rate, with --train B and full"})
    vision_lr_scale: float = field(default=0.1, metadata={"help": "on that of the vision tower, with --train vlm"})
    dtype: str = field(default="float32", metadata={"help": "of the weights"})
    images: list[str] = field(default_factory=list, metadata={"help": "image columns, main camera first; all"})
    action: list[str] = field(
        default_factory=lambda: ["action"], metadata={"help": "column of the actions, or several"}
    )
    state: list[str] = field(default_factory=lambda: [STATE], metadata={"help": "of the state or the pose, or several"})
    text: str = field(default="task", metadata={"help": "column of the instruction"})
    statistics: str | None = field(default=None, metadata={"help": "file; default: the dataset folder's, or computed"})
    unmasked_actions: list[int] = field(default_factory=list, metadata={"help": "dimensions to leave as they are"})
    eval_episodes: float = field(default=0.0, metadata={"help": "share of the episodes to evaluate with"})
    repeat_last: bool = field(default=False, metadata={"help": "also learn to repeat an episode's last action"})
    augment: bool = field(default=False, metadata={"help": "crop and recolour images at random"})
    learn_text: bool = field(default=False, metadata={"help": "also to write `reasoning` (Alpamayo-R1) or `--answer`"})
    trajectory_text: bool = field(default=False, metadata={"help": "also to write trajectories (Alpamayo-R1)"})
    stop_grad_from_vlm: bool | None = field(default=None, metadata={"help": "the VLM learns from text alone"})
    answer: str = field(default="answer", metadata={"help": "column of the text to write, with --learn_text"})
    text_weight: float = field(default=1.0, metadata={"help": "of the loss of text, with --learn_text"})
    weight_column: str | None = field(default=None, metadata={"help": "of what each row weighs in the loss"})
    advantage_column: str | None = field(default=None, metadata={"help": "of a word for the prompt"})
    embodiment_column: str | None = field(default=None, metadata={"help": "of the robot, where a model has several"})
    resume: bool = field(default=False, metadata={"help": "go on from the last checkpoint in output_dir"})


@dataclass
class Arguments(TrainingArguments):
    """transformers', with one that its version 5 no longer has."""

    overwrite_output_dir: bool = field(default=False, metadata={"help": "replace the run that output_dir holds"})


def main(argv: Sequence[str] | None = None) -> vlahub.VLATrainer:
    """Train and save; returns the Trainer, whose `model` is what was trained."""
    parser = HfArgumentParser((Options, Arguments), description=__doc__.split("\n\n")[0])
    parser.set_defaults(**DEFAULTS)
    options, arguments = parser.parse_args_into_dataclasses(argv)
    new, old = "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"  # of transformers 5 and 4
    setattr(arguments, new if hasattr(arguments, new) else old, {"use_reentrant": False})
    unset_hf_deepspeed_config()  # ZeRO-3 splits models while they load, and mistakes the names of some parts
    check_arguments(options, arguments)
    with arguments.main_process_first(desc="reading data"):
        source, dataset = demonstration(options.model, options.dataset, Path(arguments.output_dir))
        frames = load_frames(dataset)
    seen, held_out = frames, None
    if options.eval_episodes:
        seen, held_out = hold_out_episodes(frames, options.eval_episodes, arguments.seed)
    set_seed(arguments.seed)  # here, for only one process draws a tiny model
    model, processor = load(source, options)
    statistics = None
    if model.config.predicts != DRIVING:
        given = options.statistics, options.unmasked_actions, options.action, state_columns(frames, options)
        quiet, progress = arguments.process_index > 0, not arguments.disable_tqdm
        statistics = run_statistics(seen, dataset, *given, quiet, progress)
        apply_statistics(model.config, processor, *next(iter(statistics.items())))
    options.images = camera_columns(frames, processor.view_names or model.config.view_names, options.images)
    views = record_views(model.config, processor, options.images)
    if arguments.process_index == 0:
        print(f"views, in this order: {', '.join(views)}")
    examples = examples_of(seen, model.config, options)
    measured = held_out and examples_of(held_out, model.config, options)
    augment = RandomAugmentation() if options.augment else None
    collator = collator_for(model.config, processor, augment, **what_is_learnt(options))
    model, groups = prepared(model, options, arguments)
    vlahub.freeze_unreached(model, collator([examples[0]]))
    if arguments.deepspeed:  # splits it here
        set_hf_deepspeed_config(arguments.hf_deepspeed_config)
    own = {"groups": groups, "predict_in_evaluation": True}
    own |= {"loss_weights": {"text": options.text_weight}} if learns_text(options) else {}
    trainer = vlahub.VLATrainer(model, arguments, collator, examples, measured, processor, **own)
    if arguments.overwrite_output_dir:
        vlahub.clear_run_folder(arguments.output_dir)
    trainer.train(resume_from_checkpoint=vlahub.last_checkpoint(arguments.output_dir) if options.resume else None)
    trainer.save_model()
    if measured:
        trainer.evaluate()
    if statistics and trainer.is_world_process_zero():
        text = json.dumps(statistics, indent=2, allow_nan=False)
        Path(arguments.output_dir, "dataset_statistics.json").write_text(text)
    return trainer


def check_arguments(options: Options, arguments: Arguments) -> None:
    """Refuse what would end badly later, before anything is read."""
    sources = options.model, options.dataset
    vlahub.check_run_folder(arguments.output_dir, options.resume, arguments.overwrite_output_dir, sources)
    if arguments.eval_strategy != "no" and not options.eval_episodes:
        raise InputError("--eval_strategy needs data to evaluate with: --eval_episodes 0.1 holds a tenth out.")


def load(source: str, options: Options):
    """Model and processor."""
    more = {"dtype": getattr(torch, options.dtype)}
    if options.quantize:
        more["quantization_config"] = vlahub.quantization_config(AutoConfig.from_pretrained(source))
    model = AutoModelForImageTextToText.from_pretrained(source, **more)
    return model, AutoProcessor.from_pretrained(source)


def examples_of(frames, config, options: Options) -> torch.utils.data.Dataset:
    """The family's examples."""
    more = {"weight": options.weight_column, "advantage": options.advantage_column}
    if config.predicts == DRIVING:
        more |= {"reasoning": "reasoning" if "reasoning" in frames.column_names else None}
        return DrivingScenes(frames, options.state, options.images or None, **more)
    columns = options.images or None, state_columns(frames, options), options.action, options.text
    robot = options.embodiment_column or ("embodiment_id" if config.num_embodiments > 1 else None)
    more |= {"embodiment": robot, "answer": options.answer if options.learn_text else None}
    return ActionChunks(frames, config.num_action_chunks, *columns, repeat_last=options.repeat_last, **more)


def state_columns(frames, options: Options) -> list[str] | None:
    """Those of the state; none where nobody asked for them and the dataset has none."""
    return None if options.state == [STATE] and STATE not in frames.column_names else options.state


def what_is_learnt(options: Options) -> dict[str, bool]:
    """Options of the collator; those that only Alpamayo-R1 has, where they are asked for."""
    if options.train == "vlm":
        return {"learn_text": True, "learn_trajectory_text": True, "learn_actions": False}
    return {"learn_text": options.learn_text, **({"learn_trajectory_text": True} if options.trajectory_text else {})}


def learns_text(options: Options) -> bool:
    return options.train == "vlm" or options.learn_text or options.trajectory_text


def prepared(model, options: Options, arguments: Arguments):
    """The model with what shall train, and the optimiser's groups."""
    only = {"action_loss_only": not learns_text(options)}
    if options.stop_grad_from_vlm is not None:
        vlahub.set_stop_gradient(model, options.stop_grad_from_vlm, options.train != "A", learns_text(options))
    if options.train == "lora":
        if options.quantize:
            model = prepare_model_for_kbit_training(model, arguments.gradient_checkpointing)
        return get_peft_model(model, vlahub.lora_config(model, options.rank, options.alpha, **only)), None
    layers = options.top_layers if options.train == "B" else 0
    only |= {"vision_lr_scale": options.vision_lr_scale, "lr": arguments.learning_rate}
    groups = vlahub.trainable_parameter_groups(model, options.train, layers, options.backbone_lr_scale, **only)
    return model, groups


if __name__ == "__main__":
    main()
