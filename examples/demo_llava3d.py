"""Published parts become one LLaVA-3D checkpoint with an action expert, and a process without vlahub runs it.

The expert is new and untrained: the actions are noise that went through the whole model.
"""

import argparse
import sys
from pathlib import Path

from demo import HERE, INSTRUCTION, STATE, run
from demo_folder import fresh_folder
from drawn_scene import save_views
from tiny_llava3d_parts import TinyParts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_llava3d_output"), help="folder to write (replaced)")
    folder = fresh_folder(parser.parse_args().output)
    print(f"1. tiny parts in the published layouts, SigLIP, LLaVA-3D and MapAnything: {folder}")
    TinyParts().write(folder)
    views = save_views(folder, None)

    print("2. vlahub assemble joins them with an action expert")
    checkpoint = folder / "checkpoint"
    assemble = [sys.executable, "-m", "vlahub.conversion.cli", "assemble", "--family", "mapanything_llava3d"]
    assemble += [f"--{part}={folder / part}" for part in ("vision", "language", "geometry")]
    assemble += ["--action-horizon", "8", "--use-state", "--state-dim", str(len(STATE))]
    run(*assemble, "--statistics", str(folder / "dataset_statistics.json"), "--output", str(checkpoint))

    print("3. another process, with transformers alone, loads it and predicts")
    predict = [sys.executable, str(HERE / "predict.py"), str(checkpoint), *map(str, views)]
    run(*predict, "--instruction", INSTRUCTION, "--state", *STATE)
    print(f"the checkpoint is in {checkpoint}")


if __name__ == "__main__":
    main()
