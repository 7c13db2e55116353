"""A tiny Alpamayo-R1 learns to keep to a drawn lane, and drives on roads that it has not seen, in a closed loop.

    python examples/closed_loop/driving_loop.py --output demo_driving_loop_output

A scripted driver's drives are drawn, `vlahub train` learns them, and then the car follows the trajectory that is
predicted, is drawn anew where it has come to, and plans again, each half second. How often it is within its lane is
measured for the scripted driver, the trained and the untrained model, and for two drivers that see nothing; for the
trained one also in a frame that is turned and moved.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from driving_demonstrations import SPEEDS, write_demonstrations
from driving_drivers import ModelDriver, as_before, expert, straight_on
from driving_model import write_driver
from driving_picture import draw_loop
from driving_replay import in_lane, offsets, replay, started
from driving_road import Drive, drawn_road

import vlahub
from vlahub.conversion.cli import main as vlahub_command

sys.path.append(str(Path(__file__).parents[1]))
from demo_folder import fresh_folder

LEARN = ["--train", "full", "--learn_text", "--stop_grad_from_vlm", "False", "--backbone_lr_scale", "1"]
LEARN += ["--learning-rate", "2e-3", "--lr_scheduler_type", "cosine", "--warmup-steps", "50"]
LEARN += ["--save-strategy", "no", "--disable_tqdm", "True"]
UNSEEN = 1_000_000  # the first seed of the roads that are driven on; demonstrations have seeds below
TURNED, MOVED = 2.0, np.array([310.0, -170.0])  # radians and metres of the other frame


def train_driver(folder: Path, drives: int, steps: int, batch_size: int, seed: int) -> tuple[Path, Path]:
    """Draw drives, and let a new model learn them; returns the checkpoints before and after."""
    untrained, trained, data = folder / "untrained", folder / "trained", folder / "drives"
    write_driver(untrained, seed)
    write_demonstrations(data, drives, seed)
    sizes = ["--steps", str(steps), "--batch-size", str(batch_size), "--seed", str(seed), "--logging-steps", "50"]
    words = ["train", str(untrained), "--dataset", str(data), "--output", str(trained), *LEARN, *sizes]
    print("$ vlahub " + " ".join(words), flush=True)
    if code := vlahub_command(words):
        sys.exit(code)
    return untrained, trained


def model_driver(checkpoint: Path, seed: int) -> ModelDriver:
    model = vlahub.AlpamayoR1.from_pretrained(checkpoint).eval()
    return ModelDriver(model, vlahub.AlpamayoR1Processor.from_pretrained(checkpoint), seed)


def unseen_starts(roads: int, seconds: float, seed: int) -> list[Drive]:
    """A car at the beginning of each of so many roads, at a speed of its own; none comes to the end of its road."""
    starts, length = [], 100 + 1.2 * SPEEDS[1] * seconds
    for number in range(roads):
        random = np.random.RandomState(UNSEEN + 1000 * seed + number)
        starts.append(started(drawn_road(random, length), random.uniform(*SPEEDS)))
    return starts


def drive_all(untrained: Path, trained: Path, roads: int, seconds: float, seed: int) -> dict[str, list[Drive]]:
    """The drives of every driver, by its name, on the same unseen roads."""
    drivers = {"scripted": expert, "trained": model_driver(trained, seed), "untrained": model_driver(untrained, seed)}
    drivers |= {"straight on": straight_on, "as before": as_before}
    starts = unseen_starts(roads, seconds, seed)
    return {name: replay(driver, starts, seconds) for name, driver in drivers.items()}


def drive_turned(trained: Path, roads: int, seconds: float, seed: int) -> list[Drive]:
    """What the trained model drives on the same roads in a frame that is turned and moved."""
    starts = [drive.turned(TURNED, MOVED) for drive in unseen_starts(roads, seconds, seed)]
    return replay(model_driver(trained, seed), starts, seconds)


def shares_of(drives: Sequence[Drive]) -> dict[str, float]:
    """How much of the time and on how many of the roads throughout the car is within the lane, on how many its centre,
    and the mean over roads of how far, in metres, a car comes from the lane's centre."""
    time, roads = in_lane(drives)
    farthest = float(np.mean([np.abs(offsets(drive)).max() for drive in drives]))
    return {"time": time, "roads": roads, "centre": in_lane(drives, width=0)[1], "farthest": farthest}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo_driving_loop_output"), help="folder (replaced)")
    parser.add_argument("--drives", type=int, default=2500, help="demonstrations")
    parser.add_argument("--steps", type=int, default=1200, help="of training")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--roads", type=int, default=20, help="unseen ones that are driven on")
    parser.add_argument("--seconds", type=float, default=15.0, help="of driving on each")
    parser.add_argument("--seed", type=int, default=0, help="of model, demonstrations, training and roads")
    options = parser.parse_args(argv)
    folder = fresh_folder(options.output)
    untrained, trained = train_driver(folder, options.drives, options.steps, options.batch_size, options.seed)
    loop = options.roads, options.seconds, options.seed
    drives = drive_all(untrained, trained, *loop)
    measured = drives | {"trained, in a turned frame": drive_turned(trained, *loop)}
    shares = {name: shares_of(each) for name, each in measured.items()}
    (folder / "in_lane.json").write_text(json.dumps(shares, indent=2, allow_nan=False))
    print(f"{options.roads} unseen roads, {options.seconds:g} s each; within the lane are")
    print(f"{'':28}{'the car, of':>14}{'throughout,':>14}{'its centre':>14}{'farthest from':>16}")
    print(f"{'':28}{'the time':>14}{'of the roads':>14}{'throughout':>14}{'the centre, m':>16}")
    for name, share in shares.items():
        print(f"{name:28}{share['time']:14.1%}{share['roads']:14.1%}{share['centre']:14.1%}{share['farthest']:16.2f}")
    draw_loop(folder / "loop.png", drives, range(min(options.roads, 3)), "trained")
    print(f"the picture is {folder / 'loop.png'}, the checkpoint {trained}")


if __name__ == "__main__":
    main()
