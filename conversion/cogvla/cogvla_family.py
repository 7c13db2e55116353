"""CogVLA, OpenVLA-OFT and OpenVLA, as the conversion knows them."""

from typing import TYPE_CHECKING, Any

from ...configuration.cogvla.openvla_names import unused_reason
from ..family import Family
from ..predictions.prediction import robot_prediction
from .card import CARD
from .inspected_cogvla import INSPECTION
from .names import SIDE_FILES, TABLE, expected_in
from .options import CogVLAOptions, CogVLAStartOptions, add_start_arguments, add_unrecorded_arguments

if TYPE_CHECKING:  # slow to import
    from ..job import Job, Prepared
    from ..predictions.prediction_trace import PredictionTrace
    from ..tensors.collected import Collected


def prepare_cogvla(job: "Job") -> "Prepared":
    from .checkpoint import plan_cogvla

    return plan_cogvla(COGVLA, job)


def create_cogvla(job: "Job") -> "Prepared":
    from .creation import plan_start

    return plan_start(COGVLA, job)


def collect_cogvla(job: "Job") -> "Collected":
    from .layout import collect_layout, find_layout

    return collect_layout(find_layout(job.base, job.adapters[0]))


def trace_cogvla(*asked: Any) -> "PredictionTrace":
    from .prediction_trace import traced_cogvla

    return traced_cogvla(*asked)


COGVLA = Family(
    name="cogvla",
    published=("openvla",),
    bases=("openvla",),
    side_files=SIDE_FILES,
    arguments={
        "merge-lora": add_unrecorded_arguments,
        "convert": add_unrecorded_arguments,
        "create": add_start_arguments,
    },
    options=CogVLAOptions,
    create_options=CogVLAStartOptions,
    parts={"tokenizer": False},
    table=TABLE,
    embeddings="language_model.model.embed_tokens.weight",
    collect=collect_cogvla,
    unused_reason=unused_reason,
    expected_in=expected_in,
    prepare=prepare_cogvla,
    create=create_cogvla,
    card=CARD,
    inspection=INSPECTION,
    prediction=robot_prediction(trace_cogvla),
)
