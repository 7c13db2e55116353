"""What docs/security.md says of input that would run code or fill the memory, where no other test holds it."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from vlahub.conversion.alpamayo_r1.driving_prediction import read_arrays
from vlahub.conversion.files.run_files import read_run_config
from vlahub.conversion.inspection.headers import read_header
from vlahub.conversion.predictions.checkpoint_loading import load_config, load_model, load_processor
from vlahub.conversion.serving.observation_map import read_map
from vlahub.conversion.tensors.safetensors_stream import SafetensorsReader
from vlahub.errors import ConversionError, VLAError


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_pickled_weights_of_a_stranger_run_nothing_when_a_model_is_loaded(family_checkpoint, tmp_path):
    copy = shutil.copytree(family_checkpoint, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors*"))
    torch.save({"a": Payload(tmp_path / "ran")}, copy / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"weights_only|Weights only|Unable to load weights"):
        AutoModelForImageTextToText.from_pretrained(copy)
    assert not (tmp_path / "ran").exists()


def test_code_in_a_checkpoint_is_not_what_predicts_on_the_command_line(family_checkpoint, tmp_path):
    copy = shutil.copytree(family_checkpoint, tmp_path / "copy")
    code = list(copy.glob("*.py"))
    assert len(code) > 10
    for path in code:
        path.write_text(f"import os\n\nos.makedirs({str(tmp_path / 'ran')!r}, exist_ok=True)\n{path.read_text()}")
    own = [type(load_processor(copy)), type(load_config(copy)), type(load_model(copy, "cpu", quiet=True))]
    assert not (tmp_path / "ran").exists()
    assert all(kind.__module__.startswith("vlahub.") for kind in own)


@pytest.mark.parametrize("length", [100_000_001, 2**63, 0])
def test_a_header_of_no_length_that_there_is_is_refused(length, tmp_path):
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write(length.to_bytes(8, "little"))
        file.truncate(120_000_000)  # holes: the file is long enough, and takes no room
    for read in (lambda: SafetensorsReader(path).infos, lambda: read_header(path, "model.safetensors")):
        with pytest.raises(ConversionError, match="cannot be read as safetensors"):
            read()


def test_objects_in_arrays_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "history.npz", ego_history_xyz=np.array([Payload(tmp_path / "ran")], dtype=object))
    with pytest.raises(ConversionError, match=r"cannot be read as \.npz"):
        read_arrays(tmp_path / "history.npz")
    assert not (tmp_path / "ran").exists()
    with np.load(tmp_path / "history.npz", allow_pickle=True) as content:
        assert len(content["ego_history_xyz"]) == 1 and (tmp_path / "ran").exists()  # the payload is one


@pytest.mark.parametrize("read", [read_map, lambda path: read_run_config(path.parent)], ids=["map", "run"])
def test_yaml_makes_no_objects(read, tmp_path):
    (tmp_path / "config.yaml").write_text(
        f"vla: !!python/object/apply:os.mkdir [{json.dumps(str(tmp_path / 'ran'))}]\n"
    )
    with pytest.raises(VLAError, match=r"config\.yaml"):
        read(tmp_path / "config.yaml")
    assert not (tmp_path / "ran").exists()
