"""A tiny CogVLA learns a drawn dataset by LoRA; adapter and base become one checkpoint, which is asked elsewhere."""

import argparse
import shutil
import sys
from pathlib import Path

from datasets import load_dataset
from demo import HERE, run
from tiny_dataset import write_dataset

STEPS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_finetune_output"), help="folder to write (replaced)")
    folder = parser.parse_args().output.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"1. 32 drawn episodes in LeRobot's layout, and their statistics: {folder}")
    table, finetuned = folder / "table", folder / "run"
    write_dataset(table)
    vlahub = [sys.executable, "-m", "vlahub.conversion.cli"]
    run(*vlahub, "stats", str(table), "--output", str(folder / "dataset_statistics.json"))

    print("2. a tiny model learns them")
    options = ["--max_steps", str(STEPS), "--per_device_train_batch_size", "32", "--learning_rate", "3e-3"]
    options += ["--statistics", str(folder / "dataset_statistics.json"), "--logging_steps", "25"]
    source = ["--model", "cogvla", "--dataset", str(table), "--output_dir", str(finetuned)]
    run(sys.executable, str(HERE / "finetune.py"), *source, *options)

    print("3. adapter and base become one checkpoint")
    checkpoint = folder / "checkpoint"
    base, adapter = str(finetuned / "tiny_model"), str(finetuned)
    run(*vlahub, "merge-lora", "--base", base, "--adapter", adapter, "--output", str(checkpoint))

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
