"""Merging a LoRA into a generated base of several GB: time beside copying and bare arithmetic, and memory."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from vlahub.conversion.tensors.safetensors_stream import SafetensorsWriter, TensorInfo

RANK, ALPHA, HIDDEN, INTERMEDIATE, VOCABULARY = 32, 64, 2048, 5504, 32064
SHARD_BYTES = 10**9
MIB = 2**20


def main(gigabytes: float, runs: int) -> None:
    """Print medians of interleaved runs, ratios, and the largest resident memory of the merging process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shapes = language_model_shapes(gigabytes)
        largest, total = write_base(folder / "base", shapes), sum(math.prod(shape) * 2 for shape in shapes.values())
        write_adapter(folder / "adapter", shapes)
        print(
            f"base of {total / 1e9:.2f} GB (bfloat16), {len(shapes)} tensors, LoRA of rank {RANK} on every linear layer"
        )
        command = [sys.executable, "-m", "vlahub.conversion.cli", "merge-lora", "--family", "generic", "--quiet"]
        command += ["--base", str(folder / "base"), "--adapter", str(folder / "adapter"), "--overwrite"]
        command += ["--output", str(folder / "out"), "--max-shard-size", str(SHARD_BYTES)]
        seconds: dict[str, list[float]] = {}
        peak = 0
        for _ in range(runs):
            for label, function in {
                "starting Python and the libraries": lambda: run([*command[:4], "--help"]),
                "copying the same bytes": lambda: copy(folder / "base", folder / "copy"),
                "bare float32 arithmetic": lambda: bare_arithmetic(shapes),
                "merge-lora --no-verify": lambda: run([*command, "--no-verify"]),
                "merge-lora": lambda: run(command),
            }.items():
                start = time.perf_counter()
                result = function()
                peak = max(peak, result if label == "merge-lora" else 0)
                seconds.setdefault(label, []).append(time.perf_counter() - start)
    times = {label: sorted(values)[len(values) // 2] for label, values in seconds.items()}
    for label, value in times.items():
        print(f"{label:<36}{value:>8.1f} s")
    floor = max(times["copying the same bytes"], times["bare float32 arithmetic"])
    merging = times["merge-lora --no-verify"] - times["starting Python and the libraries"]
    print(f"merge-lora --no-verify, without starting, / the larger of copying and arithmetic: {merging / floor:.2f}")
    allowed = SHARD_BYTES + largest + 1024 * MIB
    print(f"peak memory {peak / MIB:.0f} MiB; one shard, the largest tensor and 1 GiB are {allowed / MIB:.0f} MiB")


def language_model_shapes(gigabytes: float) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama with as many layers as make the size."""
    layer = {f"self_attn.{n}_proj": (HIDDEN, HIDDEN) for n in "qkvo"}
    layer |= {"mlp.gate_proj": (INTERMEDIATE, HIDDEN), "mlp.up_proj": (INTERMEDIATE, HIDDEN)}
    layer |= {"mlp.down_proj": (HIDDEN, INTERMEDIATE)}
    per_layer = sum(math.prod(shape) for shape in layer.values()) * 2
    count = max(1, round((gigabytes * 1e9 - 4 * VOCABULARY * HIDDEN) / per_layer))
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "lm_head.weight": (VOCABULARY, HIDDEN)}
    for i in range(count):
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def write_base(folder: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    """A sharded checkpoint of the same random block over and over; returns the bytes of its largest tensor."""
    folder.mkdir()
    noise = torch.randn(VOCABULARY, HIDDEN).mul_(0.02).bfloat16().flatten()
    infos = {name: TensorInfo(shape, torch.bfloat16) for name, shape in shapes.items()}
    weight_map, shard, filled, number = {}, {}, 0, 0
    for name, info in [*infos.items(), ("", None)]:
        if shard and (info is None or filled + info.bytes > SHARD_BYTES):
            number += 1
            file = f"model-{number:05d}.safetensors"
            with SafetensorsWriter(folder / file, shard) as writer:
                for key, value in shard.items():
                    writer.write(key, noise[: math.prod(value.shape)].view(value.shape))
            weight_map |= dict.fromkeys(shard, file)
            shard, filled = {}, 0
        if info:
            shard[name], filled = info, filled + info.bytes
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}, allow_nan=False))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}, allow_nan=False))
    return max(info.bytes for info in infos.values())


def write_adapter(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    folder.mkdir()
    infos = {}
    for name, (rows, columns) in shapes.items():
        if "embed_tokens" not in name:
            module = f"base_model.model.{name.removesuffix('.weight')}"
            infos[f"{module}.lora_A.weight"] = TensorInfo((RANK, columns), torch.float32)
            infos[f"{module}.lora_B.weight"] = TensorInfo((rows, RANK), torch.float32)
    with SafetensorsWriter(folder / "adapter_model.safetensors", infos) as writer:
        for key, info in infos.items():
            writer.write(key, torch.randn(info.shape) * 0.01)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": "all-linear"}
    (folder / "adapter_config.json").write_text(json.dumps(config, allow_nan=False))


def bare_arithmetic(shapes: dict[str, tuple[int, ...]]) -> None:
    """What a merge computes, on tensors in memory: W + scale * B @ A in float32, cast back."""
    for rows, columns in shapes.values():
        weight = torch.zeros(rows, columns, dtype=torch.bfloat16)
        lora_a, lora_b = torch.zeros(RANK, columns), torch.zeros(rows, RANK)
        (weight.float() + lora_b @ lora_a * (ALPHA / RANK)).bfloat16()


def copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    for path in target.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def run(command: list[str]) -> int:
    """Run a command; returns its largest resident memory in bytes.

    A process starts with the memory of its parent on its account, so a small one stands between.
    """
    between = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
    between += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024); sys.exit(code)"
    result = subprocess.run([sys.executable, "-c", between, *command], check=True, stdout=subprocess.PIPE, text=True)
    return int(result.stdout)
