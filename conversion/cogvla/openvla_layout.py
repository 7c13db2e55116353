"""What a CogVLA, OpenVLA-OFT or OpenVLA training run leaves on disk, and the names its tensors get.

Upstream: JiuTian-VL/CogVLA and moojink/openvla-oft, vla-scripts/finetune.py and merge_lora_weights_and_save.py.
"""

from dataclasses import dataclass, field
from pathlib import Path

from peft import LoraConfig

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_errors import ConversionError
from ..files.json_file import read_json
from ..tensors.adapter_file import find_adapter, read_content
from ..tensors.adapter_patterns import check_matching
from ..tensors.rename import Row
from ..tensors.tensor_source import TensorFile, TensorGroup, open_checkpoint

TOWER = r"vision_backbone\.(?:vision_backbone\.)?(featurizer|fused_featurizer)"
TABLE = [
    Row(rf"{TOWER}\.blocks\.(\d+)\.(scale|shift)\.(\w+)", r"vision_backbone.\1.blocks.\2.film.\3.\4", "FiLM"),
    Row(
        rf"{TOWER}\.blocks\.(\d+)\.(?:block\.)?((?:norm1|attn|ls1|norm2|mlp|ls2)\..+)",
        r"vision_backbone.\1.blocks.\2.\3",
        "block of a vision tower, wrapped by FiLM or bare",
    ),
    Row(
        rf"{TOWER}\.(cls_token|reg_token|pos_embed|patch_embed\..+)",
        r"vision_backbone.\1.\2",
        "embeddings of a vision tower",
    ),
    Row(rf"{TOWER}\.(?:norm|attn_pool|fc_norm)\..+", None, "features are taken before the tower's final norm and pool"),
    Row(rf"{TOWER}\.attn_pool\.latent", None, "features are taken before the tower's final norm and pool"),
    Row(
        r"vision_backbone\.vision_aggr_(featurizer|fused_featurizer)",
        r"vision_backbone.\1.aggregation.tokens",
        "aggregation tokens",
    ),
    Row(r"aggregation_router\.(.+)", r"moe_aggregator.\1", "router of the MoE aggregator"),
    Row(r"((?:fused_)?featurizer_proj\..+)", r"moe_aggregator.\1", "projectors of the MoE aggregator"),
    Row(r"(projector\..+)", r"\1", "projector of joined channels"),
    Row(r"language_model\..+\.rotary_emb\.inv_freq", None, "computed, not learned"),
    Row(r"(language_model\..+)", r"\1", "language model, with the routers of its pruning layers"),
    Row(r"action_head\.noise_predictor\.mlp_resnet\.(.+)", r"action_head.model.\1", "diffusion head"),
    Row(r"(action_head\.model\..+)", r"\1", "L1 head"),
    Row(r"((?:proprio|noisy_action)_projector\..+)", r"\1", "projector of state or noisy actions"),
]

# Side files by the start of their names: what their keys lack in front.
SIDE_FILES = {
    "vision_backbone": "vision_backbone.",
    "non_lora_trainables": "",
    "action_head": "action_head.",
    "proprio_projector": "proprio_projector.",
    "noisy_action_projector": "noisy_action_projector.",
}


@dataclass
class Layout:
    """The files of one conversion, weakest source first.

    Attributes:
        weights: the base model's weights, or those of an already merged checkpoint.
        merged: whether `weights` has the adapter of the language model in it already.
        side_files: by the keys of `SIDE_FILES`.
        config: the parsed config.json, of the run where it has one.
        folders: where processor and tokenizer files may lie, best first.
    """

    weights: TensorGroup
    merged: bool
    config: dict
    folders: list[Path]
    adapter: TensorFile | None = None
    lora_config: LoraConfig | None = None
    side_files: dict[str, TensorFile] = field(default_factory=dict)


def find_layout(base: Path | None, run: Path) -> Layout:
    """Look at what is there.

    Args:
        base: folder of the base model; not needed where the run is merged already.
        run: folder of the training run, or of a merged checkpoint.

    Raises:
        ConversionError: a file that is needed is missing, there are several of a kind, or one cannot be read.
    """
    for folder in filter(None, (base, run)):
        if not folder.is_dir():
            raise ConversionError(f"{folder} is not a folder.")
    side_files = find_side_files(run)
    merged_weights = open_checkpoint(run, "run")
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
    return Layout(
        weights=weights,
        merged=merged_weights is not None,
        config=read_json(folders, "config.json", required=True),
        folders=folders,
        adapter=adapter,
        lora_config=lora_config,
        side_files=side_files,
    )


def find_side_files(run: Path) -> dict[str, TensorFile]:
    found = {}
    for kind in SIDE_FILES:
        paths = sorted(run.glob(f"{kind}--*.pt"))
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise ConversionError(f"{run} holds several {kind} files ({names}); keep the one to convert.")
        if paths:
            found[kind] = TensorFile(paths[0], f"run/{paths[0].name}")
    steps = {file.path.name.split("--", 1)[1] for file in found.values()}
    if len(steps) > 1:
        names = ", ".join(file.path.name for file in found.values())
        raise ConversionError(f"{run} holds side files of different steps ({names}); keep those of one.")
    return found


def unused_reason(target: str, config: CogVLAConfig) -> str | None:
    """Why the model has no use for a tensor of a known name; `None` when it should have."""
    parts = target.split(".")
    if parts[0] == "vision_backbone" and parts[2] == "blocks":
        tower = getattr(config, f"{parts[1]}_config")
        if int(parts[3]) >= tower.num_hidden_layers:
            return "features are taken before the tower's last block"
    if parts[0] == "projector" and config.vision_aggregate_type == "moe":
        return "the MoE aggregator replaces it"
    return None


def expected_in(target: str) -> str:
    """The file of a run in which a tensor of the output is usually found; for error messages."""
    if ".film." in target or ".aggregation." in target:
        return "vision_backbone--*_checkpoint.pt"
    if target.startswith("moe_aggregator.") or ".router." in target:
        return "non_lora_trainables--*_checkpoint.pt"
    for kind in ("action_head", "proprio_projector", "noisy_action_projector"):
        if target.startswith(f"{kind}."):
            return f"{kind}--*_checkpoint.pt"
    return "the base model's weights"
