"""What a push amid a training takes out of a checkpoint beside what transformers does, which is weights and their
configs: the code that loads them, their card, and what an adapter was trained with."""

import shutil
from pathlib import Path

from ..configuration.checkpoint_card import CARD_NAME, is_unedited
from ..modeling.replaced_weights import BASE_WEIGHTS, STATISTICS, VIEWS

ADAPTER = "adapter_config.json"
TAKEN = ("*.py", BASE_WEIGHTS, STATISTICS, VIEWS)


def take_along(checkpoint: str | Path, folder: str | Path) -> None:
    """Copy it into the folder that is pushed. A card that was edited there stays.

    checkpoint: of a Trainer, such as `run/checkpoint-500`; folder: the run's.
    """
    checkpoint, folder = Path(checkpoint), Path(folder)
    for path in (path for pattern in TAKEN for path in checkpoint.glob(pattern)):
        shutil.copyfile(path, folder / path.name)
    former = [BASE_WEIGHTS] if (checkpoint / ADAPTER).is_file() else []
    for name in [*former, VIEWS] if (checkpoint / STATISTICS).is_file() else former:
        if not (checkpoint / name).is_file():  # of a former run, as a save takes it away
            (folder / name).unlink(missing_ok=True)
    card, own = checkpoint / CARD_NAME, folder / CARD_NAME
    if card.is_file() and (not own.is_file() or is_unedited(own.read_text(encoding="utf-8"))):
        shutil.copyfile(card, own)
