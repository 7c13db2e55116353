"""What can be said on the command line about a LLaVA-3D checkpoint: of an assembly, and of a published run."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..shared_options import add_chunk_argument, add_normalization_argument, add_seed_argument, add_statistics_argument

# Of the configs, which are slow to import.
CHOICES = {
    "expert_layer_alignment": ("top", "even"),
    "prefix_attention": ("bidirectional", "causal"),
    "pixel_range": ("siglip", "unit"),
    "geometry_normalization": ("imagenet", "none"),
}
DIT_CHOICES = {"context": ("interleave", "cross", "concat", "self"), "output_projection": ("adaln", "none")}
EXPERT_INITS = ("random", "base")
EXPERTS = ("deep_fusion", "dit", "deep_fusion+dit", "none")
MODEL_FIELDS = (  # options that are fields of the model's config as they are
    "expert_hidden_size",
    "expert_num_layers",
    "expert_mlp_ratio",
    "expert_layer_alignment",
    "prefix_attention",
    "pixel_range",
    "geometry_normalization",
    "num_embodiments",
)

CHUNK = "action_horizon"  # what config.json and the report call num_action_chunks


@dataclass
class SharedOptions:
    """What a run does not say itself, and a start is made with; `None` where an option was not given."""

    num_action_chunks: int | None = None
    use_state: bool | None = None
    expert_layer_alignment: str | None = None
    prefix_attention: str | None = None
    context: str | None = None
    output_projection: str | None = None
    pixel_range: str | None = None
    geometry_normalization: str | None = None
    num_inference_steps: int | None = None
    normalization: str | None = None
    statistics: Path | None = None
    no_geometry: bool = False


@dataclass
class Llava3DRunOptions(SharedOptions):
    """Of `convert`."""

    step: str | None = None


@dataclass
class Llava3DOptions(SharedOptions):
    """Of `create` and `assemble`."""

    action_expert_type: str | None = None
    expert_hidden_size: int | None = None
    expert_num_layers: int | None = None
    expert_mlp_ratio: float | None = None
    expert_init: str | None = None
    expert_init_layers: list[int] | None = None
    dit_num_layers: int | None = None
    condition_dropout: float | None = None
    num_embodiments: int | None = None
    action_dim: int | None = None
    state_dim: int | None = None
    seed: int = 0


def option_of(name: str) -> str:
    """`action_dim` -> `--action-dim`."""
    return f"--{name.replace('_', '-')}"


def add_creation_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `create`: of an assembly, or of a checkpoint that gets further parts."""
    parser.add_argument(
        "--base", metavar="DIR", help="a LLaVA-3D checkpoint of ours, instead of --vision and --language"
    )
    add_assembly_arguments(parser, required=False)


def add_assembly_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Everything but what all commands share; required: whether the parts must be given."""
    parser.add_argument("--vision", required=required, metavar="SIGLIP", help="folder or Hub repository of a SigLIP")
    parser.add_argument(
        "--language", required=required, metavar="LLAVA3D", help="of LLaVA-3D, or a plain Llama or Mistral"
    )
    parser.add_argument("--geometry", metavar="MAPANYTHING", help="of MapAnything")
    parser.add_argument("--no-geometry", action="store_true", default=None, help="build without the geometry branch")
    add_seed_argument(parser)
    expert = parser.add_argument_group("action expert")
    expert.add_argument("--action-expert-type", choices=EXPERTS, help="default deep_fusion")
    expert.add_argument("--expert-hidden-size", type=int, metavar="N", help="default: half of the language model's")
    expert.add_argument("--expert-num-layers", type=int, metavar="N", help="default: as many as the language model has")
    expert.add_argument("--expert-mlp-ratio", type=float, metavar="R", help="default: the language model's")
    expert.add_argument(
        "--expert-init", choices=EXPERT_INITS, help="base: layers of the language model, at its width (default random)"
    )
    expert.add_argument(
        "--expert-init-layers",
        type=int,
        nargs="+",
        metavar="N",
        help="of the language model, from 0, one for each of the expert; default: those it attends with",
    )
    expert.add_argument("--dit-num-layers", type=int, metavar="N", help="blocks of the DiT head; default 16 at most")
    expert.add_argument(
        "--condition-dropout", type=float, metavar="P", help="of the DiT head, to be guided later; default 0"
    )
    expert.add_argument(
        "--num-embodiments", type=int, metavar="N", help="robots with encoders and decoders of their own; default 1"
    )
    expert.add_argument("--action-dim", type=int, metavar="N", help="default: that of the statistics")
    add_chunk_argument(expert)
    expert.add_argument("--use-state", action="store_const", const=True, help="the robot's state is an input")
    expert.add_argument("--state-dim", type=int, metavar="N", help="its size; default: that of the statistics")
    add_shared_arguments(parser)
    add_normalization_argument(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `convert`, for what a LLaVA-3D run does not say itself."""
    group = parser.add_argument_group("LLaVA-3D runs")
    group.add_argument("--language", metavar="DIR", help="whose config.json and tokenizer are the language model's")
    group.add_argument("--vision", metavar="DIR", help="whose config.json is the vision tower's")
    group.add_argument("--geometry", metavar="DIR", help="the same of the geometry branch; default: 64 channels a head")
    group.add_argument("--step", metavar="N", help="which file of checkpoints/, or 'final', where there are several")
    group.add_argument("--no-state", dest="use_state", action="store_const", const=False, help="trained without state")
    group.add_argument("--no-geometry", action="store_true", default=None, help="trained without the geometry branch")
    add_shared_arguments(group)


def add_shared_arguments(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument(
        "--tokenizer", metavar="DIR", help="with a tokenizer.json that takes the place of the language model's"
    )
    add_statistics_argument(group)
    group.add_argument("--prefix-attention", choices=CHOICES["prefix_attention"], help="among images and text")
    group.add_argument("--expert-layer-alignment", choices=CHOICES["expert_layer_alignment"], help="default top")
    group.add_argument("--context", choices=DIT_CHOICES["context"], help="what a block of the DiT head attends to")
    group.add_argument("--output-projection", choices=DIT_CHOICES["output_projection"], help="of the DiT head")
    group.add_argument("--pixel-range", choices=CHOICES["pixel_range"], help="of what the processor returns")
    group.add_argument(
        "--geometry-normalization", choices=CHOICES["geometry_normalization"], help="of what the geometry branch sees"
    )
