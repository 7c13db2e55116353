"""A published Alpamayo-R1 at a tiny size becomes one checkpoint, and a process without vlahub drives with it.

The weights are random: text and trajectories are noise that went through the whole model.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from demo import HERE, run
from driving_scene import driving_scene
from tiny_alpamayo import TinyAlpamayo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_alpamayo_output"), help="folder to write (replaced)")
    folder = parser.parse_args().output.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"1. a drawn scene, and a tiny Alpamayo-R1 in the layout that is published: {folder}")
    scene = folder / "scene.npz"
    np.savez_compressed(scene, **driving_scene())
    TinyAlpamayo().write(folder)

    print("2. vlahub convert joins weights, config, tokenizer and processor")
    checkpoint = folder / "checkpoint"
    convert = [sys.executable, "-m", "vlahub.conversion.cli", "convert", str(folder / "published"), str(checkpoint)]
    run(*convert, "--vlm", str(folder / "vlm"))

    print("3. another process, with transformers alone, loads it and drives; not trained, so the error only shows that")
    run(sys.executable, str(HERE / "predict_trajectory.py"), str(checkpoint), str(scene))

    print("4. vlahub predict does the same, writes JSON and draws a picture")
    predict = [sys.executable, "-m", "vlahub.conversion.cli", "predict", str(checkpoint), "--history", str(scene)]
    options = ["--max-new-tokens", "32", "--output", str(folder / "prediction.json")]
    run(*predict, *options, "--plot", str(folder / "prediction.png"))
    print(f"the checkpoint is in {checkpoint}")


if __name__ == "__main__":
    main()
