"""Fine-tune a VLA of any family with transformers' Trainer, and leave one folder to merge or to publish.

    python examples/finetune.py --model you/your-vla --dataset path/to/lerobot_dataset --output_dir runs/mine
    merge-lora --base you/your-vla --adapter runs/mine --output my-vla        # after --train lora, the default

`--model cogvla` (or another family's name) takes a tiny untrained model, and `--dataset demo` a drawn dataset. Every
argument of transformers' TrainingArguments works (--bf16, --gradient_checkpointing, --deepspeed, ...), under
`python`, and under `accelerate launch` on several devices with DDP, FSDP2 or DeepSpeed.

`vlahub train` is the same as a command. To change what happens between reading and training, copy this file: what
`prepare_finetuning` makes is a value (`run.model`, `run.data.examples`, `run.collator`, `run.groups`), and
`run_finetuning` trains whatever is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demonstration import demonstration
from tiny_models import MAKERS
from transformers import HfArgumentParser

import vlahub
from vlahub.finetuning import (
    TRAINING_DEFAULTS,
    FinetuneArguments,
    FinetuneOptions,
    as_text,
    check_finetune,
    overview_of,
    prepare_finetuning,
    run_finetuning,
)


@dataclass
class Options(FinetuneOptions):
    """What is trained on what; here also the demonstration."""

    model: str = field(metadata={"help": f"checkpoint, or a family for a tiny model: {', '.join(MAKERS)}"})
    dataset: str = field(default="demo", metadata={"help": "LeRobot folder, saved or Hub dataset, or demo"})


def main(argv: Sequence[str] | None = None) -> vlahub.VLATrainer:
    """Train and save; returns the Trainer, whose `model` is what was trained."""
    parser = HfArgumentParser((Options, FinetuneArguments), description=__doc__.split("\n\n")[0])
    parser.set_defaults(**TRAINING_DEFAULTS)
    options, arguments = parser.parse_args_into_dataclasses(argv)
    check_finetune(options, arguments)  # before a demonstration is written
    with arguments.main_process_first(desc="drawing a demonstration"):
        found = demonstration(options.model, options.dataset, Path(arguments.output_dir))
        options.model, options.dataset = found
    run = prepare_finetuning(options, arguments)
    if run.speaks:
        print(as_text(overview_of(run)))
    return run_finetuning(run)


if __name__ == "__main__":
    main()
