"""DDP and FSDP2, with gradient checkpointing, in float32 and in bfloat16, learn what one device learns without them.

On a card one process with NCCL does it, on a CPU two with gloo, each on its own batch.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.card.cases import cases
from benchmarks.card.results import Figure, Job

# Of the losses of all steps, and of the first one's gradients; those of bfloat16 are of the size of its rounding.
BOUNDS = {"float32": (1e-4, 1e-4), "bfloat16": (0.1, 0.15)}
MINUTES = {"cuda": 3, "cpu": 20}
FOLDER = Path(__file__).parents[2]


def jobs(device: str, family: str | None) -> Iterator[Job]:
    """One, for processes start once for all models."""
    yield Job("training", "DDP and FSDP2", partial(training, family, device))


def training(family: str | None, device: str) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        run_workers(family, device, Path(folder))
        found = json.loads((Path(folder) / "figures.json").read_text())
    if missing := {case.name for case in cases(family, is_trained=True)} - found.keys():
        raise RuntimeError(f"not trained: {', '.join(missing)}")
    for case, ways in found.items():
        for way, dtypes in ways.items():
            for dtype, (loss, gradients) in dtypes.items():
                yield Figure(f"{case}, {way}, {dtype}: losses", loss, BOUNDS[dtype][0])
                yield Figure(f"{case}, {way}, {dtype}: gradients", gradients, BOUNDS[dtype][1])


def run_workers(family: str | None, device: str, folder: Path) -> None:
    """All processes of one group, which must end well."""
    world = 1 if device == "cuda" else 2
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}  # perhaps there is no other network
    command = [sys.executable, "-m", "benchmarks.card.training_worker", family or "all", device, folder, world]
    files = [folder / f"rank_{rank}.log" for rank in range(world)]
    processes = []
    for rank, file in enumerate(files):
        with file.open("w") as log:
            arguments = [str(word) for word in (*command, rank)]
            processes.append(subprocess.Popen(arguments, stdout=log, stderr=log, env=environment, cwd=FOLDER))
    try:
        codes = [process.wait(60 * MINUTES[device]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(codes):
        first = next(file for file, code in zip(files, codes, strict=True) if code)
        raise RuntimeError(f"a process of {world} ended with {codes}: ...{first.read_text()[-400:]}")
