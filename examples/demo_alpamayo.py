"""A published Alpamayo 1.5 at a tiny size becomes one checkpoint, and a process without vlahub drives with it.

R1 (`--release r1`) is the same but for navigation, guidance and questions. The weights are random: text and
trajectories are noise that went through the whole model.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from demo import HERE, run
from demo_folder import fresh_folder
from driving_scene import driving_scene
from tiny_alpamayo import LATER, TinyAlpamayo

NAV = "Turn left onto Main St in 40m"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_alpamayo_output"), help="folder to write (replaced)")
    parser.add_argument("--release", choices=("1.5", "r1"), default="1.5")
    arguments = parser.parse_args()
    folder, is_later = fresh_folder(arguments.output), arguments.release == "1.5"
    name = "Alpamayo 1.5" if is_later else "Alpamayo-R1"
    print(f"1. a drawn scene, and a tiny {name} in the layout that is published: {folder}")
    scene = folder / "scene.npz"
    np.savez_compressed(scene, **driving_scene())
    TinyAlpamayo(package=LATER if is_later else "alpamayo_r1").write(folder)

    print("2. vlahub convert joins weights, config, tokenizer and processor")
    checkpoint = folder / "checkpoint"
    convert = [sys.executable, "-m", "vlahub.conversion.cli", "convert", str(folder / "published"), str(checkpoint)]
    run(*convert, "--vlm", str(folder / "vlm"))

    print("3. another process, with transformers alone, loads it and drives; not trained, so the error only shows that")
    drive = [sys.executable, str(HERE / "predict_trajectory.py"), str(checkpoint), str(scene)]
    run(*drive)

    print("4. vlahub predict does the same, writes JSON and draws a picture")
    predict = [sys.executable, "-m", "vlahub.conversion.cli", "predict", str(checkpoint), "--history", str(scene)]
    options = ["--max-new-tokens", "32"]
    run(*predict, *options, "--output", str(folder / "prediction.json"), "--plot", str(folder / "prediction.png"))
    if is_later:
        print("5. navigation in the prompt, and guidance by it")
        guided = ["--nav", NAV, "--guidance-weight", "1.5"]
        run(*drive, *guided)
        run(*predict, *options, *guided, "--plot", str(folder / "navigated.png"))
        print("6. a question about the images")
        run(*predict, *options, "--question", "Is the light red?")
    print(f"the checkpoint is in {checkpoint}")


if __name__ == "__main__":
    main()
