"""One tensor of the output: which of its sources it becomes, what is merged into it, and what is left over."""

import torch

from ...configuration.vla_errors import ConversionError
from .collected import Candidates, Collected
from .lora_merge import check_adapter
from .plan import Leftover, PlannedTensor, SourceTensor, Step, cast_info
from .verify_tensors import row_slices


def choose(
    target: str, shape: tuple[int, ...], collected: Collected, dtype: torch.dtype, misfit: str = ""
) -> tuple[PlannedTensor, list[Leftover]]:
    """The strongest source, the adapter that still has to go into it, and all that they supersede.

    misfit: what to ask where the shape is another.

    Raises:
        ConversionError: the source has another shape, is no floating point, differs from a copy of it in the same
            files, as may a part of its adapter, or the adapter does not fit.
    """
    candidates = collected.candidates[target]
    *weaker, (*copies, winner) = candidates.versions
    if winner.shape != shape:
        raise ConversionError(
            f"{winner.file.path}: {winner.key} has shape {winner.shape}, the model needs {shape} for {target}"
            + (f"; {misfit}" if misfit else ".")
        )
    winner.check_floating()
    reason = f"{winner.file.label} has it"
    leftovers = [Leftover(source, "superseded", reason) for version in weaker for source in version]
    leftovers += [checked_copy(copy, winner) for copy in copies]
    leftovers += [checked_copy(copy, part) for copy, part in candidates.again]
    lora = adapter_of(winner, candidates, collected)
    for other in candidates.adapters:
        if other is not lora:
            reason = f"{winner.file.label} has the trained weight"
            leftovers += [Leftover(source, "superseded", reason) for source in other.own_parts]
    if lora and lora.kind == "lora":
        check_adapter(lora.module, shape, {part: source.shape for part, source in lora.parts.items()}, lora.config)
    elif winner in candidates.wrapped:
        raise ConversionError(f"{winner.file.path} holds {winner.key} but not the LoRA that belongs to it.")
    return PlannedTensor(target, cast_info(winner, dtype), winner, [lora] if lora else []), leftovers


def adapter_of(winner: SourceTensor, candidates: Candidates, collected: Collected) -> Step | None:
    """What still has to be merged into a weight: the LoRA beside it in its own file, else the run's adapter, unless
    the weight was trained or merged already."""
    by_file = {lora.file: lora for lora in candidates.adapters}
    if winner.file in by_file:
        return by_file[winner.file]
    lacks_it = winner.file in collected.unmerged or winner in candidates.wrapped
    return by_file.get(collected.adapter) if lacks_it else None


def checked_copy(copy: SourceTensor, source: SourceTensor) -> Leftover:
    """Published runs hold the language model under several names; all must be the same tensor."""
    if copy.info != source.info or not (are_one(copy, source) or have_equal_bits(copy, source)):
        raise ConversionError(
            f"{copy.file.path} holds two versions of one tensor: {source.key} and {copy.key} differ. Which one was "
            "trained cannot be told: remove the other."
        )
    return Leftover(copy, "superseded", "the same tensor under another name")


def are_one(first: SourceTensor, second: SourceTensor) -> bool:
    """Whether a file holds them once, under two names."""
    return first.file is second.file and first.file.are_one(first.key, second.key)


def have_equal_bits(first: SourceTensor, second: SourceTensor) -> bool:
    """Read in pieces."""
    pieces = ((first.load(rows), second.load(rows)) for rows in row_slices(first.info))
    return all(torch.equal(*(piece.reshape(-1).view(torch.uint8) for piece in pair)) for pair in pieces)
