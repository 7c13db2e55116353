"""A tiny CogVLA learns a drawn dataset by LoRA; adapter and base become one checkpoint, which is asked elsewhere."""

import argparse
import sys
from pathlib import Path

from datasets import load_dataset
from demo import HERE, run
from demo_folder import fresh_folder
from tiny_dataset import write_dataset
from tiny_models import write_model

STEPS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_finetune_output"), help="folder to write (replaced)")
    folder = fresh_folder(parser.parse_args().output)
    print(f"1. a tiny untrained model; 32 drawn episodes in LeRobot's layout, and their statistics: {folder}")
    base, table, finetuned = folder / "tiny_model", folder / "table", folder / "run"
    write_model("cogvla", base)
    write_dataset(table)
    vlahub = [sys.executable, "-m", "vlahub"]
    statistics = str(folder / "dataset_statistics.json")
    run(*vlahub, "stats", str(table), "--output", statistics)

    print("2. the model learns them; examples/finetune.py does the same, and is the file to copy")
    options = ["--steps", str(STEPS), "--batch-size", "32", "--learning-rate", "3e-3", "--logging-steps", "25"]
    source = [str(base), "--dataset", str(table), "--output", str(finetuned), "--statistics", statistics]
    run(*vlahub, "train", *source, *options)

    print("3. adapter and base become one checkpoint")
    checkpoint = folder / "checkpoint"
    run(*vlahub, "merge-lora", "--base", str(base), "--adapter", str(finetuned), "--output", str(checkpoint))

    print("4. another process, with transformers alone, loads it and predicts")
    row = load_dataset("parquet", data_dir=str(table / "data"), split="train")[0]
    views = [folder / f"{name}.png" for name in ("primary", "wrist")]
    for view in views:
        row[f"observation.images.{view.stem}"].save(view)
    state = [f"{value:.4f}" for value in row["observation.state"]]
    asked = ["--instruction", "pick up the red block", "--state", *state]
    run(sys.executable, str(HERE / "predict.py"), str(checkpoint), *map(str, views), *asked)
    print(f"what was done there: {[round(value, 3) for value in row['action']]}")


if __name__ == "__main__":
    main()
