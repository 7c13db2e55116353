"""Golden cases (tests/golden): weights and inputs follow from their names by a formula, outputs are stored.

value(key, shape, mean, std) = mean + std * standard normal numbers seeded by the CRC-32 of the key.
"""

import json
import re
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"


def golden_case(name):
    """`golden_case("llava3d/pi0")`."""
    return GoldenCase(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def draw(key, shape, mean=0.0, std=1.0):
    normal = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    return np.asarray(mean + std * normal, dtype=np.float32)


def expanded(pattern):
    """`a.{0..2}.b{1,3}` -> the six keys that it stands for."""
    choices = []
    for i, part in enumerate(re.split(r"\{([^}]*)\}", pattern)):
        first, dots, last = part.partition("..") if i % 2 else (part, "", "")
        choices.append(range(int(first), int(last) + 1) if dots else part.split(",") if i % 2 else [part])
    return ["".join(map(str, parts)) for parts in product(*choices)]


@dataclass
class GoldenCase:
    """One case: `config` and other fields as stored, tensors made from their names."""

    content: dict

    def __getitem__(self, field):
        return self.content[field]

    @property
    def config(self):
        return self.content["config"]

    def state(self):
        """The published model's weights, `{key: tensor}`."""
        specs = {key: spec for pattern, spec in self.content["state"].items() for key in expanded(pattern)}
        return {
            key: stored(spec) if isinstance(spec, dict) else torch.from_numpy(draw(key, *spec))
            for key, spec in specs.items()
        }

    def input(self, name):
        spec = self.content["inputs"][name]
        if "values" in spec:
            return stored(spec)
        return torch.from_numpy(draw(f"input.{name}", spec["shape"], spec.get("mean", 0.0), spec.get("std", 1.0)))

    def check(self, name, found):
        """Compare a tensor or array with the stored output: shape, and values at the stored places."""
        spec = self.content["outputs"][name]
        found = torch.as_tensor(found).detach().cpu()
        assert list(found.shape) == spec["shape"], f"{name}: shape {tuple(found.shape)}, stored {spec['shape']}"
        found = found.flatten()
        if "index" in spec:
            found = found[torch.tensor(spec["index"])]
        wanted = torch.tensor(spec["values"])
        if spec.get("dtype") == "int64":
            assert found.tolist() == wanted.tolist(), name
        else:
            torch.testing.assert_close(
                found.double(), wanted.double(), **self.content["tolerance"], msg=lambda text: f"{name}: {text}"
            )


def stored(spec):
    values = np.asarray(spec["values"], dtype=spec.get("dtype", "float32"))
    return torch.from_numpy(values.reshape(spec["shape"]) if "shape" in spec else values)
