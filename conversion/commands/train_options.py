"""The options of `vlahub train`: what people change, and on demand all of transformers' TrainingArguments.

Every option has two spellings, `--like-this` and `--like_this`. Nothing has a default here, so that what is in the
namespace was given; `training.finetuning` has the defaults.
"""

import argparse
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...training.finetuning.options import ADVANCED, TRAINING_DEFAULTS, FinetuneOptions
from .error_boundary import ending_at_interrupt

HELP_ALL = "--help-all"
OTHER_NAMES = {
    "rank": ["--lora-rank"],
    "alpha": ["--lora-alpha"],
    "action": ["--action-column"],
    "state": ["--state-column"],
    "text": ["--text-column"],
}
GROUPS = (
    (
        "data",
        ("dataset", "images", "action", "state", "text", "statistics", "unmasked_actions", "eval_episodes", "augment"),
    ),
    ("what trains", ("train", "rank", "alpha", "quantize", "top_layers")),
    ("run", ("resume",)),
)
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(text: str) -> bool:
    """`True`, `false`, ... as a bool."""
    if text.lower() not in TRUTH:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return TRUTH[text.lower()]


def number(text: str) -> int | float:
    """A number, an int where it is a whole one."""
    value = float(text)
    return int(value) if value.is_integer() else value


SWITCH = {"type": truth, "nargs": "?", "const": True, "metavar": "BOOL"}
# Of TrainingArguments: name -> other names, what argparse needs, what it is.
SHORT: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "per_device_train_batch_size": (["--batch-size"], {"type": int}, "examples that a device sees at once (8)"),
    "gradient_accumulation_steps": ([], {"type": int}, "batches of a step (1)"),
    "max_steps": (["--steps"], {"type": int}, "steps; else --num-train-epochs"),
    "num_train_epochs": (["--epochs"], {"type": float}, "passes over the examples (3)"),
    "learning_rate": ([], {"type": float}, f"({TRAINING_DEFAULTS['learning_rate']:g})"),
    "warmup_steps": ([], {"type": number}, "steps in which it rises (0)"),
    "optim": ([], {}, "optimiser, by its name in transformers (adamw_torch_fused)"),
    "bf16": ([], SWITCH, "compute in bfloat16"),
    "gradient_checkpointing": ([], SWITCH, "compute twice what would need much memory"),
    "seed": ([], {"type": int}, "of all that is random (42)"),
    "logging_steps": ([], {"type": number}, f"between two lines of figures ({TRAINING_DEFAULTS['logging_steps']})"),
    "save_steps": ([], {"type": number}, "between two checkpoints (500)"),
    "report_to": ([], {"nargs": "+"}, "trackio, wandb, tensorboard, ... (none)"),
}
# Of the rest: title, and which names belong there; the first that fits.
FURTHER = (
    ("Hub", r"hub_|push_to_hub"),
    ("several devices", r"ddp_|fsdp|deepspeed|local_rank|accelerator_|parallelism_|average_tokens|.*_each_node|tpu_"),
    ("evaluation", r"eval_|.*eval|metric_|.*metrics|greater_|load_best|batch_eval|prediction_loss|per_device_eval|do_"),
    (
        "data loading",
        r"dataloader_|remove_unused|label_names|group_by|length_column|train_sampling|data_seed|ignore_data",
    ),
    ("optimiser and schedule", r"optim|lr_|warmup|weight_decay|adam|max_grad|label_smoothing|neftune|.*_batch_size"),
    ("precision and speed", r"bf16|fp16|tf32|half_|torch_|.*checkpointing|use_|jit_|liger|auto_find|full_determinism"),
    ("logging", r"log|report|run_name|project|trackio|disable_tqdm|include_|skip_memory"),
    ("saving", r"save_|restore_|resume_|enable_jit|past_"),
    ("other", r""),
)
OWN_NAMES = {"output_dir", "overwrite_output_dir", "debug"}  # declared elsewhere


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="CKPT", help="checkpoint to go on from: folder or Hub repository")
    fields = {field.name: field for field in dataclasses.fields(FinetuneOptions)}
    groups = {title: parser.add_argument_group(title) for title, _ in GROUPS}
    for title, names in GROUPS:
        for name in names:
            add_field(groups[title], fields[name])
    add_run_arguments(groups["run"])
    training = parser.add_argument_group("training (of transformers' TrainingArguments; all of them: --help-all)")
    for name, (others, settings, text) in SHORT.items():
        declare(training, name, others, default=argparse.SUPPRESS, help=text, **shown(settings))
    parser.add_argument(HELP_ALL, action="help", help="show every option, those of TrainingArguments too")


def add_run_arguments(group: Any) -> None:
    group.add_argument(
        "--output", "--output-dir", "--output_dir", required=True, type=Path, metavar="RUN", help="folder to write"
    )
    replace = {**SWITCH, "default": argparse.SUPPRESS, "help": "replace the run that the folder holds"}
    declare(group, "overwrite_output_dir", ["--overwrite"], **replace)
    declare(group, "dry_run", [], action="store_true", help="say what would be trained, and stop")
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_further_arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """What few people change: where `--help-all` asks for it, or a word of the command line is none of the others.

    Only then transformers is imported.
    """
    known = {option for action in parser._actions for option in action.option_strings}
    words = {word.partition("=")[0] for word in argv if word.startswith("--") and word != "--"}
    asks = "-h" not in argv and "--help" not in argv
    if "train" not in argv or not (HELP_ALL in argv or (asks and words - known - {"--debug", "--version"})):
        return
    own = parser.add_argument_group("further options of this package")
    for field in dataclasses.fields(FinetuneOptions):
        if field.name in ADVANCED:
            add_field(own, field)
    for title, actions in further_actions().items():
        group = parser.add_argument_group(f"{title} (TrainingArguments)")
        for action in actions:
            group._add_action(action)


def further_actions() -> dict[str, list[argparse.Action]]:
    """Every other field of the installed TrainingArguments, as `HfArgumentParser` declares it, by kind."""
    with ending_at_interrupt():
        from transformers import HfArgumentParser, TrainingArguments

    found: dict[str, list[argparse.Action]] = {title: [] for title, _ in FURTHER}
    for action in HfArgumentParser(TrainingArguments, add_help=False)._actions:
        if action.dest in OWN_NAMES or action.dest in SHORT:
            continue
        action.default, action.required = argparse.SUPPRESS, False
        action.help = action.help and re.sub(r"%(?!\()", "%%", " ".join(action.help.split())).replace("%%%%", "%%")
        title = next(title for title, pattern in FURTHER if re.match(pattern, action.dest))
        found[title].append(action)
    return {title: actions for title, actions in found.items() if actions}


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """Ours and that of TrainingArguments, which has the same name."""
    parser.add_argument(
        "--debug",
        nargs="?",
        const=True,
        default=False,
        type=model_debugging,
        metavar="OPTION",
        help="show the traceback of an error; underflow_overflow and tpu_metrics_debug are those of TrainingArguments",
    )


def model_debugging(text: str) -> str:
    if not text or set(text.split()) - {"underflow_overflow", "tpu_metrics_debug"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither underflow_overflow nor tpu_metrics_debug")
    return text


def add_field(group: Any, field: dataclasses.Field) -> None:
    """One field of `FinetuneOptions` as an option; its type says how it is read."""
    settings: dict[str, Any] = {"choices": field.metadata.get("choices")}
    kind, many = kind_of(field.type)
    settings |= SWITCH if kind is bool else {"type": kind}
    settings |= {"nargs": "+"} if many else {}
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    text = field.metadata["help"] + default_text(field)
    settings = shown({name: value for name, value in settings.items() if value is not None})
    settings |= {"required": True} if required else {"default": argparse.SUPPRESS}
    declare(group, field.name, OTHER_NAMES.get(field.name, []), help=text, **settings)


def declare(group: Any, name: str, others: Sequence[str], **settings: Any) -> None:
    """An option as `--like-this` and by its other names; `--like_this` is taken, too, but not shown."""
    group.add_argument(f"--{name.replace('_', '-')}", *others, dest=name, **settings)
    if "_" in name:
        group.add_argument(f"--{name}", dest=name, **{**settings, "help": argparse.SUPPRESS})


def kind_of(annotation: Any) -> tuple[Callable[[str], Any], bool]:
    """What reads one value of a type, and whether there are several: `list[int]` -> int, True; `str | None` -> str."""
    parts = typing.get_args(annotation)
    if isinstance(annotation, types.UnionType):
        return parts[0], False
    return (parts[0], True) if parts else (annotation, False)


def default_text(field: dataclasses.Field) -> str:
    """` (32)` where a field has a default that says something."""
    made = field.default_factory is not dataclasses.MISSING
    value = field.default_factory() if made else field.default
    if value is dataclasses.MISSING or value in (None, False, 0.0, []):
        return ""
    return f" ({' '.join(value) if isinstance(value, list) else value})"


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with a short word for the value."""
    kinds = {int: "N", float: "X", number: "X"}
    if "choices" in settings or "metavar" in settings:
        return settings
    return {**settings, "metavar": kinds.get(settings.get("type"), "NAME")}
