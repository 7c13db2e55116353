"""Camera matrices: of the camera that took the images, and of the size that they were resized to."""

import numpy as np
import pytest
import torch

from vlahub.errors import ConfigError, InputError
from vlahub.processing.mapanything_llava3d.camera_intrinsics import (
    checked_intrinsic_config,
    find_intrinsic,
    find_intrinsics,
    resized_intrinsics,
    scaled_intrinsics,
)

MATRIX = [[10.0, 1.0, 4.0], [0.0, 20.0, 6.0], [0.0, 0.0, 1.0]]
CAMERA = {"intrinsic": MATRIX, "width": 8, "height": 12}
OTHER = {**CAMERA, "width": 16}
SIZE = {"width": 4, "height": 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(({name: None}, "must hold 'intrinsic', 'width' and 'height'") for name in CAMERA),
        ({"width": 0}, "width and height must be above 0 pixels"),
        ({"height": -1}, "width and height must be above 0 pixels"),
        ({"intrinsic": np.zeros((3, 4))}, r"must be \(3, 3\), got shape \(3, 4\)"),
        ({"intrinsic": np.zeros((4, 3))}, r"must be \(3, 3\), got shape \(4, 3\)"),
    ],
)
def test_a_camera_of_another_form_is_refused_by_its_key(change, said):
    given = {name: value for name, value in {**CAMERA, **change}.items() if value is not None}
    with pytest.raises(ConfigError, match=rf"^intrinsic_config\['a'\].*{said}"):
        checked_intrinsic_config({"a": given})
    assert checked_intrinsic_config({"a": {**CAMERA, "intrinsic": np.array(MATRIX)}}) == {"a": CAMERA}
    assert checked_intrinsic_config(None) == {}


def test_a_camera_is_that_of_its_dataset_or_the_default_and_never_another_ones():
    assert find_intrinsic({"a": 1}, None) == 1 and find_intrinsic({"a": 1}, "b") is None
    assert find_intrinsic({"a": 1, "default": 2}, "b") == find_intrinsic({"a": 1, "default": 2}, None) == 2
    assert find_intrinsic({"a": 1, "b": 2}, "b") == 2 and find_intrinsic({"a": 1, "b": 2}, None) is None


def test_all_samples_of_a_batch_have_a_camera_or_none():
    assert find_intrinsics({"a": 1, "b": 2}, ["b", "a"], 2) == [2, 1] and find_intrinsics({"a": 1}, "a", 2) == [1, 1]
    assert find_intrinsics({"a": 1}, ["b", "c"], 2) is None
    with pytest.raises(InputError, match="no camera for 'b', but for others of the batch"):
        find_intrinsics({"a": 1}, ["a", "b"], 2)


def test_matrices_grow_with_the_picture_each_row_with_its_own_side():
    wanted = [[5.0, 0.5, 2.0], [0.0, 5.0, 1.5], [0.0, 0.0, 1.0]]
    sizes = [[(12, 8)] * 2] * 3
    for given in (MATRIX, [MATRIX] * 2, [[MATRIX] * 2] * 3):
        found = scaled_intrinsics(given, sizes, SIZE)
        assert torch.equal(found, torch.tensor(wanted).expand(3, 2, 3, 3))
    for given in ([MATRIX] * 3, [[MATRIX] * 2] * 2, [MATRIX[0]]):
        with pytest.raises(InputError, match=r"accepted is \(3, 3\).* with batch 3 and views 2"):
            scaled_intrinsics(given, sizes, SIZE)


def test_known_cameras_have_sizes_of_their_own_and_given_matrices_those_of_the_images():
    samples = [[np.zeros((12, 8, 3))] * 2, [np.zeros((12, 8, 3))] * 2]
    cameras = {"a": CAMERA, "b": OTHER}
    found = resized_intrinsics(None, cameras, ["a", "b"], samples, SIZE)
    assert found.shape == (2, 2, 3, 3) and found[0, 0, 0].tolist() == [5.0, 0.5, 2.0]
    assert found[1, 1, 0].tolist() == [2.5, 0.25, 1.0] and torch.equal(found[1, :, 1], found[0, :, 1])
    assert torch.equal(resized_intrinsics(MATRIX, cameras, ["a", "b"], samples, SIZE)[1], found[0])
    assert resized_intrinsics(None, {}, "a", samples, SIZE) is None
