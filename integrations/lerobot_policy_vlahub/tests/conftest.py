"""Tiny checkpoints of every robot family, with statistics, and a drawn dataset; nothing is downloaded."""

import json
import os
import sys
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TOKENIZERS_PARALLELISM": "false"}
sys.path.append(str(Path(__file__).parents[3] / "examples"))

import pytest
from lerobot.utils.import_utils import register_third_party_plugins
from tiny_dataset import write_dataset
from tiny_models import write_model
from transformers import AutoProcessor

from vlahub.data import dataset_statistics, load_frames

ROBOTS = ("cogvla", "mapanything_llava3d", "multimodal_vla")

register_third_party_plugins()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "drawn"
    write_dataset(folder, episodes=4)
    statistics = dataset_statistics(load_frames(folder), unmasked_actions=[-1], progress=False)
    (folder / "dataset_statistics.json").write_text(json.dumps({"drawn": statistics}))
    return folder


@pytest.fixture(scope="session")
def statistics(dataset):
    return json.loads((dataset / "dataset_statistics.json").read_text())


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory, statistics):
    """Writes a checkpoint of a family once for the same fields; `processor` fields go to its processor."""
    made = {}

    def make(family, norm_stats=statistics, processor=None, **fields):
        key = json.dumps([family, norm_stats, processor, fields], sort_keys=True)
        if key not in made:
            folder = made[key] = tmp_path_factory.mktemp("checkpoints") / family
            if family not in ROBOTS:
                write_model(family, folder, **fields)
                return folder
            write_model(family, folder, norm_stats=norm_stats, **fields)
            own = AutoProcessor.from_pretrained(folder)
            own.norm_stats = norm_stats
            for name, value in (processor or {}).items():
                setattr(own, name, value)
            own.save_pretrained(folder)
        return made[key]

    return make


@pytest.fixture(params=ROBOTS)
def robot_checkpoint(request, make_checkpoint):
    return make_checkpoint(request.param)
