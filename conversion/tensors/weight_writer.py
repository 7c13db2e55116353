"""Carrying out a plan block by block; reading and writing go on beside the arithmetic."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import torch
from tqdm import tqdm

from ..files.json_file import json_text
from .computation import Block, Computation, blocks_of
from .plan import Plan, PlannedTensor
from .safetensors_stream import SafetensorsWriter

INDEX_NAME = "model.safetensors.index.json"
NUM_BUFFERS = 3  # one being read, one being computed, one being written


@dataclass
class Written:
    """What was handed to the system.

    Attributes:
        checksums: CRC-32 of each tensor's bytes.
        errors: of the numbers of each quantised weight, by their name: see `QuantisationError.relative`.
        files: SHA-256 and size of each file of tensors, as the report records them.
    """

    checksums: dict[str, int] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    files: dict[str, dict[str, str | int]] = field(default_factory=dict)


def write_weights(plan: Plan, folder: Path, max_shard_bytes: int, quiet: bool = False, device: str = "cpu") -> Written:
    """Write `model.safetensors`, or shards and their index, into `folder`.

    Memory: some blocks, whatever the size of the model, its shards and its tensors; whole tensors only where a step
    needs them (embeddings and convolutions with LoRA).
    """
    shards = plan.shards(max_shard_bytes)
    names = shard_names(len(shards))
    written = Written()
    with tqdm(total=plan.bytes, unit="B", unit_scale=True, desc="writing weights", disable=quiet) as progress:
        for name, shard in zip(names, shards, strict=True):
            with SafetensorsWriter(folder / name, {t.name: t.info for t in shard}) as output:
                written.errors |= write_shard(output, shard, device, progress)
            written.checksums |= output.checksums
            written.files[name] = {"sha256": output.digest.hexdigest(), "bytes": output.size}
    if len(names) > 1:
        weight_map = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        index = {"metadata": {"total_size": plan.bytes}, "weight_map": weight_map}
        (folder / INDEX_NAME).write_text(json_text(index, INDEX_NAME, indent=2, sort_keys=True), encoding="utf-8")
    return written


def write_shard(output: SafetensorsWriter, shard: list[PlannedTensor], device: str, progress: tqdm) -> dict[str, float]:
    """Three stages in three threads: while one block is computed, the next is read and the last is written.

    Returns the errors of quantised weights, see `Written`.
    """
    blocks = [block for planned in shard for block in blocks_of(planned)]
    buffers = make_buffers(blocks)
    computation: Computation | None = None
    errors: dict[str, float] = {}
    pending: Future | None = None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        for block, (tensor, buffer) in read_ahead(reader, blocks, buffers):
            if computation is None or computation.planned is not block.planned:
                computation = Computation(block.planned, device)
            result = computation.apply(tensor, block.rows)
            if block.planned.part and block.planned.part.name == "qweight":
                errors[block.planned.name] = computation.error.relative
            if pending:
                pending.result()
            pending = writer.submit(write_block, output, block, result, buffer, buffers, progress)
        if pending:
            pending.result()
    return errors


def make_buffers(blocks: list[Block]) -> "SimpleQueue[torch.Tensor]":
    buffers: SimpleQueue[torch.Tensor] = SimpleQueue()
    largest = max((block.source_bytes for block in blocks), default=0)
    for _ in range(NUM_BUFFERS):
        buffers.put(torch.empty(largest, dtype=torch.uint8))
    return buffers


def read_ahead(
    reader: ThreadPoolExecutor, blocks: list[Block], buffers: SimpleQueue
) -> Iterator[tuple[Block, tuple[torch.Tensor, torch.Tensor]]]:
    """Each block with its source rows and the buffer that holds them; the next is read meanwhile."""

    def load(block: Block) -> tuple[torch.Tensor, torch.Tensor]:
        buffer = buffers.get()
        return block.planned.source.load(block.rows, buffer), buffer

    following = reader.submit(load, blocks[0]) if blocks else None
    for number, block in enumerate(blocks, start=1):
        loaded = following.result()
        following = reader.submit(load, blocks[number]) if number < len(blocks) else None
        yield block, loaded


def write_block(output, block: Block, result: torch.Tensor, buffer: torch.Tensor, buffers, progress: tqdm) -> None:
    output.write(block.planned.name, result)
    buffers.put(buffer)
    progress.update(result.nbytes)


def shard_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
