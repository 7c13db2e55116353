"""Composed models, as the conversion knows them: born here, so that nothing is converted; adapters are merged."""

from typing import TYPE_CHECKING, Any

from ..family import Family
from ..predictions.prediction import robot_prediction
from .inspected_composed import INSPECTION

if TYPE_CHECKING:  # slow to import
    from ..predictions.prediction_trace import PredictionTrace


def trace_composed(*asked: Any) -> "PredictionTrace":
    from .prediction_trace import traced_composed

    return traced_composed(*asked)


MULTIMODAL_VLA = Family(name="multimodal_vla", prediction=robot_prediction(trace_composed), inspection=INSPECTION)
