"""JSON and YAML files of what is converted: training runs, adapters, base models, published parts and checkpoints."""

from pathlib import Path

from tiny_alpamayo import TinyAlpamayo
from tiny_llava3d_parts import TinyParts
from tiny_run import TinyRun

from vlahub.modeling.base_weights import weights_in_folder, write_base_weights

from ..command_line import command
from ..folders import FolderTarget, Source

RUN = ("--num-images", 2, "--platform", "libero", "--quiet")
ROLES = ("vision", "language", "geometry")


class Sources(FolderTarget):
    name, slice = "sources", 15

    def prepare(self, folder: Path) -> None:
        TinyRun(cogvla=False, layers=2).write(folder / "openvla")
        base = weights_in_folder(folder / "openvla" / "base")
        write_base_weights(folder / "openvla" / "run" / "lora_adapter", base)
        TinyRun().write(folder / "cogvla")
        TinyAlpamayo().write(folder / "alpamayo")
        TinyParts().write(folder / "parts")
        run = {"plan": planned_merge, "merge": merge, "inspect": inspected_run}
        self.sources = {
            "openvla": Source(folder / "openvla", run),
            "cogvla": Source(folder / "cogvla", {"plan": planned_merge, "inspect": inspected_run}),
            "alpamayo": Source(folder / "alpamayo", {"plan": planned_conversion, "convert": conversion}),
            "parts": Source(folder / "parts", {"plan": planned_assembly, "assemble": assembly}),
        }


def merge(folder: Path, output: Path, *options: str) -> None:
    sources = ("--base", folder / "base", "--adapter", folder / "run")
    command("merge-lora", *sources, "--output", output, *RUN, *options)


def planned_merge(folder: Path, output: Path) -> None:
    merge(folder, output, "--dry-run")


def inspected_run(folder: Path, output: Path) -> None:
    command("inspect", folder / "run", "--json")
    command("inspect", folder / "base", "--json")


def conversion(folder: Path, output: Path, *options: str) -> None:
    command("convert", folder / "published", output, "--vlm", folder / "vlm", "--quiet", *options)


def planned_conversion(folder: Path, output: Path) -> None:
    conversion(folder, output, "--dry-run")


def assembly(folder: Path, output: Path, *options: str) -> None:
    parts = [word for role in ROLES for word in (f"--{role}", folder / role)]
    statistics = ("--statistics", folder / "dataset_statistics.json")
    sizes = ("--expert-hidden-size", 32, "--expert-num-layers", 2, "--action-horizon", 4)
    family = ("--family", "mapanything_llava3d")
    command("assemble", *family, *parts, "--output", output, *statistics, *sizes, "--quiet", *options)


def planned_assembly(folder: Path, output: Path) -> None:
    assembly(folder, output, "--dry-run")
