"""Carrying out a plan: a tensor at a time, float32 arithmetic, one cast; reading and writing beside the arithmetic."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import torch
from tqdm import tqdm

from .lora_merge import merge_lora, merge_lora_bias, replace_rows
from .plan import Plan, PlannedTensor, Step
from .safetensors_stream import SafetensorsWriter

INDEX_NAME = "model.safetensors.index.json"
NUM_BUFFERS = 3  # one being read, one being computed, one being written


@dataclass
class Loaded:
    """A source tensor in a buffer that has to be given back."""

    tensor: torch.Tensor
    buffer: torch.Tensor


def write_weights(
    plan: Plan, folder: Path, max_shard_bytes: int, quiet: bool = False, device: str = "cpu"
) -> dict[str, dict[str, int]]:
    """Write `model.safetensors`, or shards and their index, into `folder`.

    Memory: three buffers of the largest source tensor, and what one merge needs; large memory is taken once, since
    fresh pages cost more than the reading. Returns `{file name: {tensor: CRC-32 of its bytes}}`.
    """
    shards = plan.shards(max_shard_bytes)
    names = shard_names(len(shards))
    buffers: SimpleQueue = SimpleQueue()
    largest = max((tensor.source.info.bytes for tensor in plan.tensors), default=0)
    for _ in range(NUM_BUFFERS):
        buffers.put(torch.empty(largest, dtype=torch.uint8))

    def load(planned: PlannedTensor) -> Loaded:
        buffer = buffers.get()
        return Loaded(planned.source.load(buffer), buffer)

    checksums = {}
    with (
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1) as writer,
        tqdm(total=plan.bytes, unit="B", unit_scale=True, desc="writing weights", disable=quiet) as progress,
    ):
        ahead = ReadAhead(reader, load, plan.tensors)
        for name, shard in zip(names, shards, strict=True):
            with SafetensorsWriter(folder / name, {t.name: t.info for t in shard}) as output:
                pending: Future | None = None
                for planned in shard:
                    loaded = ahead.next()
                    result = compute(planned, loaded.tensor, device)
                    if pending:
                        pending.result()
                    pending = writer.submit(write_one, output, planned, result, loaded, buffers, progress)
                pending.result()
                checksums[name] = output.checksums
    if len(names) > 1:
        write_index(plan, folder, names, shards)
    return checksums


class ReadAhead:
    """Loads the next item in another thread while the current one is worked on."""

    def __init__(self, executor: ThreadPoolExecutor, load: Callable, items: list):
        self.executor, self.load = executor, load
        self.items = iter(items)
        self.pending: Future | None = None
        self._submit()

    def _submit(self) -> None:
        item = next(self.items, None)
        self.pending = None if item is None else self.executor.submit(self.load, item)

    def next(self) -> Loaded:
        loaded = self.pending.result()
        self._submit()
        return loaded


def write_one(output, planned: PlannedTensor, result: torch.Tensor, loaded: Loaded, buffers, progress) -> None:
    output.write(planned.name, result)
    buffers.put(loaded.buffer)
    progress.update(planned.info.bytes)


def compute(planned: PlannedTensor, tensor: torch.Tensor, device: str = "cpu") -> torch.Tensor:
    """The output from the source tensor: its steps in order, then one cast."""
    for step in planned.steps:
        tensor = apply_step(step, tensor, device)
    return tensor.to(planned.info.dtype)


def apply_step(step: Step, tensor: torch.Tensor, device: str) -> torch.Tensor:
    parts = {part: source.load() for part, source in step.parts.items()}
    if step.kind == "lora":
        return merge_lora(step.module, tensor, parts, step.config, device)
    if step.kind == "lora_bias":
        return merge_lora_bias(step.module, tensor, parts, step.config)
    return replace_rows(step.module, tensor, next(iter(parts.values())), step.config)


def write_index(plan: Plan, folder: Path, names: list[str], shards: list[list[PlannedTensor]]) -> None:
    weight_map = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    index = {"metadata": {"total_size": plan.bytes}, "weight_map": weight_map}
    (folder / INDEX_NAME).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def shard_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
