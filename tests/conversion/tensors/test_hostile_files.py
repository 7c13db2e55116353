"""Files of tensors that would run something, or hold what cannot be read: refused by name."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.tensors.tensor_source import TensorFile
from vlahub.errors import ConversionError


def side_file(run, kind):
    return next(run.run.glob(f"{kind}--*.pt"))


# Sizes that no tensor has


@pytest.mark.parametrize("shape", [[0, 2**64 - 1], [2**64 - 1, 0], [0, 2**63], [0, 2**62, 4], [2**40, 0, 2**40]])
def test_a_size_beyond_all_memory_beside_an_empty_one_is_refused(shape, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ConversionError, match=r"x\.safetensors"):
        TensorFile(tmp_path / "x.safetensors", "x").load("a")


def test_an_empty_tensor_is_read(tmp_path):
    save_file({"a": torch.empty(0, 7)}, tmp_path / "x.safetensors")
    assert TensorFile(tmp_path / "x.safetensors", "x").load("a").shape == (0, 7)


# Pickles that would run something


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["action_head", "vision_backbone", "non_lora_trainables", "proprio_projector"])
@pytest.mark.parametrize("form", ["torch", "plain"])
def test_a_pickle_with_a_payload_is_refused_without_running_it(
    kind, form, cogvla, tmp_path, snapshot, capsys, assert_refused
):
    run, marker = cogvla.copied(tmp_path), tmp_path / "payload_ran"
    path = side_file(run, kind)
    content = {**torch.load(path, weights_only=True), "x": Payload(marker)}
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out"), capsys, f"{path.name} cannot be read as a file of tensors alone")
    assert snapshot(tmp_path) == before and not marker.exists()


def test_the_payload_of_these_tests_would_run(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_a_pickled_base_with_a_payload_is_refused_without_running_it(
    cogvla, tmp_path, snapshot, capsys, assert_refused
):
    run, marker = cogvla.copied_with_base(tmp_path), tmp_path / "payload_ran"
    for path in run.base.glob("model*"):
        path.unlink()
    torch.save({"x": Payload(marker)}, run.base / "pytorch_model.bin")
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out"), capsys, r"pytorch_model\.bin cannot be read as a file of tensors alone")
    assert snapshot(tmp_path) == before and not marker.exists()


def test_a_dtype_that_is_not_supported_is_named(tmp_path):
    save_file({"x": torch.zeros(2, dtype=torch.uint16)}, tmp_path / "x.safetensors")
    with pytest.raises(ConversionError, match="tensor x has dtype U16, which is not supported"):
        _ = TensorFile(tmp_path / "x.safetensors", "x").infos
