"""Processors and policies of tiny checkpoints, which several targets ask."""

from pathlib import Path

import numpy as np
from families import FAMILIES
from tiny_configs import bounds
from tiny_models import write_model

STATE = [0.1 * i for i in range(8)]
PATH = {
    "ego_history_xyz": np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1),
    "ego_history_rot": np.tile(np.eye(3), (16, 1, 1)),
}
VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))


def write_robot(name: str, folder: Path) -> Path:
    """A checkpoint of a family that has actions, with statistics."""
    if name == "cogvla":  # no run is merged for it
        statistics = {"demo_tabletop": {"action": bounds(7), "proprio": bounds(len(STATE))}}
        write_model(name, folder, norm_stats=statistics)
        processor = FAMILIES[name].processor.from_pretrained(folder)
        processor.norm_stats = statistics
        processor.save_pretrained(folder)
        return folder
    return FAMILIES[name].make(folder)


def processors(folder: Path) -> dict:
    """Of every family, by its name."""
    found = {}
    for name, family in FAMILIES.items():
        place = folder / name
        if family.unnorm_key:
            write_robot(name, place)
        else:
            write_model(name, place)
        found[name] = family.processor.from_pretrained(place)
    return found


def asked(processor, text, **changes):
    """What a processor makes of a scene."""
    if hasattr(processor, "state_dim"):
        return processor(**{"images": VIEWS, "text": text, "state": STATE, **changes})
    return processor(**{"images": VIEWS, "text": text, **PATH, **changes})
