"""The main job, end to end: a training run becomes one checkpoint, and a process without vlahub predicts with it.

IMAGE=photo.png INSTRUCTION="open the drawer" make demo
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from demo_folder import fresh_folder
from drawn_scene import save_views
from PIL import Image
from tiny_run import TinyRun

HERE = Path(__file__).parent
INSTRUCTION = "pick up the black bowl and place it on the plate"
STATE = ["-0.21", "-0.01", "1.17", "3.14", "0.0", "-0.09", "0.04", "-0.04"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder to write (replaced)")
    parser.add_argument("--image", default=os.environ.get("IMAGE"), help="a picture; drawn when left out")
    parser.add_argument("--instruction", default=os.environ.get("INSTRUCTION") or INSTRUCTION)
    arguments = parser.parse_args()

    image = Image.open(arguments.image) if arguments.image else None
    folder = fresh_folder(arguments.output)
    print(f"1. a tiny CogVLA training run, in the layout that training leaves: {folder}")
    TinyRun().write(folder)
    views = save_views(folder, image)

    print("2. merge-lora makes it one checkpoint")
    checkpoint = folder / "checkpoint"
    merge = [sys.executable, "-m", "vlahub.conversion.cli", "merge-lora"]
    merge += ["--base", str(folder / "base"), "--adapter", str(folder / "run"), "--output", str(checkpoint)]
    run(*merge, "--num-images", "2", "--platform", "libero")

    print("3. another process, with transformers alone, loads it and predicts")
    predict = [sys.executable, str(HERE / "predict.py"), str(checkpoint), *map(str, views)]
    run(*predict, "--instruction", arguments.instruction, "--state", *STATE)
    print(f"the checkpoint is in {checkpoint}")


def run(*command: str) -> None:
    """Show a command and run it; its failure ends the demonstration."""
    print("$ " + shlex.join(Path(c).name if i == 0 else c for i, c in enumerate(command)), flush=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, env=environment, check=False)
    if result.returncode:
        sys.exit(result.returncode)


if __name__ == "__main__":
    main()
