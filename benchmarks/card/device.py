"""The device that checks run on: how it computes, and what it is."""

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.card import APART

COMMIT = Path(__file__).parents[2] / "commit.txt"  # where there is no repository
PACKAGES = ("torch", "transformers", "accelerate", "peft", "huggingface_hub", "datasets", "bitsandbytes", "torchao")


def as_precise_as_possible() -> None:
    """float32 products in float32: TF32, which cuDNN's convolutions use by default, has 10 bits."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def facts(device: str) -> dict[str, Any]:
    """What a reader of the results has to know about where they come from."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    found = {"device": device, "name": name, "commit": commit(), "python": sys.version.split()[0]}
    found["versions"] = {package: version(package) for package in PACKAGES}
    if device == "cuda":
        found["cuda"] = torch.version.cuda
        found["driver"] = said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        found["memory GiB"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return found


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        carried = metadata.distributions(name=package, path=[str(APART / package)])
        return next((each.version for each in carried), "not installed")


def commit() -> str:
    """As carried, or that of the repository; `+` where files were changed since."""
    if COMMIT.exists():
        return COMMIT.read_text(encoding="utf-8").strip()
    folder = str(COMMIT.parent)
    changed = said("git", "-C", folder, "status", "--porcelain", "--untracked-files=no")
    return said("git", "-C", folder, "rev-parse", "--short", "HEAD") + "+" * (changed not in ("", "unknown"))


def said(*command: str) -> str:
    """What a program says, `unknown` where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
