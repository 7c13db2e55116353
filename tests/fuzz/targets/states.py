"""States, images in memory and what else a processor is given: NaN, infinities, wrong shapes, types and numbers."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..robots import PATH, STATE, VIEWS, asked, processors
from ..target import Target, keep, kept

NUMBERS = (
    float("nan"),
    float("inf"),
    -float("inf"),
    1e39,
    1e38,
    -1e300,
    1e-320,
    0,
    10**30,
    None,
    "0.5",
    True,
    1j,
    [],
    b"1",
)
DTYPES = (np.float16, np.float32, np.float64, np.int8, np.uint64, np.bool_, np.complex64, object, "U5", ">f8")
SHAPES = ((8,), (1, 8), (2, 8), (8, 1), (1, 1, 8), (7,), (9,), (0,), (), (0, 8), (8, 8), (1, 0), (3, 1, 8))
FIELDS = ("state", "state", "images", "unnorm_key", "ego_history_xyz", "ego_history_rot")


class States(Target):
    name, slice = "states", 120

    def prepare(self, folder: Path) -> None:
        self.processors = processors(folder)
        self.plain = {name: asked(each, "pick up the block") for name, each in self.processors.items()}

    def change(self, random: Random, folder: Path) -> str:
        name = random.choice(list(self.processors))
        fields = [
            field
            for field in FIELDS
            if field.startswith(("ego", "images")) == (name == "alpamayo_r1") or field == "images"
        ]
        field = random.choice(fields)
        value = drawn(random, field)
        keep((name, field, value), folder)
        return f"{name}, {field}: {value!r:.200}"

    def run(self, folder: Path, output: Path) -> None:
        """What comes out is finite, and as many as for what is valid."""
        name, field, value = kept(folder)
        found = asked(self.processors[name], "pick up the block", **{field: value})
        for key, tensor in found.items():
            if torch.is_tensor(tensor) and tensor.is_floating_point():
                assert tensor.isfinite().all(), f"{key} is not finite"
        if field != "images":
            wanted = self.plain[name]
            assert {key: value.shape[1:] for key, value in found.items()} == {k: v.shape[1:] for k, v in wanted.items()}


def drawn(random: Random, field: str) -> Any:
    if field == "images":
        return drawn_images(random)
    if field == "unnorm_key":
        return random.choice((None, "", "unknown", 5, [], {}, ["demo_tabletop"], "demo_tabletop", "__class__", b"a"))
    value = STATE if field == "state" else PATH[field].tolist()
    return drawn_numbers(random, value)


def drawn_numbers(random: Random, value: list) -> Any:
    """A list with an odd number in it, or an array of an odd shape or dtype."""
    how = random.choice(("number", "number", "dtype", "shape", "noise", "tensor", "whole"))
    if how == "whole":
        return random.choice((None, 0.5, "x", {}, {"a": value}, [value, value[:3]], object(), [value] * 3, value[:-1]))
    if how == "number":
        flat = np.array(value, dtype=object)
        flat.flat[random.randrange(flat.size)] = random.choice(NUMBERS[:-2])
        return flat.tolist() if random.random() < 0.7 else flat
    array = np.array(value)
    if how == "noise":
        return array + np.random.default_rng(random.randrange(2**32)).standard_normal(
            array.shape
        ) * 10 ** random.randrange(-9, 40)
    if how == "shape":
        return np.resize(array, random.choice((*SHAPES, (16, 3), (15, 3), (16, 2), (1, 16, 3, 3), (16, 9))))
    if how == "tensor":
        kind = random.choice((torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.int8, torch.complex64))
        return torch.tensor(value).to(kind).expand(random.choice((1, 2, 3)), *array.shape)
    return array.astype(random.choice(DTYPES))


def drawn_images(random: Random) -> Any:
    """Arrays, tensors, PIL images and what is none, as many as there are views or not."""
    rows = np.random.default_rng(random.randrange(2**32))
    height, width = random.choice(((40, 48), (1, 1), (0, 48), (1, 3000), (3, 3), (2, 5)))
    channels = random.choice((3, 3, 3, 1, 4, 0, 2))
    image = rows.integers(0, 256, (height, width, channels), dtype=np.uint8)
    one = random.choice(
        (
            *(image, image.transpose(2, 0, 1), image.astype(np.float32), image / 255, image.astype(np.int64) - 9),
            *(
                image * np.nan,
                torch.from_numpy(image),
                image[..., 0] if channels else image,
                None,
                "missing.png",
                7,
                b"x",
            ),
            *(
                Image.new(random.choice(("L", "RGBA", "I;16", "F", "1", "P")), (width, height)),
                image.astype(np.float64) * 1e300,
            ),
            *(image.tolist(), image[None], image[None, None], np.zeros((), np.uint8), Image.new("RGB", (40, 48))),
        )
    )
    return random.choice(([one] * 2, [one, VIEWS[0]], one, [one], [one] * 3, {"a": one, "b": one}, [[one], [one]], []))
