"""What the fine-tuning script learns from where neither model nor dataset is at hand: both are made, once."""

from pathlib import Path

from tiny_dataset import write_dataset
from tiny_driving_dataset import write_driving_dataset
from tiny_models import MAKERS, write_model
from transformers import AutoConfig

from vlahub.conversion.model_to_train import check_model

DRIVING = "trajectories"  # what models predict whose datasets are drives


def demonstration(model: str, dataset: str, folder: Path) -> tuple[str, str]:
    """Where model and dataset are; a family's name becomes a tiny model in the folder, and `demo` a drawn dataset.

    Raises:
        ConversionError: `model` cannot be trained, such as a raw OpenVLA run, see `check_model`.
    """
    source = str(folder / "tiny_model") if model in MAKERS else model
    if model not in MAKERS:
        check_model(model)
    elif not Path(source).exists():
        write_model(model, Path(source))
    if dataset == "demo":
        dataset = str(folder / "demo_dataset")
        driving = AutoConfig.from_pretrained(source).predicts == DRIVING
        if not Path(dataset).exists():
            (write_driving_dataset if driving else write_dataset)(dataset)
    return source, dataset
