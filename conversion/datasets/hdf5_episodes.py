"""Episodes in HDF5 files: ALOHA's, one in a file, and those of robomimic and LIBERO, many in a file.

ALOHA: /action, /observations/qpos, /observations/images/CAMERA, the last possibly as JPEG bytes padded to one length
(tonyzhaozh/act, MarkFzp/act-plus-plus). robomimic: /data/demo_0/actions, /data/demo_0/obs/NAME; LIBERO adds the
instruction to the attributes of /data.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...configuration.vla_errors import InputError
from .recorded_episode import Choice, RecordedEpisode, present, recorded_episode

ACTIONS = [["action"], ["actions"]]
STATES = [
    ["observations/qpos"],
    ["obs/ee_states", "obs/gripper_states"],
    ["obs/robot0_eef_pos", "obs/robot0_eef_quat", "obs/robot0_gripper_qpos"],
]
CAMERAS = re.compile(r"observations/images/[^/]+|obs/.*(rgb|image)[^/]*")
TEXTS = ("language_instruction", "language_raw", "instruction", "task")
SUFFIXES = (".hdf5", ".h5")


class HDF5Episodes:
    """The episodes of a file, or of all files in a folder in the order of the numbers in their names.

    Args:
        source: a file, or a folder with .hdf5 files.
        swap_colours: the images were recorded as blue, green, red.

    Raises:
        InputError: h5py is missing, there is no file, or a file is of neither layout.
    """

    def __init__(self, source: Path, choice: Choice, swap_colours: bool = False):
        self.h5py = import_h5py()
        found = [source] if source.is_file() else source.rglob("*")
        files = [path for path in found if path == source or path.suffix.lower() in SUFFIXES]
        if not files:
            raise InputError(
                f"{source} holds no files that end with {' or '.join(SUFFIXES)}; is it of another format (--from rlds)?"
            )
        self.choice, self.swap_colours = choice, swap_colours
        self.places = [(file, group) for file in sorted(files, key=by_number) for group in self.groups(file)]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def fps(self) -> int | None:
        """Frames in a second: robomimic's control frequency; `None` where no file says one.

        Raises:
            InputError: files were recorded at different rates.
        """
        rates = {rate: file for file in dict.fromkeys(file for file, _ in self.places) if (rate := self.rate_of(file))}
        if len(rates) > 1:
            said = ", ".join(f"{file.name} {rate}" for rate, file in rates.items())
            raise InputError(f"the files have different numbers of frames in a second ({said}): convert them apart.")
        return next(iter(rates), None)

    def rate_of(self, file: Path) -> int | None:
        """What one file says; `None` where it says nothing."""
        with self.opened(file) as opened:
            described = opened["data"].attrs.get("env_args") if "data" in opened else None
        settings = object_in(described).get("env_kwargs")
        rate = settings.get("control_freq") if isinstance(settings, dict) else None
        return rate if isinstance(rate, int) and rate > 0 else None

    def __iter__(self) -> Iterator[RecordedEpisode]:
        for file, group in self.places:
            with self.opened(file) as opened:
                yield self.episode(f"{file.name}{group and ' ' + group}", opened, opened[group] if group else opened)

    def opened(self, file: Path) -> Any:
        try:
            return self.h5py.File(file, "r")
        except OSError as error:
            raise InputError(f"{file} cannot be read as HDF5: {error}") from error

    def groups(self, file: Path) -> list[str]:
        """Where a file's episodes lie; "" for the root."""
        with self.opened(file) as opened:
            if any(names[0] in opened for names in ACTIONS):
                return [""]
            found = sorted(opened["data"], key=by_number) if "data" in opened else []
            if not found:
                raise InputError(
                    f"{file} has neither /action (ALOHA) nor /data/demo_0 (robomimic, LIBERO); it holds "
                    f"{', '.join(opened) or 'nothing'}."
                )
            return [f"data/{name}" for name in found]

    def episode(self, name: str, file: Any, group: Any) -> RecordedEpisode:
        known = entries_of(group, self.h5py)
        action = present(self.choice.action, ACTIONS, known, "action")
        if not action:
            raise InputError(f"{name} has no 'action'; name entries with --action, of {', '.join(known)}.")
        state = present(self.choice.state, STATES, known, "state")
        usual = [entry for entry in known if CAMERAS.fullmatch(entry) and "depth" not in entry]
        views = present(self.choice.images, [usual], known, "images")
        cameras = {view: pictures(group[view][()], f"{name}: {view}") for view in views}
        action, state = ({entry: group[entry][()] for entry in names} for names in (action, state))
        return recorded_episode(name, cameras, action, state, self.text(name, file, group), self.swap_colours)

    def text(self, name: str, file: Any, group: Any) -> str:
        """The instruction of an episode: that given, else of a data set or attribute of a usual name."""
        if self.choice.instruction is not None:
            return self.choice.instruction
        for entry in TEXTS if self.choice.text is None else (self.choice.text,):
            for place in (group, group.parent, file):
                if entry in place and isinstance(place[entry], self.h5py.Dataset):
                    return text_of(place[entry][()], f"{name}: {entry!r}")
                if entry in place.attrs:
                    return text_of(place.attrs[entry], f"{name}: {entry!r}")
        problem = object_in(group.parent.attrs.get("problem_info"))
        if "language_instruction" in problem and self.choice.text is None:
            return text_of(problem["language_instruction"], f"{name}: problem_info")
        raise InputError(f"{name} has no instruction: give one with --instruction, or name its entry with --text.")


def entries_of(group: Any, h5py: Any) -> list[str]:
    """The paths of all data sets in a group."""
    found: list[str] = []
    group.visititems(lambda path, entry: found.append(path) if isinstance(entry, h5py.Dataset) else None)
    return found


def pictures(stored: np.ndarray, where: str) -> np.ndarray:
    """Images as they are; rows of bytes, padded with zeros or not, as the images that they encode."""
    if stored.ndim == 4:
        return stored
    try:
        rows = [Image.open(io.BytesIO(np.asarray(row).tobytes())).convert("RGB") for row in stored]
        return np.stack([np.asarray(row) for row in rows])
    except Exception as error:  # whatever Pillow makes of bytes that are no image
        raise InputError(f"{where} holds {stored.dtype} {stored.shape}: neither images nor JPEG.") from error


def object_in(attribute: Any) -> dict[str, Any]:
    """What an attribute holds as JSON; nothing where it is missing or something else."""
    try:
        found = json.loads(attribute)
    except (TypeError, ValueError, RecursionError):  # no text, no JSON, too deep
        return {}
    return found if isinstance(found, dict) else {}


def text_of(value: Any, where: str) -> str:
    """A text; the first of several. Raises InputError where there is none."""
    while isinstance(value, (np.ndarray, Sequence)) and not isinstance(value, (str, bytes)) and np.size(value):
        value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value[0]
    try:
        value = value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        raise InputError(f"{where} holds no text in UTF-8: {error}.") from None
    if not isinstance(value, str):
        raise InputError(f"{where} holds no text.")
    return value.strip()


def by_number(path: Path | str) -> list[Any]:
    """Sorts episode_2 before episode_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def import_h5py() -> Any:
    """h5py. Raises InputError without it."""
    try:
        import h5py
    except ImportError as error:
        raise InputError("HDF5 files are read by h5py: pip install 'vlahub[hdf5]'") from error
    return h5py
