"""What each file of a folder is for, in words."""

import re

from ..families import FAMILIES
from ..files.adapter_places import ADAPTER_NAMES
from ..files.file_kinds import PICKLED, kind_of
from ..folders.folder_contents import ADAPTER_CONFIG
from .inspection import FileRole
from .places import Place

KIND_WORDS = {
    "weights": "weights",
    "config": "config",
    "processor": "processor",
    "tokenizer": "tokenizer",
    "card": "card and licence",
    "statistics": "statistics of the training data",
    "views": "names of the views",
    "weights of the base": "which weights the adapter was trained beside",
    "report": "conversion report",
    "code": "code",
}
TRAINING = re.compile(
    r"optimizer\S*|scheduler\.pt|scaler\.pt|rng_state\S*\.pth|trainer_state\.json|training_args\.bin|global_step\d+\S*"
)
NOT_READ, OF_TRAINING = "not read", "state of the training, not read"


def roles_of(place: Place) -> list[FileRole]:
    return [FileRole(file, place.sizes[file], role_of(file)) for file in sorted(place.sizes)]


def role_of(file: str) -> str:
    """By the name of a file, and the folder that it lies in."""
    folder, _, name = file.rpartition("/")
    if name in ADAPTER_NAMES:
        return "adapter (LoRA)"
    if name == ADAPTER_CONFIG:
        return "settings of the adapter"
    side = {kind: words for f in FAMILIES.values() for kind, words in f.inspection.side_files.items()}
    kind, mark, _ = name.partition("--")
    if mark and name.endswith(".pt") and kind in side:
        return side[kind]
    if TRAINING.fullmatch(name):
        return OF_TRAINING
    if re.fullmatch(r"steps_\d+_\S+|pytorch_model\.pt", name) and folder:
        return "weights of a step of the training"
    if re.fullmatch(PICKLED, name):
        return "weights (pickled)"
    if name == "config.yaml":
        return "config of the training"
    return KIND_WORDS.get(kind_of(name) or "", NOT_READ) if not folder else NOT_READ
