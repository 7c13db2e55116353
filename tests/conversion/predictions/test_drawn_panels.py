"""The panels of a prediction's picture show the numbers of its trace: each line, band, bar and patch is one of them."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from vlahub.conversion.predictions.chunk_panels import ActionSpace, draw_chunk, draw_path
from vlahub.conversion.predictions.prediction_trace import Drawn, KeptTokens, PatchAttention, PredictionTrace
from vlahub.conversion.predictions.share_panels import draw_encoders, draw_grounding, draw_kept
from vlahub.conversion.predictions.shown_views import rgb_of
from vlahub.conversion.predictions.view_panels import (
    PatchMap,
    attention_map,
    draw_maps,
    draw_views,
    map_of_kept,
    resampled,
)

NAMES = ["x", "hand"]
SPACE = ActionSpace(NAMES, np.array([-1.0, 0.0]), np.array([2.0, 1.0]), "all of it", np.array([False, True]))


@pytest.fixture
def draw():
    return np.random.RandomState(0)


def drawn_by(function, *given):
    """The axes that a function draws on a figure of its own."""
    figure = Figure(figsize=(12, 6))
    function(*given, figure)
    return figure.axes


def test_a_chunk_is_its_first_sample_in_the_band_of_the_spread_about_the_mean(draw):
    drawn = Drawn(draw.randn(3, 5, 2), 1 + draw.rand(5, 2))
    for i, axes in enumerate(drawn_by(draw_chunk, drawn, SPACE)):
        np.testing.assert_array_equal(axes.lines[-1].get_ydata(), drawn.actions[0, :, i])
        shown = np.array([line.get_ydata() for line in axes.lines[:-1]])
        np.testing.assert_array_equal(shown, drawn.actions[1:, :, i])
        band = axes.collections[0].get_paths()[0].vertices
        mean = drawn.actions[:, :, i].mean(axis=0)
        for step in range(5):
            ends = band[band[:, 0] == step, 1]
            np.testing.assert_allclose([ends.min(), ends.max()], mean[step] + drawn.spread[step, i] * np.array([-1, 1]))
        low, high = axes.patches[0].get_extents().intervaly
        wanted = axes.transData.transform([(0, SPACE.low[i]), (0, SPACE.high[i])])[:, 1]
        np.testing.assert_allclose([low, high], wanted)
        assert axes.get_title(loc="left") == ("x", "hand*")[i]


def test_the_way_out_of_noise_is_a_line_for_each_action_of_each_dimension(draw):
    path = draw.randn(4, 3, 2)
    for i, axes in enumerate(drawn_by(draw_path, path, SPACE)):
        np.testing.assert_array_equal([line.get_ydata() for line in axes.lines], path[:, :, i].T)


def test_attention_is_a_multiple_of_the_even_share_and_that_of_tokens_that_are_read_last(draw):
    weights = draw.dirichlet(np.ones(6), size=(2, 4))
    first = PatchAttention("a", weights, draw.rand(2, 4), (2, 3))
    second = PatchAttention("b", draw.dirichlet(np.ones(24), size=(2, 4)), draw.rand(2, 4), (4, 6))
    np.testing.assert_allclose(attention_map(first).values, 6 * weights.mean(axis=1).reshape(2, 2, 3))
    read = np.array([[True, False, True, False], [False] * 4])
    kept = KeptTokens({1: np.ones((2, 4), bool), 3: read}, 5, None)
    found = map_of_kept(kept, (first, second))
    of_second = 24 * second.weights[0, [0, 2]].mean(axis=0).reshape(4, 6)[::2, ::2]
    wanted = (6 * weights[0, [0, 2]].mean(axis=0).reshape(2, 3) + of_second) / 2
    np.testing.assert_allclose(found.values[0], wanted)
    assert np.isnan(found.values[1]).all()  # of whose tokens none is read
    assert found.title == "tokens that layer 3 reads" and found.notes[0] == "2 of 4 tokens are read"


def test_maps_lie_over_their_own_views_on_one_scale_from_zero_to_the_largest(draw):
    views = [np.full((8, 12, 3), 40 * i, np.uint8) for i in (1, 2)]
    values = draw.rand(2, 2, 3) * 3
    values[1, 0] = np.nan  # nothing to show
    maps = [PatchMap("a", values, ["first", "second"]), PatchMap("b", np.full((2, 2, 3), np.nan), ["", ""])]
    axes = drawn_by(draw_maps, PredictionTrace(Drawn(np.zeros((1, 1, 1))), views), NAMES, maps)
    for row, (plain, first, second) in enumerate(zip(axes[0::3], axes[1::3], axes[2::3], strict=False)):
        np.testing.assert_array_equal(plain.images[0].get_array(), views[row])
        assert (plain.get_xlabel(), first.get_xlabel()) == (NAMES[row], ["first", "second"][row])
        for place, found, top in ((first, values, np.nanmax(values)), (second, maps[1].values, 1)):
            grey, shown = place.images
            assert (grey.get_array() == 40 * (row + 1)).all()
            np.testing.assert_array_equal(np.ma.filled(shown.get_array(), np.nan), found[row])
            assert shown.get_clim() == (0, top) and list(shown.get_extent()) == [-0.5, 11.5, 7.5, -0.5]
        if row == 1:
            break  # behind it are the scales
    assert (axes[1].get_title(), axes[2].get_title()) == ("a", "b")


def test_a_map_on_a_finer_grid_repeats_its_patches():
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(resampled(values, (4, 9)), np.kron(values, np.ones((2, 3))))
    np.testing.assert_array_equal(resampled(np.kron(values, np.ones((2, 3))), (2, 3)), values)


def test_patches_that_the_last_pruning_layer_leaves_out_are_white(draw):
    read = draw.rand(2, 6) > 0.5
    kept = KeptTokens({1: ~read, 2: read}, 4, (2, 3))
    views = [np.full((8, 12, 3), 40 * i, np.uint8) for i in (1, 2)]
    trace = PredictionTrace(Drawn(np.zeros((1, 1, 1))), views, kept=kept)
    for i, axes in enumerate(drawn_by(draw_views, trace, NAMES, 1)[:2]):
        view, cover = (image.get_array() for image in axes.images)
        np.testing.assert_array_equal(view, views[i])
        np.testing.assert_array_equal(cover[..., 3] == 0, read[i].reshape(2, 3))
        assert list(axes.images[1].get_extent()) == [-0.5, 11.5, 7.5, -0.5]  # the first row of patches on top
        assert axes.get_xlabel() == NAMES[i]


def test_pixels_that_a_model_reads_are_shown_as_the_picture_that_they_were_made_of(draw):
    pictures = draw.randint(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    pixels = torch.from_numpy((pictures / 255 - mean) / std).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(rgb_of(pixels.float(), mean, std), pictures)
    np.testing.assert_array_equal(
        rgb_of(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1, 0.5, 0.5), pictures
    )
    beyond = torch.tensor([-0.2, 1.2]).reshape(1, 1, 1, 2).repeat(1, 3, 1, 1)  # of a resize that overshoots
    np.testing.assert_array_equal(rgb_of(beyond, 0.0, 1.0)[0][0, :, 0], [0, 255])


def test_shares_of_encoders_stand_side_by_side_and_those_of_layers_over_their_number():
    weights = np.array([[0.25, 0.75], [0.9, 0.1]])
    [axes] = drawn_by(draw_encoders, ("a", "b"), weights, NAMES)
    bars = np.array([[bar.get_x(), bar.get_width()] for bar in axes.patches]).reshape(2, 2, 2)  # encoder, view
    np.testing.assert_allclose(bars[..., 1], weights.T)
    np.testing.assert_allclose(bars[..., 0], [[0, 0], weights[:, 0]])
    kept = KeptTokens({1: np.array([[True, False], [True, True]])}, 3, None)
    [axes] = drawn_by(draw_kept, kept, NAMES)
    first, second, both, plain = axes.lines
    np.testing.assert_allclose([line.get_ydata() for line in (first, second)], [[1, 0.5, 1], [1, 1, 1]])
    np.testing.assert_allclose(both.get_ydata(), [1, 0.75, 1])
    assert plain.get_xdata().tolist() == [0, 2]
    [axes] = drawn_by(draw_grounding, np.array([0.5, -0.25]), NAMES)
    assert [bar.get_width() for bar in axes.patches] == [0.5, -0.25]
