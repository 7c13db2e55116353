"""What a CogVLA, OpenVLA-OFT or OpenVLA training run leaves on disk."""

from dataclasses import dataclass, field
from pathlib import Path

from peft import LoraConfig

from ...configuration.vla_errors import ConversionError
from ..files.file_kinds import REPORT_NAME
from ..files.json_file import read_json
from ..tensors.adapter_file import find_adapter, read_content
from ..tensors.adapter_patterns import check_matching
from ..tensors.collected import Collected, SourceGroup, collect
from ..tensors.side_files import find_side_files
from ..tensors.tensor_source import TensorFile, TensorGroup, open_checkpoint
from .names import SIDE_FILES, TABLE


@dataclass
class RunLayout:
    """The files of one conversion, weakest source first.

    Attributes:
        weights: the base model's weights, or those of an already merged checkpoint.
        merged: whether `weights` has the adapter of the language model in it already.
        side_files: by the keys of `SIDE_FILES`.
        config: the parsed config.json, of the run where it has one.
        folders: where processor and tokenizer files may lie, best first.
        tokenizer: the folder of the one that was given, which goes before those.
    """

    weights: TensorGroup
    merged: bool
    config: dict
    folders: list[Path]
    adapter: TensorFile | None = None
    lora_config: LoraConfig | None = None
    side_files: dict[str, TensorFile] = field(default_factory=dict)
    tokenizer: Path | None = None


def find_layout(base: Path | None, run: Path, label: str = "run") -> RunLayout:
    """Look at what is there.

    Args:
        base: folder of the base model; not needed where the run is merged already.
        run: folder of the training run, or of a merged checkpoint.
        label: how reports call it.

    Raises:
        ConversionError: a file that is needed is missing, there are several of a kind, or one cannot be read.
    """
    for folder in filter(None, (base, run)):
        if not folder.is_dir():
            raise ConversionError(f"{folder} is not a folder.")
    if base and (base / REPORT_NAME).exists():
        raise ConversionError(
            f"--base {base} is a checkpoint of vlahub already; such a run is merged into the published model that it "
            "was trained from (openvla/openvla-7b, say)."
        )
    side_files = find_side_files(run, SIDE_FILES, label)
    merged_weights = open_checkpoint(run, label)
    adapter, lora_config = find_adapter(run)
    weights = merged_weights or (open_checkpoint(base, "base") if base else None)
    if weights is None:
        where = f"neither {run} nor {base} holds" if base else f"{run} holds no"
        raise ConversionError(f"{where} model weights (model.safetensors, its shards, or pytorch_model.bin).")
    if merged_weights is None and adapter is None:
        raise ConversionError(f"{run} holds no adapter (lora_adapter/adapter_model.safetensors) and no merged weights.")
    if adapter and merged_weights is None:
        check_matching(lora_config, read_content(adapter).loras)  # before anything else matches its patterns
    folders = [run, base] if base else [run]
    return RunLayout(
        weights=weights,
        merged=merged_weights is not None,
        config=read_json(folders, "config.json", required=True),
        folders=folders,
        adapter=adapter,
        lora_config=lora_config,
        side_files=side_files,
    )


def collect_layout(layout: RunLayout) -> Collected:
    """Every tensor of every file, under its name in the model.

    Raises:
        ConversionError: a name is unknown, or there is a LoRA without a config.
    """
    groups = [SourceGroup(layout.weights, TABLE, unmerged=not layout.merged)]
    groups += [SourceGroup(TensorGroup([layout.adapter]), TABLE)] if layout.adapter else []
    groups += [SourceGroup(TensorGroup([f]), TABLE, SIDE_FILES[kind]) for kind, f in layout.side_files.items()]
    return collect(groups, layout.adapter, layout.lora_config)
