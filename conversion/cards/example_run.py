"""The example of a card, carried out as a user of the checkpoint does it: in a process of its own, without vlahub."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ...configuration.vla_errors import ConversionError

LONGEST = 8000  # characters of an output that a card shows
WITHOUT_VLAHUB = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "vlahub":
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, NotInstalled())
sys.path[:] = [place for place in sys.path if place]
exec(compile(sys.stdin.read(), "<the example of the card>", "exec"), {"__name__": "__main__"})
"""
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def run_example(
    code: str, folder: Path, repository: str, images: Mapping[str, Path], in_repository: bool = False
) -> str:
    """What the example prints on a CPU, with no access to the Hub.

    Args:
        code: its text; it names the repository, and images by their names.
        folder: the checkpoint, which takes the repository's place.
        repository: its name in the code, owner/name.
        images: the files by these names.
        in_repository: whether the images will lie in the repository.

    Raises:
        ConversionError: it failed; the message has the last line of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="vlahub-card-") as work:
        place = Path(work)
        (place / repository).mkdir(parents=True)
        for entry in folder.resolve().iterdir():
            (place / repository / entry.name).symlink_to(entry)
        for name, image in images.items():
            at = (place / repository if in_repository else place) / name
            at.unlink(missing_ok=True)  # of the card so far
            shutil.copyfile(image, at)
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(place / "modules"), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-X", "utf8", "-c", WITHOUT_VLAHUB]
        done = subprocess.run(command, input=code.encode(), capture_output=True, env=environment, cwd=place)
    if done.returncode:
        raise ConversionError(f"the card's example failed on {folder}: {reason_of(done)}.")
    return shown_text(done.stdout.decode(errors="replace"))


def reason_of(done: subprocess.CompletedProcess) -> str:
    """The last line of what was said, or the signal that ended it."""
    if done.returncode < 0:
        hint = " (is there enough memory?)" if done.returncode == -9 else ""
        return f"it was ended by signal {-done.returncode}{hint}"
    lines = shown_text(done.stderr.decode(errors="replace")).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else f"it ended with exit code {done.returncode} and said nothing"


def shown_text(text: str) -> str:
    """What was printed as a page shows it: without control characters, and not endless."""
    lines = text.expandtabs(4).replace("\r\n", "\n").split("\n")
    shown = "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line).rstrip() for line in lines)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST].rstrip()}\n..."
