"""How a LLaVA-3D's chunk came out of noise, read off its action expert by a hook."""

from typing import Any

import numpy as np
import torch

from ...processing.mapanything_llava3d.image_processing_mapanything_llava3d import PIXEL_VALUES
from ..predictions.flow_path import flow_path
from ..predictions.prediction_trace import Asked, PredictionTrace, predicted
from ..predictions.recorded_calls import recorded_calls
from ..predictions.shown_views import rgb_of


def traced_llava3d(model: Any, processor: Any, asked: Asked) -> PredictionTrace:
    """The prediction, and the way of the expert that is joined to the language model, or of the DiT head."""
    expert, head, watched = model.action_expert, model.dit_action_head, {}
    if expert is not None or head is not None:  # else the prediction is refused
        reads_noise = head.action_encoder if expert is None else expert.action_in_proj
        watched["noisy"] = reads_noise, lambda call: call.args[0]
    with recorded_calls(watched) as calls:
        drawn = predicted(model, asked)
    views = seen_views(processor, asked.inputs["pixel_values"])
    return PredictionTrace(drawn, views, path=flow_path(model, asked, calls["noisy"], drawn))


def seen_views(processor: Any, pixel_values: torch.Tensor) -> list[np.ndarray]:
    """pixel_values: (1, views, 3, height, width)."""
    black, white = PIXEL_VALUES[processor.image_processor.pixel_range][[0, 255]]
    return rgb_of(pixel_values[0], -black / (white - black), 1 / (white - black))
