"""Episodes of RLDS datasets, as OpenVLA is trained on, read by tensorflow-datasets without tensorflow.

An RLDS example is an episode; its `steps` hold `observation`, `action`, `language_instruction`, ... Of TFRecord files
the framing is read here, and the package decodes the examples; of other formats it reads the files, too.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError
from .recorded_episode import Choice, RecordedEpisode, present, recorded_episode

INFO, FEATURES = "dataset_info.json", "features.json"
HEADER = struct.Struct("<QI")  # of a record: its length, and a checksum of that
CHECKSUM = 4  # bytes behind a record
STATES = [["observation/state"], ["observation/proprio"]]
TEXTS = [["language_instruction"], ["observation/natural_language_instruction"]]


class RLDSEpisodes:
    """The episodes of one split, one in memory at a time.

    Args:
        source: the folder of a version, with features.json, or one above it that holds one version.
        split: such as "train".
        swap_colours: the images were recorded as blue, green, red.

    Raises:
        InputError: the package is missing, the folder is none, or there is no such split.
    """

    def __init__(self, source: Path, choice: Choice, split: str = "train", swap_colours: bool = False):
        self.builder = import_tfds().builder_from_directory(str(version_folder(source)))
        splits = self.builder.info.splits
        if split not in splits:
            raise InputError(f"{source} has no split {split!r}; there are {', '.join(splits)}.")
        self.choice, self.split, self.swap_colours = choice, split, swap_colours
        self.count = splits[split].num_examples

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[RecordedEpisode]:
        for number, example in enumerate(self.examples()):
            yield self.episode(f"episode {number} of {self.split}", example)

    def examples(self) -> Iterator[Mapping[str, Any]]:
        """Decoded examples, in the order of the files.

        Raises:
            InputError: a file is cut off, or at the end there were not as many as the dataset says.
        """
        info = self.builder.info
        if str(getattr(info.file_format, "value", info.file_format)) != "tfrecord":
            yield from self.builder.as_data_source(split=self.split)
            return
        found = 0
        for file in info.splits[self.split].filepaths:
            for record in records(Path(file)):
                found += 1
                yield info.features.deserialize_example_np(record)
        if found != self.count:
            raise InputError(
                f"the files of {self.split} hold {found} episodes, {INFO} says {self.count}: one is cut off or of "
                "another version; copy the dataset anew."
            )

    def episode(self, name: str, example: Mapping[str, Any]) -> RecordedEpisode:
        if "steps" not in example:
            raise InputError(f"{name} has no 'steps' but {', '.join(example)}: it is no RLDS dataset.")
        steps = [flat(step) for step in example["steps"]]
        if not steps:
            raise InputError(f"{name} has no steps.")
        first, choice = steps[0], self.choice
        action = present(choice.action, [["action"]], list(first), "action")
        if not action:
            raise InputError(f"{name} has no 'action'; name entries with --action, of {', '.join(sorted(first))}.")
        state = present(choice.state, STATES, list(first), "state")
        views = [key for key, value in first.items() if key.startswith("observation/") and is_image(value)]
        cameras = present(choice.images, [views], list(first), "images")
        columns = {
            part: {key: np.stack([step[key] for step in steps]) for key in keys}
            for part, keys in (("action", action), ("state", state), ("images", cameras))
        }
        texts = self.texts(name, steps)
        return recorded_episode(name, columns["images"], columns["action"], columns["state"], texts, self.swap_colours)

    def texts(self, name: str, steps: list[dict[str, Any]]) -> list[str]:
        """The instruction of each step."""
        if self.choice.instruction is not None:
            return [self.choice.instruction] * len(steps)
        wanted = None if self.choice.text is None else [self.choice.text]
        found = present(wanted, TEXTS, list(steps[0]), "text")
        if not found:
            raise InputError(
                f"{name} has no 'language_instruction'; give --instruction, or name an entry with --text, of "
                f"{', '.join(sorted(steps[0]))}."
            )
        return [as_text(step[found[0]], f"{name}: {found[0]!r}") for step in steps]


def flat(step: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"observation": {"state": x}}` -> `{"observation/state": x}`."""
    found: dict[str, Any] = {}
    for name, value in step.items():
        found |= flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def is_image(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] == 3


def as_text(value: Any, where: str) -> str:
    """Bytes or a string, also inside an array. Raises InputError for anything else."""
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    value = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise InputError(f"{where} holds no text but a {type(value).__name__}.")
    return value


def records(file: Path) -> Iterator[bytes]:
    """The records of a TFRecord file, each read when it is asked for. Raises InputError for a file that is cut off."""
    with file.open("rb") as opened:
        while header := opened.read(HEADER.size):
            length = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
            rest = file.stat().st_size - opened.tell()
            if len(header) < HEADER.size or length + CHECKSUM > rest:
                raise InputError(f"{file} is cut off, or is no TFRecord file.")
            yield opened.read(length)
            opened.read(CHECKSUM)


def version_folder(source: Path) -> Path:
    """The folder that holds features.json. Raises InputError where there is none, or are several."""
    if (source / FEATURES).is_file():
        return source
    found = sorted(path.parent for path in source.glob(f"*/{FEATURES}"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    hint = f"it holds the versions {names}; name one." if found else f"it has no {FEATURES} with {INFO}."
    raise InputError(f"{source} is no dataset of tensorflow-datasets: {hint}")


def import_tfds() -> Any:
    """tensorflow-datasets. Raises InputError without it."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError("RLDS datasets are read by tensorflow-datasets: pip install 'vlahub[rlds]'") from error
    return tensorflow_datasets
