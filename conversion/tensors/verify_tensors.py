"""Is a checkpoint what it should be? Checks after writing, and at any later time."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from ...configuration.vla_errors import ConversionError
from .computation import Computation, blocks_of
from .plan import Plan, PlannedTensor
from .safetensors_stream import ALL, TensorInfo, byte_view
from .tensor_source import TensorGroup, open_checkpoint

SHOWN = 8
SAMPLE = 12
READ_BYTES = 16 * 2**20


def verify_written(plan: Plan, folder: Path, written: dict[str, int], quiet: bool = False, device: str = "cpu") -> None:
    """Read back all that was written, and recompute a sample from the sources.

    written: CRC-32 of each tensor's bytes as they were handed to the system.

    Raises:
        ConversionError: a tensor is missing, has another shape, dtype or content than was written, is not finite, or
            its recomputation differs; the message names it.
    """
    group = opened(folder)
    check_names({tensor.name: tensor.info for tensor in plan.tensors}, group, str(folder))
    found = read_back(group, quiet)
    changed = [name for name, checksum in written.items() if found[name] != checksum]
    if changed:
        raise ConversionError(f"read back from {folder}, these tensors differ from what was written: {some(changed)}.")
    recompute(sample(plan), found, quiet, device)


def verify_against(plan: Plan, folder: Path, quiet: bool = False, device: str = "cpu") -> None:
    """Recompute every tensor of a checkpoint from its sources and compare bit for bit."""
    group = opened(folder)
    check_names({tensor.name: tensor.info for tensor in plan.tensors}, group, str(folder))
    recompute(plan.tensors, read_back(group, quiet), quiet, device)


def opened(folder: Path) -> TensorGroup:
    group = open_checkpoint(folder, folder.name)
    if group is None:
        raise ConversionError(f"{folder} holds no weights.")
    return group


def check_names(expected: dict[str, TensorInfo], group: TensorGroup, where: str) -> None:
    missing, extra = sorted(set(expected) - set(group)), sorted(set(group) - set(expected))
    if missing or extra:
        raise ConversionError(f"{where}: missing tensors: {some(missing)}; unknown tensors: {some(extra)}.")
    wrong = [f"{name} is {group.info(name)}" for name, info in expected.items() if group.info(name) != info]
    if wrong:
        raise ConversionError(f"{where}: wrong shape or dtype: {some(wrong)}.")


def read_back(group: TensorGroup, quiet: bool) -> dict[str, int]:
    """CRC-32 of every tensor.

    Raises:
        ConversionError: some are not finite.
    """
    infos = {name: group.info(name) for name in group}
    checksums: dict[str, int] = {}
    infinite = []
    total = sum(info.bytes for info in infos.values())
    buffer = torch.empty(min(total, READ_BYTES), dtype=torch.uint8)
    with tqdm(total=total, unit="B", unit_scale=True, desc="verifying", disable=quiet) as progress:
        for name, info in infos.items():
            finite = True
            for rows in row_slices(info):
                read = group.file_of[name].load(name, rows, buffer if info.of_rows(rows).bytes <= len(buffer) else None)
                checksums[name] = zlib.crc32(byte_view(read), checksums.get(name, 0))
                finite = finite and is_finite(read)
                progress.update(read.nbytes)
            if not finite:
                infinite.append(name)
    if infinite:
        raise ConversionError(f"these tensors hold values that are not finite: {some(infinite)}.")
    return checksums


def row_slices(info: TensorInfo) -> list[slice]:
    """The tensor in pieces of about `READ_BYTES`."""
    count = max(1, READ_BYTES // max(1, info.row_bytes)) if info.shape else 1
    if not info.shape or info.shape[0] <= count:
        return [ALL]
    return [slice(first, min(first + count, info.shape[0])) for first in range(0, info.shape[0], count)]


def is_finite(tensor: torch.Tensor) -> bool:
    """Infinities and NaN survive in the sum, which is much cheaper than looking at every value; a sum that overflows
    without them is looked into."""
    if not tensor.is_floating_point():
        return True
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def recompute(tensors: Iterable[PlannedTensor], found: dict[str, int], quiet: bool, device: str) -> None:
    tensors = list(tensors)
    total = sum(tensor.info.bytes for tensor in tensors)
    different = []
    with tqdm(total=total, unit="B", unit_scale=True, desc="recomputing", disable=quiet) as progress:
        for planned in tensors:
            computation, checksum = Computation(planned, device), 0
            for block in blocks_of(planned):
                result = computation.apply(planned.source.load(block.rows), block.rows)
                checksum = zlib.crc32(byte_view(result), checksum)
                progress.update(result.nbytes)
            if checksum != found[planned.name]:
                different.append(planned.name)
    if different:
        raise ConversionError(f"recomputed from the sources, these tensors differ: {some(different)}.")


def sample(plan: Plan) -> list[PlannedTensor]:
    """Up to a dozen tensors spread over the plan, merged ones before copies."""
    merged = [tensor for tensor in plan.tensors if tensor.steps]
    copies = [tensor for tensor in plan.tensors if not tensor.steps]
    return [*spread(merged, SAMPLE * 3 // 4), *spread(copies, SAMPLE // 4)]


def spread(tensors: list[PlannedTensor], count: int) -> list[PlannedTensor]:
    return tensors[:: max(1, len(tensors) // count)][:count]


def some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
