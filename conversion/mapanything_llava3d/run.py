"""What the published code of this family leaves on disk: a training run, or a folder in transformers' form.

A run: config.yaml and config.json of the framework, dataset_statistics.json, checkpoints/steps_N_pytorch_model.pt and
final_model/pytorch_model.pt (3dvla-starvla_framework, starVLA/training/train_starvla.py).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from ..files.run_files import LOOSE_FILES, matches, read_run_config
from ..tensors.collected import Collected, SourceGroup, collect
from ..tensors.tensor_source import TensorFile, TensorGroup, open_checkpoint
from .names import FINAL_FILES, FRAMEWORK, RUN_TABLE, STEP_FILES


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
        ConversionError: there are no weights, several files of them and no `step`, or of one step, or settings that
            the model here cannot reproduce.
    """
    config = read_run_config(folder)
    framework = config.get("framework") or {}
    check_framework(framework)
    if "expert_config" in config and "geometry_config" in config:
        raise ConversionError(f"{folder} is a converted checkpoint already; its own save_pretrained changes its dtype.")
    data = (config.get("datasets") or {}).get("vla_data") or {}
    return Run(
        folder=folder,
        weights=weights_of(folder, step),
        model={} if framework else config,
        framework=framework,
        prompt=data.get("CoT_prompt"),
    )


def weights_of(folder: Path, step: str | None) -> TensorGroup:
    """Those in transformers' form, where there are such and no step is named; else those of one file of a run."""
    whole = open_checkpoint(folder, "run") if step is None else None
    return whole or TensorGroup([TensorFile(*weights_file(folder, step))])


def weights_file(folder: Path, step: str | None) -> tuple[Path, str]:
    """The one file of weights and its name in reports."""
    steps = {path: re.search(r"steps_(\d+)", path.name)[1] for path in matches(folder, STEP_FILES)}
    steps |= dict.fromkeys(matches(folder, FINAL_FILES), "final")
    steps = steps or {path: path.name for path in matches(folder, LOOSE_FILES)}
    found = list(dict.fromkeys(steps.values()))
    if not found:
        raise ConversionError(f"{folder} holds no weights (model.safetensors, checkpoints/steps_N_pytorch_model.pt).")
    if step is None and len(found) > 1:
        raise ConversionError(f"{folder} holds several checkpoints: pass --step with one of {', '.join(found)}.")
    if step is not None and step not in found:
        raise ConversionError(f"--step {step} is not in {folder}; there are {', '.join(found)}.")
    path, *others = [path for path, known in steps.items() if known == (step or found[0])]
    if others:
        names = " and ".join(str(other.relative_to(folder)) for other in (path, *others))
        raise ConversionError(f"{folder} holds one step twice, in {names}: keep the one to convert.")
    return path, f"run/{path.relative_to(folder)}"


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


def collect_run(run: Run) -> Collected:
    """Every tensor of a run, under its name in the model.

    Raises:
        ConversionError: a name is unknown.
    """
    return collect([SourceGroup(run.weights, RUN_TABLE)])
