"""Carrying out a plan: one shard in memory at a time, float32 arithmetic, one cast to the output's dtype."""

import json
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from tqdm import tqdm

from .lora_merge import merge_linear
from .plan import Plan, PlannedTensor

METADATA = {"format": "pt"}  # exactly one key: with more the files are not reproducible


def write_weights(
    plan: Plan, folder: Path, lora_config: LoraConfig | None, max_shard_bytes: int, quiet: bool = False
) -> list[str]:
    """Write `model.safetensors`, or shards and their index, into `folder`; returns the file names."""
    shards = plan.shards(max_shard_bytes)
    names = shard_names(len(shards))
    total = sum(plan.bytes_of(tensor) for tensor in plan.tensors)
    with tqdm(total=total, unit="B", unit_scale=True, desc="writing weights", disable=quiet) as progress:
        for name, shard in zip(names, shards, strict=True):
            tensors = {}
            for planned in shard:
                tensors[planned.name] = compute(planned, lora_config).to(plan.dtype).contiguous()
                progress.update(plan.bytes_of(planned))
            save_file(tensors, folder / name, metadata=METADATA)
    if len(names) > 1:
        weight_map = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
        names.append("model.safetensors.index.json")
    return names


def shard_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]


def compute(planned: PlannedTensor, lora_config: LoraConfig | None) -> torch.Tensor:
    """The tensor, in its source's dtype or, where something was merged into it, in float32."""
    tensor = planned.source.load()
    if planned.lora is None:
        return tensor
    bias = planned.lora.bias.load() if planned.lora.bias else None
    parts = {part: source.load().float() for part, source in planned.lora.parts.items()}
    return merge_linear(planned.lora.module, tensor, bias, parts, lora_config)
