"""`vlahub.plot_prediction`: the picture that `vlahub predict --plot` draws, of a model in memory."""

from pathlib import Path
from typing import Any

from ..configuration.vla_errors import InputError
from .families import OURS
from .plots.picture_file import check_picture
from .predictions.prediction_plot import plot_trace
from .predictions.prediction_trace import Asked, PredictionTrace


def plot_prediction(
    path: str | Path,
    model: Any,
    processor: Any,
    images: Any,
    text: str,
    state: Any = None,
    unnorm_key: str | None = None,
    advantage: str | None = None,
    embodiment_id: int | None = None,
    **options: Any,
) -> PredictionTrace:
    """Predict with a robot's model, and draw what it saw, where it looked and what it predicts (docs/pictures.md).

    The prediction is that of `model.predict_action` on what the processor makes of the arguments, made once.

    Args:
        path: of the picture; its suffix names the format. A file that is there is replaced.
        model, processor: of one checkpoint of a robot's family.
        images, text: views and instruction of one sample, as the processor takes them.
        state, unnorm_key, advantage, embodiment_id: as the processor takes them.
        options: further arguments of `predict_action`, such as `num_samples`, `num_inference_steps` or `noise`.

    Returns:
        what was drawn, as numbers; the actions are `.drawn.actions`, (samples, num_action_chunks, action_dim).

    Raises:
        InputError: the suffix is unknown, the folder is not there, the model is no robot's of a family known here, or
            what is given does not fit it.
        ConversionError: matplotlib is not installed.
    """
    path, name = Path(path), model.config.model_type
    trace = OURS[name].prediction.trace if name in list(OURS) else None
    if trace is None:
        robots = ", ".join(family.name for family in OURS.values() if family.prediction.trace)
        raise InputError(f"plot_prediction draws robots' models ({robots}); this one is a {name!r}.")
    check_picture(path)
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}.")
    if not isinstance(text, str):
        raise InputError(f"text is {text!r}; a picture shows one observation, whose instruction is a string.")
    given = {"state": state, "unnorm_key": unnorm_key, "advantage": advantage, "embodiment_id": embodiment_id}
    inputs = processor(images=images, text=text, **{name: value for name, value in given.items() if value is not None})
    asked = Asked(images, text, inputs.to(model.device), {"unnorm_key": unnorm_key, **options})
    found = trace(model, processor, asked)
    plot_trace(path, found, model, processor, asked)
    return found
