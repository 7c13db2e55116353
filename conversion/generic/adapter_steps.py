"""One adapter's steps in the plan of its base: which tensor each of its own changes, replaces or makes larger."""

import copy
from pathlib import Path

from peft import LoraConfig
from transformers.pytorch_utils import Conv1D

from ...configuration.vla_errors import ConversionError
from ..tensors.adapter_coverage import check_coverage
from ..tensors.adapter_file import AdapterContent
from ..tensors.adapter_names import full_name, plain_name
from ..tensors.lora_merge import LORA_BIAS, check_adapter, token_indices
from ..tensors.plan import Leftover, SourceTensor, Step
from ..tensors.safetensors_stream import TensorInfo
from .merged_base import MergedBase
from .shared_weights import check_changed, untie
from .vocabulary import grown_names, with_vocabulary


def add_adapter(merged: MergedBase, path: Path, content: AdapterContent, config: LoraConfig) -> list[Leftover]:
    """Add an adapter's steps to the plan; returns the tensors that are not in the output because of it.

    Raises:
        ConversionError: it names a module that the base does not have, lacks one that its config names, or shapes do
            not fit.
    """
    whole = dict(content.whole)
    leftovers = add_untrained(merged, content, whole)
    check_changed(merged, [*whole, *(f"{module}.weight" for module in (*content.loras, *content.rows))])
    check_coverage(path, content, config, merged.model, merged.shapes, changed_weights(merged, content))
    untie(merged, whole, config)
    leftovers += replace_whole(merged, whole)
    add_loras(merged, content, config)
    for module, source in in_order(merged, content.rows):
        for planned in merged.planned(f"{module}.weight"):
            check_rows(module, source, planned.info.shape, config)
            planned.steps.append(Step("rows", module, {"rows": source}, config))
    return leftovers


def changed_weights(merged: MergedBase, content: AdapterContent) -> dict[str, str]:
    """The base's tensor for each module whose weight the adapter changes."""
    names = [f"{module}.weight" for module in (*content.loras, *content.rows)]
    names += [name for name in content.whole if name.endswith(".weight")]
    return {name.removesuffix(".weight"): merged.key(name) for name in names}


def add_untrained(merged: MergedBase, content: AdapterContent, whole: dict[str, SourceTensor]) -> list[Leftover]:
    """Copies of the base's own tensors are not used, unless the base had grown by then."""
    leftovers = []
    for source in content.untrained:
        name = plain_name(full_name(source.key).replace(".original_module.", ".").replace(".token_adapter.", "."))
        if name not in whole and source.shape != merged.planned(name)[0].info.shape:
            whole[name] = source
        else:
            leftovers.append(Leftover(source, "unused", "the base's own"))
    return leftovers


def replace_whole(merged: MergedBase, whole: dict[str, SourceTensor]) -> list[Leftover]:
    """Take whole tensors from the adapter; returns those of the base that they supersede. Raises ConversionError."""
    grown = grown_names(merged, whole)
    leftovers = []
    for name, source in whole.items():
        for planned in merged.planned(name):
            if source.shape != planned.info.shape and name not in grown:
                raise ConversionError(
                    f"{source.file.path}: {source.key} has shape {source.shape}, the base's {planned.name} "
                    f"{planned.info.shape}."
                )
            reason = f"{source.file.label} has it"
            leftovers += [Leftover(old, "superseded", reason) for old in planned.sources if old != source]
            planned.info = TensorInfo(source.shape, planned.info.dtype)
            planned.source, planned.steps = source, []
    if grown:
        rows = whole[grown[0]].shape[0]
        merged.config = with_vocabulary(merged.config, merged.model.model.config, merged.model.vocabulary, rows)
    return leftovers


def add_loras(merged: MergedBase, content: AdapterContent, config: LoraConfig) -> None:
    """A step for every LoRA, and another where it has a bias."""
    for module, parts in in_order(merged, content.loras):
        for planned in merged.planned(f"{module}.weight"):
            own = config_of_layer(merged, planned.name, config)
            check_adapter(module, planned.info.shape, {part: source.shape for part, source in parts.items()}, own)
            planned.steps.append(Step("lora", module, parts, own))
        if LORA_BIAS in parts:
            merged.tensors[merged.key(f"{module}.bias")].steps.append(Step("lora_bias", module, parts, config))


def config_of_layer(merged: MergedBase, key: str, config: LoraConfig) -> LoraConfig:
    """The adapter's config for one of the base's weights: `fan_in_fan_out`, which PEFT finds out for each layer but
    saves once for all, says whether it is a GPT-2 layer (in, out). Where the model is not known, the saved one holds.
    """
    layer = merged.model.module_of(key) if merged.model else None
    if layer is None:
        return config
    own = copy.copy(config)
    own.fan_in_fan_out = isinstance(layer, Conv1D)
    return own


def in_order(merged: MergedBase, by_module: dict) -> list[tuple]:
    """Modules in the order in which PEFT merges them, which matters for those that share a parameter."""

    def place(item: tuple) -> int:
        name = f"{item[0]}.weight"
        own = merged.model.translation.of(name).name if merged.model else name
        group = merged.group(name)
        return group.index(own) if own in group else 0

    return sorted(by_module.items(), key=place)


def check_rows(module: str, source: SourceTensor, shape: tuple[int, ...], config: LoraConfig) -> None:
    """Trained tokens have to be rows of the base's embedding."""
    indices = token_indices(module, config)
    if len(indices) != source.shape[0] or source.shape[1:] != shape[1:]:
        raise ConversionError(
            f"{source.file.path}: {source.key} has shape {source.shape}; its config names {len(indices)} tokens of "
            f"{module}, whose base has shape {shape}."
        )
    beyond = [index for index in indices if not 0 <= index < shape[0]]
    if beyond:
        raise ConversionError(
            f"{source.file.path} trained the token {beyond[0]} of {module}, but the base has {shape[0]} rows: resize "
            "its embeddings as they were in training."
        )
