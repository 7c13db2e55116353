"""Builds card.cpp for the torch that is installed, and loads it before torch is imported: torch asks only once."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).with_name("card.cpp")
FOLDER = Path(__file__).parents[2] / "build" / "simulated_card"
FLAGS = ("-O0", "-shared", "-fPIC", "-std=c++20")
LIBRARIES = ("c10", "torch_cpu")


def can_build() -> bool:
    return shutil.which("g++") is not None


def load() -> None:
    """Raises RuntimeError where torch was imported before, whose devices are settled then."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already: load the simulated card first.")
    library = built(Path(find_spec("torch").origin).parent)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def built(torch: Path) -> Path:
    """The library, made once for each torch; those that it needs are loaded."""
    for name in ("torch_global_deps", *LIBRARIES):
        ctypes.CDLL(str(torch / "lib" / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
    mark = hashlib.sha256(SOURCE.read_bytes() + version("torch").encode()).hexdigest()[:16]
    library = FOLDER / f"{mark}.so"
    if not library.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        made = library.with_suffix(f".{os.getpid()}")
        links = [f"-L{torch / 'lib'}", *(f"-l{name}" for name in LIBRARIES)]
        command = ["g++", *FLAGS, f"-I{torch / 'include'}", str(SOURCE), "-o", str(made), *links]
        subprocess.run(command, check=True)
        made.replace(library)  # of several processes the last one's
    return library
