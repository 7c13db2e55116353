"""Whether the weights of a checkpoint fit its own class, which is built without memory and without running its code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import transformers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils import logging

from ..configuration.vla_config import VLAConfig
from ..configuration.vla_errors import ConversionError
from ..training.waiting import waiting
from .files.json_file import read_json
from .tensors.size_limits import check_layers
from .tensors.tensor_source import TensorGroup
from .tensors.verify_tensors import some


def check_against_class(folder: Path, group: TensorGroup) -> str:
    """Load the weights into the model on the meta device, by transformers' own tables of names; returns what was found.

    Raises:
        ConversionError, ConfigError: tensors are missing, unknown or of another shape, or are no floating point numbers
            where the model has parameters; the message names them.
    """
    config = read_json([folder], "config.json", required=True)
    check_layers(config, len(list(group)), f"{folder}/config.json")
    kind, reason = model_class(folder, config)
    if kind is None:
        return f"names and shapes were not compared with a model: {reason}"
    integers = [name for name in group if not group.info(name).dtype.is_floating_point]
    try:
        model, info = loaded(kind, folder)
    except RuntimeError:  # transformers 4 puts no integers where a parameter is
        check_floating(integers, folder, kind)
        raise
    wrong = {what: names_in(info[f"{what}_keys"]) for what in ("missing", "unexpected", "mismatched")}
    if any(wrong.values()):
        text = "; ".join(f"{what} tensors: {some(names)}" for what, names in wrong.items() if names)
        raise ConversionError(f"{folder}: the weights do not fit {kind.__name__}: {text}.")
    parameters = dict(model.named_parameters())
    check_floating([name for name in integers if name in parameters], folder, kind)
    return f"names and shapes are those of {kind.__name__}"


def check_floating(integers: list[str], folder: Path, kind: type[PreTrainedModel]) -> None:
    if integers:
        raise ConversionError(f"{folder}: no floating point numbers, where {kind.__name__} has them: {some(integers)}.")


def loaded(kind: type[PreTrainedModel], folder: Path) -> tuple[PreTrainedModel, dict]:
    """The model on the meta device, and what transformers found when it compared names and shapes."""
    with waiting("comparing with the model's class"), quiet_transformers():
        return kind.from_pretrained(
            folder,
            device_map="meta",
            dtype="auto",
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
        )


def names_in(entries) -> list[str]:
    """Names of tensors, which 5.x accompanies by shapes in one case."""
    return sorted(entry if isinstance(entry, str) else entry[0] for entry in entries)


def model_class(folder: Path, config: dict) -> tuple[type[PreTrainedModel] | None, str]:
    """The class of a checkpoint, ours or transformers', or why there is none. Its own code is not looked at."""
    if config.get("quantization_config"):
        return None, "it is quantised"
    try:
        parsed = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        return None, f"its config is not one known here ({str(error).strip().splitlines()[0]})"
    if isinstance(parsed, VLAConfig):
        return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(parsed)], ""
    return transformers_class(parsed)


def transformers_class(config: PretrainedConfig) -> tuple[type[PreTrainedModel] | None, str]:
    names = config.architectures or []
    if not names:
        return None, "config.json names no class (architectures)"
    kind = getattr(transformers, names[0], None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel) and kind.config_class is type(config)):
        return None, f"{names[0]!r} is no model of transformers {transformers.__version__} for this config"
    return kind, ""


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """What it would warn about is looked at here."""
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
