"""Safetensors files whose header lies: lengths, overlaps, dtypes, shapes, names that appear twice."""

import json
from pathlib import Path
from random import Random

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vlahub.conversion.inspection.headers import read_header
from vlahub.conversion.tensors.tensor_source import TensorFile
from vlahub.modeling.weight_files import opened_weights

from ..byte_changes import changed_bytes
from ..json_changes import changed_text, places
from ..target import Target, accepted

NAME = "model.safetensors"
DTYPES = ("F64", "F32", "BF16", "I64", "U8", "BOOL", "F4", "F8_E4M3", "U16", "C64", "f32", "", "X" * 400)
SIZES = (0, 1, -1, 3, 2**31, 2**40, 2**62, 2**63, 2**64 - 1, 2**64, 10**30, 1.5, True, "2", None)


class Headers(Target):
    name, slice = "headers", 200

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        tensors = {"a.weight": torch.randn(4, 3), "b": torch.arange(5), "c": torch.ones(2, 2, dtype=torch.bfloat16)}
        save_file({**tensors, "empty": torch.zeros(0, 7), "flag": torch.tensor([True, False])}, folder / NAME)
        self.valid = (folder / NAME).read_bytes()

    def change(self, random: Random, folder: Path) -> str:
        length = int.from_bytes(self.valid[:8], "little")
        header, data = json.loads(self.valid[8 : 8 + length]), self.valid[8 + length :]
        how = random.choice(("bytes", "length", "json", "entry", "entry", "twice"))
        if how == "bytes":
            content, told = changed_bytes(random, self.valid)
        elif how == "length":
            told = str(random.choice((0, 1, 7, length - 1, length + 1, 10**8, 2**40, 2**63, 2**64 - 1)))
            content = int(told).to_bytes(8, "little") + self.valid[8:]
        else:
            text, told = self.changed_header(random, header, how)
            content = len(text).to_bytes(8, "little") + text + data
        (folder / NAME).write_bytes(content)
        return f"{how}: {told}"

    def changed_header(self, random: Random, header: dict, how: str) -> tuple[bytes, str]:
        if how == "json":
            return changed_text(random, header)
        key = random.choice([key for key in header if key != "__metadata__"])
        if how == "twice":
            more = json.dumps({key: header[random.choice([key for key in header if key != "__metadata__"])]})
            return (more[:-1] + ", " + json.dumps(header)[1:]).encode(), key
        entry = header[key]
        path = random.choice(places(entry))
        if path[0] == "dtype":
            entry["dtype"] = random.choice(DTYPES)
        elif len(path) == 1:
            entry[path[0]] = [random.choice(SIZES) for _ in range(random.randrange(5))]
        else:
            entry[path[0]][path[1]] = random.choice(SIZES)
        return json.dumps(header).encode(), f"{key} {path} -> {entry}"

    def run(self, folder: Path, output: Path) -> None:
        """What we read is what the library reads."""
        path = folder / NAME
        try:
            wanted = load_file(path)
        except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError, AttributeError):
            wanted = None
        listed = accepted(lambda: read_header(path, NAME))
        accepted(lambda: [opened_weights(path).keys()])
        file = TensorFile(path, NAME)
        found = {key: file.load(key) for key in file.infos}
        assert wanted is not None, "the library refuses this file"
        assert found.keys() == wanted.keys(), (found.keys(), wanted.keys())
        for key, tensor in found.items():
            assert tensor.dtype == wanted[key].dtype and tensor.shape == wanted[key].shape, key
            if tensor.numel():  # torch has no words for an empty tensor of quintillions of rows
                assert torch.equal(tensor.view(torch.uint8), wanted[key].contiguous().view(torch.uint8)), key
        assert listed is not None, "inspect refuses what the conversion reads"
        assert {each.name: tuple(each.shape) for each in listed.tensors} == {
            k: tuple(t.shape) for k, t in found.items()
        }
