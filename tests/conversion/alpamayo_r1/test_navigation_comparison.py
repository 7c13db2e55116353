"""One scene with navigation, without, and with left and right swapped: outputs, picture, and what is refused."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alpamayo_prompts import frames, history

from vlahub import AlpamayoR1, AlpamayoR1Processor, compare_navigation, plot_navigation, swap_direction
from vlahub.conversion.alpamayo_r1.navigation_plot import navigation_figure
from vlahub.conversion.cli import main
from vlahub.errors import InputError

NAV = "Turn left onto Main St in 40m"
FEW = {"num_traj_samples": 2, "max_new_tokens": 3, "num_inference_steps": 2, "top_k": 1}


@pytest.mark.parametrize("number", range(9))
def test_directions_are_swapped_as_published(golden, number):
    case = golden("alpamayo_1_5/nav_prompts")["outputs"]["swap_direction"][number]
    assert swap_direction(case["text"]) == case["swapped"]


@pytest.fixture(scope="module")
def driver(tiny_alpamayo, tmp_path_factory):
    """Model and processor of the later release."""
    folder = tmp_path_factory.mktemp("later")
    tiny_alpamayo.TinyAlpamayo(package="alpamayo1_5", dtype=torch.float32).write(folder)
    arguments = ["convert", str(folder / "published"), str(folder / "out"), "--vlm", str(folder / "vlm"), "--quiet"]
    assert main(arguments) == 0
    return AlpamayoR1.from_pretrained(folder / "out"), AlpamayoR1Processor.from_pretrained(folder / "out")


@pytest.fixture(scope="module")
def data():
    """As a clip is loaded."""
    xyz, rot = (torch.from_numpy(part).float() for part in history())
    images = torch.from_numpy(frames(14)).view(7, 2, 3, 60, 90)
    return {
        "image_frames": images,
        "camera_indices": torch.arange(7),
        "ego_history_xyz": xyz[None, None],
        "ego_history_rot": rot[None, None],
    }


def test_three_drives_begin_with_the_same_noise_and_guidance_is_of_navigation_alone(driver, data):
    """And ask as the processor of the checkpoint does, which no config says."""
    model, processor = driver[0], copy.deepcopy(driver[1])
    processor.request = "output the future trajectory, with care."
    compared = compare_navigation(model, data, NAV, processor, seed=3, guidance_weight=1.5, **FEW)
    assert compared.swapped_text == "Turn right onto Main St in 40m"
    poses = {name: data[name] for name in ("ego_history_xyz", "ego_history_rot")}
    for text, weight, found in (
        (NAV, 1.5, compared.with_nav),
        (None, None, compared.without_nav),
        (compared.swapped_text, 1.5, compared.swapped),
    ):
        inputs = processor(data["image_frames"], **poses, nav_text=text, camera_indices=data["camera_indices"])
        generator = torch.Generator().manual_seed(3)
        wanted = model.sample_trajectories(**inputs, generator=generator, guidance_weight=weight, **FEW)
        assert torch.equal(found.pred_xyz, wanted.pred_xyz)


@pytest.mark.slow
def test_navigation_without_a_direction_has_nothing_to_swap(driver, data, tmp_path):
    model, processor = driver
    compared = compare_navigation(model, data, "Continue straight", processor=processor, **FEW)
    assert compared.swapped is None and compared.swapped_text == "Continue straight"
    plot_navigation(tmp_path / "out.png", data["image_frames"], compared, data["camera_indices"])
    assert (tmp_path / "out.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_picture_names_cameras_and_drives(driver, data):
    model, processor = driver
    compared = compare_navigation(model, data, NAV, processor=processor, **FEW)
    future = np.stack([np.linspace(0.5, 32, 64), *[np.zeros(64)] * 2], axis=-1)
    given = data["image_frames"], compared, data["camera_indices"]
    figure = navigation_figure(*given, data["ego_history_xyz"], future)
    written = " ".join(text.get_text() for text in figure.texts)
    assert "Front telephoto camera" in written and "Rear right camera" in written and NAV in written
    *_, axes = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [
        "driven before",
        "recorded future",
        "with navigation (2)",
        "without navigation (2)",
        "left and right swapped (2)",
        "car now; a dot each second",
    ]
    assert len([line for line in axes.lines if len(line.get_xdata()) == 64]) == 1 + 6
    with pytest.raises(InputError, match="camera_indices has 2 numbers, and there are images of 7"):
        navigation_figure(data["image_frames"], compared, [0, 1])


def test_each_drive_has_its_own_lines_and_its_first_text_below_the_last_frames():
    """Without a model: what is drawn of what was predicted."""
    draw = np.random.RandomState(0)
    images = draw.randint(0, 256, (2, 3, 3, 8, 12)).astype(np.uint8)
    outputs = {
        name: SimpleNamespace(pred_xyz=torch.tensor(draw.randn(1, 1, 2, 5, 3)), reasoning=[[[f"{name} text", "other"]]])
        for name in ("with_nav", "without_nav", "swapped")
    }
    compared = SimpleNamespace(nav_text="Turn left", swapped_text="Turn right", **outputs)
    figure = navigation_figure(images, compared, [1, 6])
    *cameras, axes = figure.axes
    for shown, seen in zip(cameras, images, strict=True):
        np.testing.assert_array_equal(shown.images[0].get_array(), seen[-1].transpose(1, 2, 0))
    drawn = {line.get_label().partition(" (")[0]: line for line in axes.lines}
    lines = [line.get_xydata()[:, ::-1] for line in axes.lines]
    written = {text.get_text(): text.get_color() for text in figure.texts}
    names = {"with_nav": "with navigation", "without_nav": "without navigation", "swapped": "left and right swapped"}
    for name, label in names.items():
        paths = outputs[name].pred_xyz[0, 0].float().numpy()
        np.testing.assert_array_equal(drawn[label].get_xydata()[:, ::-1], paths[0, :, :2])
        assert any(np.array_equal(line, paths[1, :, :2]) for line in lines)
        assert written[label] == drawn[label].get_color() and f"{name} text" in written
    assert "“Turn left”" in written and "“Turn right”" in written and "other" not in written


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused(driver, data):
    model, processor = driver
    with pytest.raises(InputError, match="data lacks ego_history_rot"):
        compare_navigation(model, {name: data[name] for name in data if name != "ego_history_rot"}, NAV, processor)
    with pytest.raises(InputError, match="data lacks image_frames"):
        compare_navigation(model, {name: data[name] for name in data if name != "image_frames"}, NAV, processor)
    with pytest.raises(InputError, match="marker"):
        compare_navigation(model, data, "left<|route_end|>", processor)
    with pytest.raises(InputError, match="nav_text is a NoneType"):
        compare_navigation(model, data, None, processor)
