"""From the tensors of parts or of a run to a plan: one source for each tensor of the model, whatever its copies."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from transformers import PreTrainedModel

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ...modeling.mapanything_llava3d.modeling_mapanything_llava3d import MapAnythingLlava3DForConditionalGeneration
from ..cogvla.openvla_plan import Candidates, Collected
from ..tensors.initialised import InitialisedTensor, initialised
from ..tensors.plan import Leftover, Plan, PlannedTensor, SourceTensor, cast_info
from ..tensors.rename import Row, rename
from ..tensors.safetensors_stream import TensorInfo
from ..tensors.tensor_source import TensorGroup
from ..tensors.verify_tensors import row_slices, some
from .llava3d_names import NEW, unused_reason

WRAPPER = "module."  # of a model that was saved in its parallel form


def collect(groups: Iterable[tuple[TensorGroup, Sequence[Row]]]) -> Collected:
    """Rename all tensors of some files, each group by its table, and sort them by target, the best source last.

    Raises:
        ConversionError: a name is unknown.
    """
    candidates: dict[str, Candidates] = defaultdict(Candidates)
    leftovers = []
    for group, table in groups:
        for key in group:
            source = SourceTensor(group.file_of[key], key)
            target, reason = rename(key.removeprefix(WRAPPER), table, str(source.file.path))
            if target is None:
                leftovers.append(Leftover(source, "unused", reason))
            else:
                candidates[target].plain.append(source)
    for found in candidates.values():
        found.plain.sort(key=lambda source: (-len(source.key), source.key))
    return Collected(dict(candidates), leftovers)


def empty_model(config: MapAnythingLlava3DConfig) -> PreTrainedModel:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return MapAnythingLlava3DForConditionalGeneration(config)


def model_shapes(config: MapAnythingLlava3DConfig, model: PreTrainedModel | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's parameters, as they are stored."""
    model = model or empty_model(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["language_model.model.lm_head.weight"]
    return shapes


def make_plan(
    collected: Collected, config: MapAnythingLlava3DConfig, dtype: torch.dtype, seed: int | None = None
) -> Plan:
    """Decide about every tensor.

    Args:
        seed: of what is initialised; `None` where every tensor must have a source.

    Raises:
        ConversionError: the model needs a tensor that no source has, a source has one that no model needs, shapes do
            not fit, or copies of one tensor differ; the message names tensor and file.
    """
    model = empty_model(config)
    expected = model_shapes(config, model)
    leftovers = list(collected.leftovers)
    for target in sorted(set(collected.candidates) - set(expected)):
        leftovers += unused(target, collected.candidates[target].plain, config)
    check_complete([n for n in expected if n not in collected.candidates and (seed is None or not n.startswith(NEW))])
    tensors = []
    for target, shape in expected.items():
        if target not in collected.candidates:
            source: InitialisedTensor | SourceTensor = initialised(model, target, seed)
            tensors.append(PlannedTensor(target, TensorInfo(shape, dtype), source))
            continue
        *copies, source = collected.candidates[target].plain
        if source.shape != shape:
            raise ConversionError(
                f"{source.file.path}: {source.key} has shape {source.shape}, the model needs {shape} for {target}."
            )
        source.check_floating()
        leftovers += [checked_copy(copy, source) for copy in copies]
        tensors.append(PlannedTensor(target, cast_info(source, dtype), source))
    return Plan(tensors, leftovers)


def check_complete(missing: list[str]) -> None:
    if missing:
        raise ConversionError(
            f"no source has {some(missing)}. Is a file missing, or does its config.json belong to another?"
        )


def unused(target: str, sources: list[SourceTensor], config: MapAnythingLlava3DConfig) -> list[Leftover]:
    reason = unused_reason(target, config)
    if reason is None:
        raise ConversionError(
            f"{sources[-1].file.path} holds {sources[-1].key}, for which the model that the config describes has no "
            "place: do they belong together?"
        )
    return [Leftover(source, "unused", reason) for source in sources]


def checked_copy(copy: SourceTensor, source: SourceTensor) -> Leftover:
    """Published runs hold the language model under several names; all must be the same tensor."""
    if copy.info != source.info or not (are_one(copy, source) or are_equal(copy, source)):
        raise ConversionError(
            f"{copy.file.path} holds two versions of one tensor: {source.key} and {copy.key} differ. Which one was "
            "trained cannot be told: remove the other."
        )
    return Leftover(copy, "superseded", "the same tensor under another name")


def are_one(first: SourceTensor, second: SourceTensor) -> bool:
    """Whether a file holds them once, under two names."""
    return first.file is second.file and first.file.are_one(first.key, second.key)


def are_equal(first: SourceTensor, second: SourceTensor) -> bool:
    """Bit for bit, read in pieces."""
    pieces = ((first.load(rows), second.load(rows)) for rows in row_slices(first.info))
    return all(torch.equal(*(piece.reshape(-1).view(torch.uint8) for piece in pair)) for pair in pieces)
