"""What `--help` says of each command: what it does, what it needs, and an example."""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Help:
    """summary: a few words for the list of commands; text: sentences; example: a command line that works."""

    summary: str
    text: str
    example: str


HELP = {
    "merge-lora": Help(
        "merge a training run (LoRA adapter and side files) into one checkpoint",
        "Merge a training run, which is a LoRA adapter with the side files of its training, or a plain PEFT adapter, "
        "into one checkpoint that loads with one line. Required are --adapter RUN and --output OUT, and --base BASE "
        "unless the run is merged already. What no file of the run records has to be said, too; the error names the "
        "option.",
        "merge-lora --base openvla/openvla-7b --adapter path/to/run --output my-vla --num-images 2 --platform libero",
    ),
    "convert": Help(
        "convert an already merged published checkpoint",
        "Turn a published checkpoint, whose weights are merged already, into one that loads with one line. Required "
        "are SOURCE and OUTPUT; the groups of options below say what the checkpoints of one family do not record.",
        "convert path/to/published my-vla --vlm Qwen/Qwen3-VL-8B-Instruct",
    ),
    "assemble": Help(
        "build a checkpoint from published parts",
        "Build a new LLaVA-3D model with an action expert from published parts, as a start for training. Required are "
        "--family, --vision, --language, --output, one of --geometry and --no-geometry, and, with an action expert, "
        "--action-horizon and the size of the actions (--action-dim or --statistics).",
        "assemble --family mapanything_llava3d --vision google/siglip-so400m-patch14-384 --language path/to/llava3d "
        "--no-geometry --statistics dataset_statistics.json --action-horizon 8 --output my-vla",
    ),
    "verify": Help(
        "check a checkpoint, alone or against its sources",
        "Check that a checkpoint is whole, readable and finite, and that its files are those its report lists; with "
        "--against, recompute every tensor from the run that it was made of. Required is CKPT.",
        "verify my-vla --against path/to/run --base openvla/openvla-7b",
    ),
    "predict": Help(
        "predict with a checkpoint",
        "Predict actions, or a trajectory, with a checkpoint that vlahub wrote. Required are CKPT and, for a robot, "
        "--images and --instruction, or, for a driving model, --history. An option that the model has no use for is "
        "refused.",
        'predict my-vla --images view_0.png view_1.png --instruction "pick up the bowl" --output actions.json',
    ),
    "stats": Help(
        "compute the statistics of a dataset, by which models normalise",
        "Compute the statistics by which models normalise actions and state, and write them as JSON. Required are "
        "DATASET and --output.",
        "stats path/to/lerobot --output dataset_statistics.json --unmasked-actions -1",
    ),
    "push": Help(
        "publish a checkpoint on the Hub",
        "Upload a checkpoint folder in one commit. Required are CKPT and user/name, and a token that may write there "
        "(`hf auth login`).",
        "push my-vla user/my-vla --private",
    ),
}


def settings(name: str, program: str = "vlahub ") -> dict:
    """Keyword arguments of the parser of a command; options are never abbreviated."""
    return {
        "description": HELP[name].text,
        "epilog": f"example:\n  {program}{HELP[name].example}\n\n"
        "exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 interrupted",
        "formatter_class": SentencesThenExample,
        "allow_abbrev": False,
    }


class SentencesThenExample(argparse.HelpFormatter):
    """Wraps the description, and leaves the lines of an example as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)
