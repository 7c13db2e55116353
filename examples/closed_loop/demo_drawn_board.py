"""A small policy of a family learns the drawn board from demonstrations, and is let loose on boards it never saw.

    python examples/closed_loop/demo_drawn_board.py --family cogvla --output demo_drawn_board_output

Demonstrations in LeRobot's layout, their statistics, `vlahub train` (and `vlahub merge-lora` where the recipe says
LoRA), the checkpoint loaded by the Auto classes, and episodes in which its actions move the arm. A minute of one core.
"""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from board_demonstrations import write_demonstrations
from board_episodes import Policy, checkpoint_policy, strip, success_rate
from board_models import MAKERS, write_model
from demo_folder import fresh_folder
from drawn_board import LARGEST
from transformers import AutoModelForImageTextToText, AutoProcessor

from vlahub.conversion.cli import main as vlahub_command

SCENES, FRAMES = 2000, 2  # boards of the demonstrations, and frames of each of their episodes
LEAST = 0.9  # share of the unseen boards on which a trained policy succeeds
UNSEEN = range(100)  # the boards of the episodes; those of the demonstrations have other seeds
DEMONSTRATED = 1_000_000  # seed of the first of those


@dataclass(frozen=True)
class Recipe:
    """How a family learns the board. options: of `vlahub train`, beside `OPTIONS`."""

    steps: int
    options: tuple[str, ...]


# What all need: a learning rate for small models from scratch, for the vision towers, too; a rise at the beginning.
OPTIONS = "--batch-size 64 --learning-rate 3e-3 --warmup-steps 50 --lr_scheduler_type cosine --adam_beta2 0.95"
OPTIONS += " --logging-steps 100 --save_strategy no --disable_tqdm true"
WHOLE = ("--train", "full", "--backbone-lr-scale", "1")
LORA = ("--train", "lora", "--rank", "64", "--alpha", "128")
RECIPES = {
    "cogvla": Recipe(650, WHOLE),
    "mapanything_llava3d": Recipe(750, (*WHOLE, "--learning-rate", "5e-3")),
    "multimodal_vla": Recipe(420, LORA),
}


def learned_checkpoint(family: str, folder: Path, seed: int = 0) -> Path:
    """Write an untrained model (`folder/untrained`) and demonstrations, train on them; returns the checkpoint.

    seed: of the model's weights, of the boards that are demonstrated, and of the order in which they are learnt.
    """
    recipe, base, data, run = RECIPES[family], folder / "untrained", folder / "demonstrations", folder / "run"
    write_model(family, base, seed)
    write_demonstrations(data, SCENES, FRAMES, DEMONSTRATED + seed * SCENES)
    statistics = folder / "dataset_statistics.json"
    vlahub("stats", data, "--output", statistics)
    words = ["--dataset", data, "--statistics", statistics, "--output", run, "--seed", seed, "--steps", recipe.steps]
    vlahub("train", base, *words, *OPTIONS.split(), *recipe.options)
    if recipe.options != LORA:
        return run
    vlahub("merge-lora", "--base", base, "--adapter", run, "--output", folder / "checkpoint")
    return folder / "checkpoint"


def vlahub(*words: object) -> None:
    """Show a command and run it in this process; its failure ends the demonstration."""
    given = [str(word) for word in words]
    print("$ " + shlex.join(["vlahub", *given]), flush=True)
    if vlahub_command(given):
        raise SystemExit(f"vlahub {given[0]} failed")


def loaded_policy(folder: Path, statistics_of: Path | None = None) -> Policy:
    """A checkpoint as its user loads it; statistics_of: the checkpoint whose statistics an untrained one takes."""
    told = folder if statistics_of is None else statistics_of
    model = AutoModelForImageTextToText.from_pretrained(folder)
    if statistics_of is not None:
        model.config.norm_stats = model.config.from_pretrained(told).norm_stats
    return checkpoint_policy(model.eval(), AutoProcessor.from_pretrained(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=sorted(MAKERS), default="multimodal_vla")
    parser.add_argument("--seed", type=int, default=0, help="of the model and of the boards that are demonstrated")
    parser.add_argument("--output", type=Path, default=Path("demo_drawn_board_output"), help="folder (replaced)")
    arguments = parser.parse_args()
    folder = fresh_folder(arguments.output)
    torch.set_num_threads(1)  # such small models are slower with more

    checkpoint = learned_checkpoint(arguments.family, folder, arguments.seed)
    policy, draws = loaded_policy(checkpoint), np.random.default_rng(0)
    policies = {
        "trained": policy,
        "untrained": loaded_policy(folder / "untrained", statistics_of=checkpoint),
        "random": lambda observations: draws.uniform(-LARGEST, LARGEST, (len(observations), 1, 2)),
    }
    rates = {}
    for name, each in policies.items():
        rates[name] = success_rate(each, UNSEEN)
        print(f"{name + ':':<10} {rates[name]:6.1%} of {len(UNSEEN)} unseen boards", flush=True)
    strip(policy, UNSEEN[0]).save(folder / "episode.png")
    print(f"an episode, from left to right: {folder / 'episode.png'}")
    if rates["trained"] < LEAST:
        raise SystemExit(f"the trained policy fails on more than {1 - LEAST:.0%} of the boards")


if __name__ == "__main__":
    main()
