"""From OpenVLA to a CogVLA policy in the published stages: OpenVLA-OFT, then FiLM, aggregation, MoE, token pruning.

Each stage switches one thing on in what the stage before has learned (`vlahub create`), learns (examples/finetune.py),
and ends in a checkpoint that can be published (`merge-lora`, `vlahub verify`):

    python examples/stages.py --output stages_output          # a tiny OpenVLA, a drawn dataset, a few steps
    python examples/stages.py --base openvla/openvla-7b --dataset you/your-dataset --num-action-chunks 8 \\
        --aggregation-tokens 64 --output runs/stages --training --max_steps 20000 --bf16 True

A stage whose checkpoint is there already is left as it is, so that a series goes on where it ended.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from finetune import main as finetune
from tiny_dataset import write_dataset
from tiny_run import TinyRun

from vlahub.conversion.cli import main as vlahub_command

# What each stage switches on. All learn by LoRA, and what is new as a whole, as published.
STAGES = {
    "oft": ["--action-head", "l1"],
    "film": ["--film"],
    "aggregation": ["--aggregation-tokens", "{tokens}"],
    "moe": ["--fusion", "moe"],
    "lfp": ["--lfp", "shiftedcos_decay_0.85_0.15"],
}
TINY = ["--max_steps", "4", "--per_device_train_batch_size", "4", "--learning_rate", "1e-3", "--disable_tqdm", "True"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--output", type=Path, default=Path("stages_output"), help="folder of all stages")
    parser.add_argument("--base", help="OpenVLA; a tiny one is written when left out")
    parser.add_argument("--dataset", help="LeRobot folder or Hub dataset; a drawn one when left out")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="in this order")
    parser.add_argument("--num-images", default="2", help="camera views")
    parser.add_argument("--state-dim", default="8", help="size of the robot's state")
    parser.add_argument("--num-action-chunks", default="4", help="actions of one prediction")
    parser.add_argument("--aggregation-tokens", default="8", help="a view; published: 64")
    parser.add_argument("--training", nargs=argparse.REMAINDER, default=TINY, help="arguments of finetune.py, last")
    options = parser.parse_args(argv)
    folder = options.output.resolve()
    base, dataset = options.base or tiny_base(folder), options.dataset or drawn_dataset(folder)
    statistics = folder / "dataset_statistics.json"
    if not statistics.exists():
        vlahub("stats", dataset, "--output", str(statistics))
    robot = ["--num-images", options.num_images, "--state-dim", options.state_dim]
    robot += ["--num-action-chunks", options.num_action_chunks, "--statistics", str(statistics)]
    for number, stage in enumerate(options.stages, start=1):
        switches = [word.format(tokens=options.aggregation_tokens) for word in STAGES[stage]]
        more = robot if number == 1 else []
        training = ["--dataset", dataset, "--statistics", str(statistics), *options.training]
        base = run_stage(folder / f"{number}_{stage}", base, switches + more, training)
    print(f"the policy is in {base}")


def run_stage(folder: Path, base: str, switches: list[str], training: list[str]) -> str:
    """Start from `base`, learn, merge and verify; returns the checkpoint, from which the next stage starts."""
    checkpoint = folder / "checkpoint"
    if checkpoint.exists():
        print(f"{checkpoint} is there")
        return str(checkpoint)
    shutil.rmtree(folder, ignore_errors=True)
    start, run = str(folder / "start"), str(folder / "run")
    vlahub("create", "--family", "cogvla", "--base", base, *switches, "--output", start, "--quiet")
    finetune(["--model", start, "--output_dir", run, *training])
    vlahub("merge-lora", "--base", start, "--adapter", run, "--output", str(checkpoint), "--quiet")
    vlahub("verify", str(checkpoint))
    return str(checkpoint)


def tiny_base(folder: Path) -> str:
    """A published OpenVLA at a tiny size."""
    if not (folder / "openvla").exists():
        TinyRun(layers=4).write(folder / "openvla")
    return str(folder / "openvla" / "base")


def drawn_dataset(folder: Path) -> str:
    if not (folder / "table").exists():
        write_dataset(folder / "table")
    return str(folder / "table")


def vlahub(*words: str) -> None:
    """Show a command and carry it out here; its failure ends the series."""
    print("$ vlahub " + " ".join(words), flush=True)
    if code := vlahub_command(list(words)):
        sys.exit(code)


if __name__ == "__main__":
    main()
