"""The annotations that Alpamayo 1.5 is fine-tuned with: navigation of PhysicalAI-AV's clips, and LingoQA's questions.

Published form: NVlabs/alpamayo-recipes, src/alpamayo/data (pai_nav.py, lingoqa.py); the first file is
nav_demo_samples.json of NVlabs/alpamayo1.5, the second wayveai/LingoQA's train.parquet (arXiv 2312.14115).
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch

from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.driving_inputs import check_count
from ...processing.image_reader import open_image
from .physical_ai_av_clips import load_physical_aiavdataset

NEEDED = ("clip_id", "t0_relative", "nav_text")
COLUMNS = ("question", "answer", "images")
FRONT = 1  # number of the front camera, whose pictures LingoQA has


class NavigationSamples(torch.utils.data.Dataset):
    """Examples for `AlpamayoR1Collator`: moments of clips with where to drive, and the reasoning where there is one."""

    def __init__(self, path: str | Path, avdi: Any = None, **options: Any) -> None:
        """
        Args:
            path: JSON, a list of `{"clip_id": ..., "t0_relative": ..., "nav_text": ...}` and perhaps `"cot"`, times in
                microseconds from the clip's start; others (`nav_maneuver`, `distance_m`) are kept in `samples`.
            avdi, options: of `load_physical_aiavdataset`.

        Raises:
            InputError: the file is no such list, or an entry is missing or of another type; the message names it.
        """
        self.samples, self.avdi, self.options = read_samples(Path(path)), avdi, options

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The example of the `index`'th sample; raises as `load_physical_aiavdataset`."""
        sample = self.samples[index]
        moment = int(sample["t0_relative"])
        data = load_physical_aiavdataset(sample["clip_id"], moment, self.avdi, **self.options)
        poses = {name: data[name][0, 0] for name in data if name.startswith("ego_")}
        reasoning = {"reasoning": sample["cot"]} if sample.get("cot") else {}
        seen = {"images": data["image_frames"], "camera_indices": data["camera_indices"]}
        return {**seen, **poses, "nav_text": sample["nav_text"], **reasoning}


def read_samples(path: Path) -> list[dict[str, Any]]:
    """Raises InputError as `NavigationSamples` does."""
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(samples, list) or not samples:
        raise InputError(f"{path} holds no list of samples.")
    for i, sample in enumerate(samples):
        if not isinstance(sample, dict) or (missing := [name for name in NEEDED if name not in sample]):
            lacks = ", ".join(missing) if isinstance(sample, dict) else "all"
            raise InputError(f"{path}: sample {i} lacks {lacks}; needed are {', '.join(NEEDED)}.")
        if not isinstance(sample["nav_text"], str) or not isinstance(sample["clip_id"], str):
            raise InputError(f"{path}: clip_id and nav_text of sample {i} must be texts.")
        moment = sample["t0_relative"]
        if isinstance(moment, bool) or not isinstance(moment, (int, float)) or not math.isfinite(moment):
            raise InputError(f"{path}: t0_relative of sample {i} is {moment!r}; microseconds are needed.")
    return samples


class LingoQuestions(torch.utils.data.Dataset):
    """Examples for `AlpamayoR1Collator`: questions about frames of the front camera, with their answers."""

    def __init__(self, folder: str | Path, split: str = "train", num_frames: int | None = None) -> None:
        """
        Args:
            folder: with `{split}.parquet`, and the pictures that its column `images` names, from there.
            num_frames: the last so many of each segment; all of them by default.

        Raises:
            InputError: the file or a column is missing, or `num_frames` is no whole number above 0.
        """
        if num_frames is not None:
            check_count("num_frames", num_frames)
        self.folder, self.num_frames = Path(folder), num_frames
        path = self.folder / f"{split}.parquet"
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; {self.folder} must hold LingoQA's {split}.parquet.")
        table = pyarrow.parquet.read_table(path)
        if missing := [name for name in COLUMNS if name not in table.column_names]:
            raise InputError(f"{path} has no column {missing[0]!r}; it has {', '.join(table.column_names)}.")
        self.table = table.select(COLUMNS)

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The example of the `index`'th row. Raises InputError for a picture that is none, or is not there."""
        row = {name: self.table[name][index].as_py() for name in COLUMNS}
        images = [open_image(self.folder / name) for name in self.last(row.pop("images"))]
        return {**row, "images": images, "camera_indices": [FRONT]}

    def last(self, names: Sequence[str]) -> Sequence[str]:
        """Raises InputError where a row has fewer frames than are wanted."""
        count = len(names) if self.num_frames is None else self.num_frames
        if not 0 < count <= len(names):
            raise InputError(f"a row of {self.folder} has {len(names)} images; {count or 1} are needed.")
        return names[len(names) - count :]
