"""LLaVA-3D with an action expert, as the conversion knows it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..family import Family
from ..files.run_files import matches
from ..predictions.prediction import robot_prediction
from .card import CARD
from .inspected_llava3d import INSPECTION
from .names import FINAL_FILES, FRAMEWORK, RUN_TABLE, STEP_FILES, unused_reason
from .options import (
    Llava3DOptions,
    Llava3DRunOptions,
    add_assembly_arguments,
    add_creation_arguments,
    add_run_arguments,
)

if TYPE_CHECKING:  # slow to import
    from ..job import Job, Prepared
    from ..predictions.prediction_trace import PredictionTrace
    from ..tensors.collected import Collected


def is_framework_run(folder: Path, config: dict[str, Any]) -> bool:
    return bool(config.get("framework")) or bool(matches(folder, (*STEP_FILES, *FINAL_FILES)))


def is_converted_llava3d(config: dict[str, Any]) -> bool:
    return "expert_config" in config and "geometry_config" in config


def prepare_llava3d(job: "Job") -> "Prepared":
    from .run_conversion import plan_conversion

    return plan_conversion(MAPANYTHING_LLAVA3D, job)


def create_llava3d(job: "Job") -> "Prepared":
    from .assembly import plan_assembly
    from .next_step import plan_next_step

    if job.base is not None:
        return plan_next_step(MAPANYTHING_LLAVA3D, job)
    return plan_assembly(MAPANYTHING_LLAVA3D, job)


def collect_llava3d(job: "Job") -> "Collected":
    from .run import collect_run, read_run

    return collect_run(read_run(job.adapters[0], job.options(Llava3DRunOptions).step))


def trace_llava3d(*asked: Any) -> "PredictionTrace":
    from .prediction_trace import traced_llava3d

    return traced_llava3d(*asked)


MAPANYTHING_LLAVA3D = Family(
    name="mapanything_llava3d",
    published=("mapanything_llava3d", FRAMEWORK),
    is_converted=is_converted_llava3d,
    is_run=is_framework_run,
    run_words="a training run of 3dvla-starvla_framework",
    arguments={
        "convert": add_run_arguments,
        "create": add_creation_arguments,
        "assemble": add_assembly_arguments,
    },
    options=Llava3DRunOptions,
    create_options=Llava3DOptions,
    parts={"vision": True, "language": True, "geometry": True, "tokenizer": False},
    table=RUN_TABLE,
    embeddings="language_model.model.model.embed_tokens.weight",
    collect=collect_llava3d,
    unused_reason=unused_reason,
    prepare=prepare_llava3d,
    create=create_llava3d,
    card=CARD,
    inspection=INSPECTION,
    prediction=robot_prediction(trace_llava3d),
)
