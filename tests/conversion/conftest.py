"""Training runs at a tiny size, written once a session, and copies of them for tests that damage what they read."""

import hashlib
import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlahub.conversion.cli import main

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """A training run on disk, its base model, and the options that its conversion needs."""

    base: Path
    run: Path
    options: tuple[str, ...]

    def merge(self, output: Path, *more: str) -> int:
        """`vlahub merge-lora`; returns the exit code."""
        sources = ["--base", str(self.base), "--adapter", str(self.run)]
        return main(["merge-lora", *sources, "--output", str(output), *self.options, *more])

    def convert(self, output: Path, *more: str) -> int:
        """`vlahub convert` of the run alone; returns the exit code."""
        return main(["convert", str(self.run), str(output), *self.options, *more])

    def copied(self, folder: Path) -> "Run":
        """The same with a copy of the run, to damage."""
        shutil.copytree(self.run, folder / "run")
        return replace(self, run=folder / "run")

    def copied_with_base(self, folder: Path) -> "Run":
        shutil.copytree(self.base, folder / "base")
        return replace(self.copied(folder), base=folder / "base")


@pytest.fixture(scope="session")
def tiny_run() -> ModuleType:
    """The module that writes tiny runs."""
    return example("tiny_run")


@pytest.fixture(scope="session")
def tiny_parts() -> ModuleType:
    """The module that writes tiny parts of a LLaVA-3D model."""
    return example("tiny_llava3d_parts")


@pytest.fixture(scope="session")
def tiny_alpamayo() -> ModuleType:
    """The module that writes a tiny Alpamayo-R1 as it is published."""
    return example("tiny_alpamayo")


def example(name: str) -> ModuleType:
    """A module of examples/, which lies outside of the package."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "examples" / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Parts:
    """Published parts of a LLaVA-3D model on disk."""

    folder: Path

    def assemble(self, output: Path, *options: str, leave_out: str = "") -> int:
        """`vlahub assemble` of all parts but one; returns the exit code."""
        roles = [role for role in ("vision", "language", "geometry") if role != leave_out]
        parts = [word for role in roles for word in (f"--{role}", str(self.folder / role))]
        command = ["assemble", "--family", "mapanything_llava3d", *parts, "--output", str(output), "--quiet"]
        return main([*command, "--statistics", str(self.folder / "dataset_statistics.json"), *options])


@pytest.fixture(scope="session")
def write_parts(tiny_parts, tmp_path_factory) -> Callable[..., Parts]:
    def write(**settings) -> Parts:
        folder = tmp_path_factory.mktemp("parts")
        tiny_parts.TinyParts(**settings).write(folder)
        return Parts(folder)

    return write


@pytest.fixture(scope="session")
def parts(write_parts) -> Parts:
    """Not to be changed."""
    return write_parts()


@pytest.fixture(scope="session")
def assembled(parts, tmp_path_factory) -> Path:
    """A LLaVA-3D checkpoint with a joined expert, float32; not to be changed."""
    output = tmp_path_factory.mktemp("assembled") / "out"
    options = ("--expert-hidden-size", "32", "--expert-num-layers", "2", "--action-horizon", "4", "--use-state")
    assert parts.assemble(output, *options) == 0
    return output


@pytest.fixture(scope="session")
def write_run(tiny_run, tmp_path_factory) -> Callable[..., Run]:
    def write(*options: str, **settings) -> Run:
        folder = tmp_path_factory.mktemp("written")
        tiny_run.TinyRun(**settings).write(folder)
        return Run(folder / "base", folder / "run", options)

    return write


@pytest.fixture(scope="session")
def cogvla(write_run) -> Run:
    return write_run("--num-images", "2", "--platform", "libero", "--quiet")


@pytest.fixture(scope="session")
def openvla_oft(write_run) -> Run:
    options = ("--num-images", "2", "--platform", "libero", "--quiet")
    return write_run(*options, cogvla=False, layers=2)


@pytest.fixture(scope="session")
def diffusion(write_run) -> Run:
    options = ("--num-images", "1", "--platform", "libero", "--num-diffusion-steps", "3", "--quiet")
    return write_run(*options, cogvla=False, layers=2, action_head="diffusion")


@pytest.fixture(scope="session")
def openvla(write_run) -> Run:
    """A LoRA and statistics, nothing else."""
    return write_run("--quiet", cogvla=False, layers=2, action_head="discrete", proprio_dim=0)


@pytest.fixture(scope="session")
def merged(cogvla, tmp_path_factory) -> Path:
    """The CogVLA run as a float32 checkpoint; not to be changed."""
    output = tmp_path_factory.mktemp("merged") / "out"
    assert cogvla.merge(output, "--dtype", "float32") == 0
    return output


@pytest.fixture(scope="session")
def weights_of() -> Callable[[Path], dict[str, torch.Tensor]]:
    """All tensors of a checkpoint folder."""

    def read(folder: Path) -> dict[str, torch.Tensor]:
        files = sorted(folder.glob("*.safetensors"))
        return {name: tensor for file in files for name, tensor in load_file(file).items()}

    return read


@pytest.fixture(scope="session")
def merged_language(tiny_run) -> Callable[[Run], dict[str, torch.Tensor]]:
    """The base's weights with the adapter in the language model, float32: what published tools write."""

    def merge(run: Run) -> dict[str, torch.Tensor]:
        weights = {name: value for file in run.base.glob("*.safetensors") for name, value in load_file(file).items()}
        adapter = load_file(run.run / "lora_adapter" / "adapter_model.safetensors")
        scale = tiny_run.LORA_ALPHA / tiny_run.LORA_RANK
        for name in weights:
            key = f"base_model.model.{name.removesuffix('.weight')}"
            if name.startswith("language_model.") and f"{key}.lora_A.weight" in adapter:
                a, b = (adapter[f"{key}.lora_{part}.weight"].float() for part in "AB")
                weights[name] = weights[name].float() + scale * (b @ a)
        return weights

    return merge


@pytest.fixture(scope="session")
def save_weights() -> Callable[[dict[str, torch.Tensor], Path], None]:
    def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata={"format": "pt"})

    return save


@pytest.fixture(scope="session")
def snapshot() -> Callable[..., dict[str, str]]:
    """Every path below some folders, hidden ones too, with the hash of its content."""

    def look(*folders: Path) -> dict[str, str]:
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            for folder in folders
            for path in sorted(folder.rglob("*"))
        }

    return look


@pytest.fixture(scope="session")
def assert_refused() -> Callable[..., None]:
    """That a command ended with 1 and one line on stderr in which a pattern is found, behind what it assumed before."""

    def check(code: int, capsys: pytest.CaptureFixture, message: str) -> None:
        assert code == 1
        said = capsys.readouterr().err.splitlines(keepends=True)
        error = "".join(line for line in said if not line.startswith("warning: assumed"))
        assert error.startswith("error: ") and re.search(message, error), error
        assert "Traceback" not in error

    return check
