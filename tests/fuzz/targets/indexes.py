"""Indexes of sharded weights: wrong maps, shards that are missing or lie elsewhere."""

import json
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file

from vlahub.configuration.card_weights import stored_tensors
from vlahub.conversion.tensors.tensor_source import open_checkpoint
from vlahub.modeling.base_tensors import BaseTensors

from ..json_changes import changed_text
from ..target import Target, accepted

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
OUTSIDE = "outside.safetensors"  # in the folder above: a file that is none of the checkpoint's
PLACES = (f"../{OUTSIDE}", f"./{SHARDS[0]}", f"x/../{SHARDS[0]}", "/etc/passwd", "..", ".", "", "\x00", "a" * 300)
PLACES = (*PLACES, "missing.safetensors", INDEX, *SHARDS, 5, None, [SHARDS[0]], {})


class Indexes(Target):
    name, slice = "indexes", 100

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.tensors = {f"layer.{i}": torch.randn(3, 2) for i in range(4)}
        self.map = {key: SHARDS[i // 2] for i, key in enumerate(self.tensors)}

    def change(self, random: Random, folder: Path) -> str:
        for shard in SHARDS:
            save_file({key: self.tensors[key] for key, at in self.map.items() if at == shard}, folder / shard)
        outside = folder.parent / OUTSIDE
        save_file({key: -tensor for key, tensor in self.tensors.items()}, outside)
        index = {"metadata": {"total_size": 96}, "weight_map": dict(self.map)}
        if random.random() < 0.4:
            text, told = changed_text(random, index)
        else:
            keys = random.sample(list(self.map), random.choice((1, 1, 2, 4)))
            place = random.choice((*PLACES, str(outside)))
            index["weight_map"] |= dict.fromkeys(keys, place)
            text, told = json.dumps(index).encode(), f"{keys} in {place!r}"
        (folder / INDEX).write_bytes(text)
        return told

    def run(self, folder: Path, output: Path) -> None:
        """Every tensor is that of the checkpoint, whoever reads it."""
        for read in (self.from_base, self.by_card, self.converted):
            found = accepted(lambda read=read: read(folder))
            for key, tensor in (found or {}).items():
                assert torch.equal(tensor, self.tensors[key]), f"{read.__name__} reads {key} from elsewhere"
        self.converted(folder)

    def converted(self, folder: Path) -> dict:
        group = open_checkpoint(folder, "base")
        assert set(group) <= set(self.tensors)
        return {key: group.file_of[key].load(key) for key in group}

    def from_base(self, folder: Path) -> dict:
        tensors = BaseTensors(folder, lambda key: key)
        return {key: tensors[key] for key in self.tensors if key in tensors}

    def by_card(self, folder: Path) -> dict:
        assert {each.shape for each in stored_tensors(folder)} <= {(3, 2)}
        return {}
