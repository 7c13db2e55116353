"""Pickled weights: code in them, in every place and by several ways; damage; and what only looks like a tensor."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from random import Random
from typing import Any

import torch

from vlahub.conversion.inspection.pickled_headers import read_pickled
from vlahub.conversion.tensors.tensor_source import TensorFile

from ..byte_changes import changed_bytes
from ..engine import MARKER
from ..target import Target, accepted

NAMES = ("pytorch_model.bin", "action_head--7_checkpoint.pt", "model.ckpt", "model.safetensors")


class Payload:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def payload(random: Random, marker: str) -> Payload:
    """One that would make the marker."""
    python = f"open({marker!r}, 'w').close()"
    return random.choice(
        (
            Payload(os.mkdir, marker),
            Payload(os.system, f"touch {marker}"),
            Payload(exec, python),
            Payload(eval, f"__import__('os').mkdir({marker!r})"),
            Payload(open, marker, "w"),
            Payload(torch.save, {}, marker),
            Payload(getattr, Payload(__import__, "os"), "mkdir"),
            Payload(torch.hub.download_url_to_file, "file:///dev/null", marker),
        )
    )


def odd_value(random: Random) -> Any:
    """No plain tensor."""
    whole = torch.zeros(4, 4)
    return random.choice(
        (
            *(None, 5, "text", [], {"a": torch.zeros(2)}, [torch.zeros(2)], (torch.zeros(1),)),
            *(whole.to_sparse(), whole.expand(50, 4, 4), torch.empty(2, device="meta"), whole.to(torch.complex64)),
            *(torch.quantize_per_tensor(whole, 0.1, 0, torch.qint8), torch.zeros(1).expand(10**12)),
            *(torch.nn.Parameter(whole), whole.t(), whole[1:, ::2], torch.zeros(0), torch.tensor(1.0)),
        )
    )


class Pickles(Target):
    name, slice = "pickles", 150

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.tensors = OrderedDict({"a": torch.randn(3, 2), "b": torch.arange(6), "c": torch.ones(2).bfloat16()})

    def change(self, random: Random, folder: Path) -> str:
        content, told = OrderedDict(self.tensors), []
        how = random.choice(("payload", "payload", "odd", "bytes", "archive"))
        if how in ("payload", "odd"):
            value = payload(random, str(folder.parent / MARKER)) if how == "payload" else odd_value(random)
            content, where = self.placed(random, content, value)
            told.append(f"{value!r:.60} {where}")
        data, form = self.saved(random, content)
        if how == "archive":
            data = with_other_entries(random, data)
        if how == "bytes" or random.random() < 0.1:
            data, damage = changed_bytes(random, data)
            told.append(damage)
        name = random.choice(NAMES)
        (folder / name).write_bytes(data)
        return f"{how} in {name} ({form}): {'; '.join(told)}"

    def placed(self, random: Random, content: OrderedDict, value: Any) -> tuple[Any, str]:
        where = random.choice(("last", "first", "instead", "whole", "within", "key"))
        if where == "first":
            content = OrderedDict({"x": value, **content})
        elif where == "whole":
            content = value
        elif where == "within":
            content["x"] = [torch.zeros(1), {"y": value}]
        elif where == "key" and not isinstance(value, (dict, list)):
            content[value] = torch.zeros(1)
        else:
            content["a" if where == "instead" else "x"] = value
        return content, where

    def saved(self, random: Random, content: Any) -> tuple[bytes, str]:
        form = random.choice(("zip", "zip", "legacy", "plain"))
        buffer = io.BytesIO()
        try:
            if form == "plain":
                return pickle.dumps(content, random.choice((0, 2, 4))), form
            torch.save(content, buffer, _use_new_zipfile_serialization=form == "zip")
        except (NotImplementedError, RuntimeError, TypeError):  # some odd tensors cannot be saved
            return pickle.dumps(dict(self.tensors)), "plain"
        return buffer.getvalue(), form

    def run(self, folder: Path, output: Path) -> None:
        """Nothing runs, and tensors that were not touched are as they were."""
        (path,) = folder.iterdir()
        listed = accepted(lambda: read_pickled(path, path.name))
        file = TensorFile(path, path.name)
        found = {key: file.load(key) for key in file.infos}
        if listed is not None:
            shapes = {each.name: tuple(each.shape) for each in listed}
            assert all(shapes.get(key, ()) == tuple(tensor.shape) for key, tensor in found.items()), (shapes, found)


def with_other_entries(random: Random, data: bytes) -> bytes:
    """The archive with an entry left out, emptied, doubled, or of a name that climbs out."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", random.choice((0, 8))) as new:
        chosen = random.choice(old.namelist())
        how = random.choice(("without", "empty", "twice", "climbs", "packed", "huge"))
        for name in old.namelist():
            content = old.read(name)
            if name != chosen or how in ("twice", "packed"):
                new.writestr(name, content)
            if name == chosen and how in ("empty", "twice"):
                new.writestr(name, b"" if how == "empty" else content)
            if name == chosen and how == "climbs":
                new.writestr(f"../../{MARKER}", content)
            if name == chosen and how == "huge":
                new.writestr(name, content + b"\0" * 5 * 10**7)
    return buffer.getvalue()
