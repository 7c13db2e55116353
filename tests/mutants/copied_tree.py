"""A copy of the tree in which faults are planted one after another; the working tree is never written."""

import compileall
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from .planted import REPOSITORY, Mutant

LAYERS = ("configuration", "modeling", "processing", "training", "conversion", "model_cards")


def tracked_files() -> list[str]:
    """What git tracks or would: the tree without environments and outputs."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in set(found) if (REPOSITORY / name).is_file())


def tree_hash(files: list[str]) -> str:
    """Of all Python files: a result holds for the tree that it was found on."""
    digest = hashlib.sha256()
    for name in files:
        if name.endswith(".py"):
            digest.update(name.encode() + b"\0" + (REPOSITORY / name).read_bytes())
    return digest.hexdigest()


class CopiedTree:
    """A copy in `folder`, whose package is what a process with its `environment` imports."""

    def __init__(self, folder: Path, files: list[str]):
        self.folder = folder
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
        # As setup.cfg maps them; a path that is listed comes before the editable installation of the working tree.
        for layer in LAYERS:
            (folder / "vlahub" / layer).symlink_to(folder / layer)
        for name in (*LAYERS, "vlahub", "tests"):
            compileall.compile_dir(folder / name, quiet=2)

    @property
    def environment(self) -> dict[str, str]:
        """With a Hub cache of its own: copies of remote code lie there."""
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"HF_HOME": str(self.folder.parent / f"{self.folder.name}_hub"), "PYTHONPATH": os.pathsep.join(paths)}
        return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}

    def start_worker(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.mutants.worker"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **pipes)

    @contextmanager
    def mutated(self, mutant: Mutant):
        """With the fault in the copy's file, whose time is one at which no bytecode was compiled."""
        path = self.folder / mutant.file
        original, modified = path.read_bytes(), path.stat().st_mtime
        path.write_text(mutant.mutated(self.folder), encoding="utf-8")
        os.utime(path, (modified + 100, modified + 100))
        try:
            yield
        finally:
            path.write_bytes(original)
            os.utime(path, (modified, modified))
