"""Is a checkpoint what it should be? Checks after writing, and at any later time."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from ..configuration.vla_errors import ConversionError
from .plan import Plan, PlannedTensor
from .safetensors_stream import TensorInfo
from .tensor_source import TensorGroup, open_checkpoint
from .weight_writer import compute

SHOWN = 8
SAMPLE = 12


def verify_written(
    plan: Plan, folder: Path, checksums: dict[str, dict[str, int]], quiet: bool = False, device: str = "cpu"
) -> None:
    """Read back all that was written, and recompute a sample from the sources.

    Raises:
        ConversionError: a tensor is missing, has another shape, dtype or content than was written, is not finite, or
            its recomputation differs; the message names it.
    """
    group = opened(folder)
    check_names({tensor.name: tensor.info for tensor in plan.tensors}, group, str(folder))
    written = {name: checksum for file in checksums.values() for name, checksum in file.items()}
    found = read_back(group, quiet)
    changed = [name for name, checksum in written.items() if found[name] != checksum]
    if changed:
        raise ConversionError(f"read back from {folder}, these tensors differ from what was written: {some(changed)}.")
    recompute(sample(plan), found, quiet, device)


def verify_checkpoint(folder: Path, expected: dict[str, tuple[int, ...]] | None, quiet: bool = False) -> None:
    """Check the weights of any checkpoint: readable, finite and, where the model is known, complete.

    expected: names and shapes of the model's parameters, or `None`.
    """
    group = opened(folder)
    if expected is not None:
        infos = {name: TensorInfo(shape, group_dtype(group, name)) for name, shape in expected.items()}
        check_names(infos, group, str(folder))
    read_back(group, quiet)


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


def group_dtype(group: TensorGroup, name: str) -> torch.dtype | None:
    return group.info(name).dtype if name in group.file_of else None


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
    buffer = torch.empty(max((info.bytes for info in infos.values()), default=0), dtype=torch.uint8)
    checksums, infinite = {}, []
    total = sum(info.bytes for info in infos.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc="verifying", disable=quiet) as progress:
        for name, info in infos.items():
            tensor = group.file_of[name].load(name, buffer)
            checksums[name] = zlib.crc32(memoryview(buffer[: info.bytes].numpy()))
            if tensor.is_floating_point() and not is_finite(tensor):
                infinite.append(name)
            progress.update(info.bytes)
    if infinite:
        raise ConversionError(f"these tensors hold values that are not finite: {some(infinite)}.")
    return checksums


def is_finite(tensor: torch.Tensor) -> bool:
    """Cheaper than looking at every value: infinities and NaN survive in the extremes."""
    return tensor.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


def recompute(tensors: Iterable[PlannedTensor], found: dict[str, int], quiet: bool, device: str) -> None:
    tensors = list(tensors)
    total = sum(tensor.info.bytes for tensor in tensors)
    different = []
    with tqdm(total=total, unit="B", unit_scale=True, desc="recomputing", disable=quiet) as progress:
        for planned in tensors:
            tensor = compute(planned, planned.source.load(), device).contiguous().reshape(-1)
            if zlib.crc32(memoryview(tensor.view(torch.uint8).numpy())) != found[planned.name]:
                different.append(planned.name)
            progress.update(planned.info.bytes)
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
