"""What the published code of this family leaves on disk: a training run, or a folder in transformers' form.

A run: config.yaml and config.json of the framework, dataset_statistics.json, checkpoints/steps_N_pytorch_model.pt and
final_model/pytorch_model.pt (3dvla-starvla_framework, starVLA/training/train_starvla.py).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...configuration.vla_errors import ConversionError
from ..files.json_file import check_depth, check_regular, read_json, too_deep
from ..tensors.tensor_source import TensorFile, TensorGroup, open_checkpoint

STEP_FILES = ("checkpoints/steps_*_pytorch_model.*", "checkpoints/steps_*_model.*")
FINAL_FILES = ("final_model/pytorch_model.*",)
LOOSE_FILES = ("*.pt", "*.bin", "*.safetensors")
SUFFIXES = (".pt", ".bin", ".safetensors")
FRAMEWORK = "MapAnythingLlava3DPI"


@dataclass
class Run:
    """One published checkpoint.

    Attributes:
        model: the content of a transformers config.json; empty for a training run.
        framework: `framework` of a training run's config; empty for a transformers folder.
        prompt: what the instructions were put into, at "{instruction}", or `None`.
    """

    folder: Path
    weights: TensorGroup
    model: dict[str, Any]
    framework: dict[str, Any]
    prompt: str | None


def read_run(folder: Path, step: str | None) -> Run:
    """Look at what is there.

    Raises:
        ConversionError: there are no weights, several files of them and no `step`, or settings that the model here
            cannot reproduce.
    """
    config = read_run_config(folder)
    framework = config.get("framework") or {}
    check_framework(framework)
    if "expert_config" in config and "geometry_config" in config:
        raise ConversionError(f"{folder} is a converted checkpoint already; its own save_pretrained changes its dtype.")
    data = (config.get("datasets") or {}).get("vla_data") or {}
    return Run(
        folder=folder,
        weights=open_checkpoint(folder, "run") or TensorGroup([TensorFile(*weights_file(folder, step))]),
        model={} if framework else config,
        framework=framework,
        prompt=data.get("CoT_prompt"),
    )


def read_run_config(folder: Path) -> dict[str, Any]:
    """config.json or config.yaml, `{}` where there is neither.

    Raises:
        ConversionError: it cannot be read.
    """
    path = folder / "config.yaml"
    if (folder / "config.json").exists() or not path.exists():
        return read_json([folder], "config.json", required=False) or {}
    try:
        content = yaml.safe_load(check_regular(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise ConversionError(f"{path} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConversionError(too_deep(path)) from error
    check_depth(content, path)
    if not isinstance(content, dict):
        raise ConversionError(f"{path} holds a {type(content).__name__}; a mapping is needed.")
    return content


def weights_file(folder: Path, step: str | None) -> tuple[Path, str]:
    """The one file of weights and its name in reports."""
    found = {re.search(r"steps_(\d+)", path.name)[1]: path for path in matches(folder, STEP_FILES)}
    found |= dict(zip(("final",), matches(folder, FINAL_FILES), strict=False))
    if not found:
        found = {path.name: path for path in matches(folder, LOOSE_FILES)}
    if not found:
        raise ConversionError(f"{folder} holds no weights (model.safetensors, checkpoints/steps_N_pytorch_model.pt).")
    if step is None and len(found) > 1:
        raise ConversionError(f"{folder} holds several checkpoints: pass --step with one of {', '.join(found)}.")
    if step is not None and step not in found:
        raise ConversionError(f"--step {step} is not in {folder}; there are {', '.join(found)}.")
    path = found[step] if step is not None else next(iter(found.values()))
    return path, f"run/{path.relative_to(folder)}"


def matches(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.suffix in SUFFIXES]


def check_framework(framework: dict[str, Any]) -> None:
    """Refuse training settings whose models compute something else."""
    if not framework:
        return
    if framework.get("name") != FRAMEWORK:
        raise ConversionError(f"framework.name is {framework.get('name')!r}; what can be converted is {FRAMEWORK}.")
    if (framework.get("mapanything_llava3d") or {}).get("normalize_vl_hidden"):
        raise ConversionError("the run was trained with normalize_vl_hidden=true, which is not supported.")
    if (framework.get("action_model") or {}).get("vl_layer_selection", "last") != "last":
        raise ConversionError("the run was trained with vl_layer_selection other than 'last', which is not supported.")
