"""JSON files of finished checkpoints of every family: config, generation, processor, tokenizer, statistics, report."""

import json
from functools import partial
from pathlib import Path

from families import FAMILIES
from PIL import Image
from tiny_models import write_model
from tiny_run import TinyRun

from vlahub.errors import VLAError

from ..command_line import command
from ..folders import FolderTarget, Source

ROBOT = ("--instruction", "Put the block", "--state", *["0.1"] * 8)


class Checkpoints(FolderTarget):
    name, slice = "checkpoints", 25

    def prepare(self, folder: Path) -> None:
        self.picture = folder / "view.png"
        Image.new("RGB", (64, 48), (90, 30, 60)).save(self.picture)
        robots = {
            "mapanything_llava3d": FAMILIES["mapanything_llava3d"].make,
            "multimodal_vla": FAMILIES["multimodal_vla"].make,
        }
        made = {name: make(folder / name) for name, make in robots.items()}
        TinyRun(cogvla=False, layers=2).write(folder / "run")
        sources = ("--base", folder / "run/base", "--adapter", folder / "run/run", "--num-images", 2)
        command("merge-lora", *sources, "--platform", "libero", "--output", folder / "openvla", "--quiet")
        made["cogvla"] = folder / "openvla"
        write_model("alpamayo_r1", folder / "alpamayo_r1")
        self.sources = {name: Source(place, self.readers(name)) for name, place in made.items()}
        self.sources["alpamayo_r1"] = Source(folder / "alpamayo_r1", self.readers("alpamayo_r1"))

    def readers(self, family: str) -> dict:
        found = {"inspect": inspected, "verify": verified, "config": partial(config_of, FAMILIES[family])}
        if FAMILIES[family].unnorm_key:
            found |= {
                "predict": self.predicted,
                "predict again": self.predicted,
                "processor": partial(processor_of, FAMILIES[family]),
            }
        return found

    def predicted(self, folder: Path, output: Path) -> None:
        """What is printed is JSON of finite numbers."""
        text = command("predict", folder, "--images", self.picture, self.picture, *ROBOT, "--quiet")
        json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(f"{name} is printed")))


def inspected(folder: Path, output: Path) -> None:
    json.loads(command("inspect", folder, "--json"))


def verified(folder: Path, output: Path) -> None:
    command("verify", folder, "--quiet")


def config_of(family, folder: Path, output: Path) -> None:
    loaded(family.config, folder)


def processor_of(family, folder: Path, output: Path) -> None:
    loaded(family.processor, folder)


def loaded(kind, folder: Path) -> None:
    """That a file is no JSON, transformers itself says, and names the file."""
    try:
        kind.from_pretrained(folder)
    except OSError as error:
        if isinstance(error, VLAError) or str(folder) not in str(error):
            raise
