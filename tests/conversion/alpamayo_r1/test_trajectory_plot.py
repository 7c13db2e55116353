"""The picture of a driving prediction: its lines are the arrays, and each is linked to its text."""

import sys

import numpy as np
import pytest
import torch
from picture_checks import check_texts, words_of
from PIL import Image

from vlahub.configuration.vla_errors import ConversionError, InputError
from vlahub.conversion.alpamayo_r1.camera_names import by_camera, given_names, in_trained_order, trained_names
from vlahub.conversion.alpamayo_r1.drawn_samples import grouped, joined, samples_of_scene
from vlahub.conversion.alpamayo_r1.from_above import badge_places
from vlahub.conversion.alpamayo_r1.reasoning_texts import lay_out
from vlahub.conversion.alpamayo_r1.trajectory_plot import is_plot, plot_trajectories, trajectory_figure
from vlahub.modeling.alpamayo_r1.trajectory_metrics import minADE, minFDE

LONG = "Nudge to the left to increase clearance from the parked truck, since the oncoming lane is free. " * 8


@pytest.fixture(scope="module")
def drive():
    """Images of four cameras, 16 poses behind and 64 ahead, round a bend to the left."""
    angles = np.linspace(-0.2, 0.9, 80)[:, None]
    path = np.concatenate([60 * np.sin(angles), 60 * (1 - np.cos(angles)), 0 * angles], axis=1)
    images = np.random.RandomState(0).randint(0, 255, (4, 2, 3, 20, 36), dtype=np.uint8)
    return {"images": images, "history": path[:16] - path[15], "driven": path[16:] - path[15]}


def predicted(drive, *shape, seed=0):
    spread = np.random.RandomState(seed).randn(*shape, 1, 3) * [6, 4, 1]
    return torch.tensor(drive["driven"] + spread * np.linspace(0, 1, 64)[:, None] ** 2, dtype=torch.bfloat16)


def from_above(figure):
    return figure.axes[-1]


def line_of(figure, xyz):
    """The line with exactly these points: y to the left is x of the picture, x ahead is its y."""
    xyz = np.asarray(xyz, dtype=np.float32)
    points = [line.get_xydata()[:, ::-1] for line in from_above(figure).lines]
    same = [i for i, found in enumerate(points) if np.array_equal(found, xyz[:, :2])]
    assert len(same) == 1
    return from_above(figure).lines[same[0]]


def test_lines_are_the_arrays_and_each_has_the_colour_of_its_text(drive):
    paths, texts = predicted(drive, 1, 4), [["keep", "Pay $5_", "keep", ""]]
    flags = torch.tensor([[True, True, False, True]])
    figure = trajectory_figure(drive["images"], paths, texts, drive["history"], drive["driven"], None, flags)
    lines = [line_of(figure, path) for path in paths[0].float()]
    for name in ("history", "driven"):
        line_of(figure, drive[name])
    colours = [line.get_color() for line in lines]
    assert colours[0] == colours[2] and len(set(colours)) == 3
    headings = {text.get_text(): text.get_color() for text in figure.texts}
    assert (headings["1, 3"], headings["2"], headings["4"]) == tuple(colours[i] for i in (0, 1, 3))
    badges = {text.get_text(): text.get_bbox_patch().get_edgecolor() for text in from_above(figure).texts}
    assert set(badges) == {"1", "2", "3!", "4"} and badges["1"] == badges["3!"] != badges["2"]
    read = words_of(figure)
    for wanted in ("Pay $5_", "(no text)", "! 3 ended without opening its trajectory", "ahead (m)", "to the side (m)"):
        assert wanted in read
    batch = paths[None].float(), torch.tensor(drive["driven"])[None]
    assert f"minADE {minADE(*batch).item():.3f} m, minFDE {minFDE(*batch).item():.3f} m (best of 4" in read


def test_scales_are_equal_and_the_car_is_at_the_origin_with_its_left_on_the_left(drive):
    figure = trajectory_figure(drive["images"], predicted(drive, 2), "go", drive["history"])
    axes = from_above(figure)
    figure.canvas.draw()
    box, (left, right), (low, high) = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    assert (left > right and low < high and left < 0) or right < 0 < left
    assert (left - right) / box.width == pytest.approx((high - low) / box.height, rel=1e-6)
    assert any(line.get_marker() == "^" and line.get_xydata().tolist() == [[0, 0]] for line in axes.lines)
    assert "minADE" not in words_of(figure) and "10 left" in words_of(figure)


CASES = {"one": (1, (1,), 1), "many texts": (4, (16,), 16), "sets": (7, (2, 12), 3), "none moves": (2, (3,), 2)}


@pytest.mark.parametrize("case", CASES)
def test_nothing_lies_on_anything_else(case, drive):
    cameras, shape, texts = CASES[case]
    images = [drive["images"][i % 4] for i in range(cameras)]
    count = int(np.prod(shape))
    reasoning = [f"({i % texts}) {LONG}" for i in range(count)]
    paths = predicted(drive, *shape) * (case != "none moves")
    flags = [i % 3 > 0 for i in range(count)]
    names = [f"a camera with a very long name that is the {i}th of them" for i in range(cameras)]
    figure = trajectory_figure(images, paths, reasoning, drive["history"], drive["driven"], names, flags)
    check_texts(figure)
    assert sum(text.get_text().endswith(" …") for text in figure.texts) == texts
    assert len(from_above(figure).texts) == min(count, 16)
    assert ("8 more samples" in words_of(figure)) == (count == 24)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_file_is_made_whatever_holds_the_frames(suffix, drive, tmp_path):
    path = tmp_path / f"drive{suffix}"
    plot_trajectories(path, [Image.new("RGB", (60, 40))], predicted(drive, 1)[0], "text \u4e2d\x07")
    assert path.stat().st_size > 5000 and is_plot(path)
    assert suffix != ".png" or Image.open(path).size[0] == 1800


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gt_xyz": np.zeros((64, 2))}, r"driven trajectory has shape \(64, 2\)"),
        ({"gt_xyz": np.zeros((2, 64, 3))}, "it is one path"),
        ({"pred_xyz": np.zeros((0, 64, 3))}, r"predicted trajectory has shape \(0, 64, 3\)"),
        ({"reasoning": ["a", "b"]}, "reasoning has 2 entries, and there are 3"),
        ({"has_start_token": [True] * 4}, "has_start_token has 4 entries"),
        ({"camera_names": ["front"]}, "camera_names has 1 names, and there are images of 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_does_not_fit_is_refused_by_name(change, message, drive):
    given = {"images": drive["images"], "pred_xyz": predicted(drive, 3), "reasoning": ""} | change
    with pytest.raises(InputError, match=message):
        plot_trajectories("unused.png", **given)


def test_without_matplotlib_the_message_names_the_extra(drive, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConversionError, match=r"vlahub\[plot\]"):
        plot_trajectories(tmp_path / "drive.png", drive["images"], predicted(drive, 1), "")
    assert list(tmp_path.iterdir()) == []


def test_cameras_are_called_by_their_numbers_their_folders_or_what_the_model_reads_them_as(tmp_path):
    names = ["cross left 120°", "front wide 120°", "cross right 120°", "front tele 30°"]
    assert given_names({"camera_indices": np.array([0, 1, 2, 6])}, None, 4) == names
    assert given_names({"camera_indices": [1, 9]}, None, 2) == ["front wide 120°", "camera 9"]
    with pytest.raises(InputError, match="camera_indices is"):
        given_names({"camera_indices": [0, 1]}, None, 4)
    flat = np.arange(8)[:, None, None, None] * np.ones((8, 3, 4, 5))  # camera by camera, each its frames
    by_two = by_camera(flat, {"camera_indices": [0, 1]})
    assert by_two.shape == (2, 4, 3, 4, 5) and by_two[..., 0, 0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    folders = [tmp_path / f"camera_{n}" for n in ("cross_left_120fov", "front_tele_30fov", "front_wide_120fov")]
    assert [path.name[7:12] for path in in_trained_order(folders)] == ["cross", "front", "front"]
    assert in_trained_order(folders)[1] == folders[2]
    assert given_names({}, in_trained_order(folders), 3) == [names[0], names[1], names[3]]
    assert in_trained_order([tmp_path / "b", tmp_path / "a"]) == [tmp_path / "a", tmp_path / "b"]
    assert trained_names(["observation.images.left", "tele"], 2) == ["left", "tele"]
    assert trained_names(None, 4)[1] == "camera 2, read as front wide 120°" and trained_names(["x"], 2)[1] == "camera 2"


def test_samples_have_their_mean_and_last_distance_from_above_as_far_as_both_paths_go(drive):
    paths = predicted(drive, 2, 3).float().numpy()
    for driven in (drive["driven"], drive["driven"][:40]):
        found = samples_of_scene(paths, "keep", None, driven)
        steps = len(driven)
        distances = np.linalg.norm((paths[:, :, :steps] - driven)[..., :2], axis=-1).reshape(6, steps)
        assert [sample.label for sample in found] == ["1.1", "1.2", "1.3", "2.1", "2.2", "2.3"]
        np.testing.assert_allclose([sample.ade for sample in found], distances.mean(axis=1), rtol=1e-5)
        np.testing.assert_allclose([sample.fde for sample in found], distances[:, -1], rtol=1e-5)


def test_a_text_has_the_least_and_the_greatest_distance_of_its_samples_and_those_that_are_not_there_are_counted(drive):
    paths = predicted(drive, 18).float().numpy()
    texts = ["keep", "left", "keep"] + [f"number {i}" for i in range(15)]
    samples = samples_of_scene(paths, texts, [True, False, False] + [True] * 15, drive["driven"])
    laid_out = lay_out(grouped(samples[:16]), 18, has_reference=True)
    both = [sorted(getattr(samples[i], name) for i in (0, 2)) for name in ("ade", "fde")]
    (ade, last_ade), (fde, last_fde) = both
    first, second, third, *_ = laid_out.entries
    assert first.remark == f"ADE {ade:.2f} to {last_ade:.2f} m, FDE {fde:.2f} to {last_fde:.2f} m"
    assert second.remark == f"ADE {samples[1].ade:.2f} m, FDE {samples[1].fde:.2f} m"
    flags = ["! 3 ended without opening its trajectory", "! ended without opening its trajectory", ""]
    assert [entry.flag for entry in (first, second, third)] == flags
    assert laid_out.more == "… and 2 more samples, drawn in grey"
    assert not any(entry.remark for entry in lay_out(grouped(samples[:16]), 16, has_reference=False).entries)


def test_of_each_camera_the_last_frame_is_shown_under_its_name(drive):
    names = ["front", "left", "right", "tele"]
    figure = trajectory_figure(drive["images"], predicted(drive, 1, 2), "keep", camera_names=names)
    shown = [axes for axes in figure.axes if axes.images]
    for axes, frames in zip(shown, drive["images"], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), frames[-1].transpose(1, 2, 0))
    places = {text.get_text(): text.get_position() for text in figure.texts if text.get_text() in names}
    assert [places[name][0] for name in names] == [axes.get_position().x0 for axes in shown]


def test_numbers_that_follow_each_other_are_joined():
    assert joined(["1", "2", "3", "5", "6", "10"]) == "1-3, 5, 6, 10"
    assert joined(["1.9", "1.10", "1.11", "2.12"]) == "1.9-1.11, 2.12"


def test_badges_keep_their_order_and_distance_and_move_no_farther_than_they_must():
    wanted = [5.0, 5.1, 0.0, 5.2, 9.9]
    places = badge_places(wanted, 1.0, 0.0, 10.0)
    np.testing.assert_allclose(places, [4.1, 5.1, 0.0, 6.1, 9.9])
    np.testing.assert_allclose(badge_places([3.0, 3.0, 3.0], 6.0, 0.0, 10.0), [0, 5, 10])
    np.testing.assert_allclose(badge_places([12.0], 6.0, 0.0, 10.0), [10])
