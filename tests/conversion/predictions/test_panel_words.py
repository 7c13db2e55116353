"""What the panels of a picture say of their numbers: titles, notes, names of axes, legends, and how many fields."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from vlahub.conversion.plots.picture_file import PREDICTION_MARK, is_marked
from vlahub.conversion.predictions import prediction_plot
from vlahub.conversion.predictions.chunk_panels import (
    ActionSpace,
    chunk_panel,
    draw_chunk,
    draw_path,
    fields,
    path_panel,
    rows_and_columns,
)
from vlahub.conversion.predictions.dimensions import NAMES, dimension_names
from vlahub.conversion.predictions.patch_attention import patch_attention
from vlahub.conversion.predictions.plot_style import axes_in, drawn_figure
from vlahub.conversion.predictions.prediction_plot import panels_of, plot_trace, printable, shortened, subtitle_of
from vlahub.conversion.predictions.prediction_trace import Asked, Drawn, KeptTokens, PatchAttention, PredictionTrace
from vlahub.conversion.predictions.share_panels import draw_encoders, draw_grounding, kept_panel
from vlahub.conversion.predictions.shown_views import given_views
from vlahub.conversion.predictions.view_panels import attention_map, views_panel


def space(names, passes=()):
    size = len(names)
    return ActionSpace(names, -np.arange(1.0, size + 1), np.arange(1.0, size + 1), "all", np.isin(range(size), passes))


def drawn(samples=1, steps=3, size=2):
    actions = np.arange(samples * steps * size, dtype=float).reshape(samples, steps, size)
    return Drawn(actions, actions.std(axis=0) if samples > 1 else None)


def test_seven_dimensions_are_those_of_an_arm_and_others_have_numbers():
    assert dimension_names(7) == list(NAMES)
    assert dimension_names(2) == ["dimension 0", "dimension 1"] and dimension_names(14)[-1] == "dimension 13"


@pytest.mark.parametrize(
    ("count", "grid"), {1: (1, 1), 4: (1, 4), 8: (2, 4), 9: (2, 5), 15: (3, 5), 16: (3, 6), 32: (6, 6)}.items()
)
def test_fields_stand_in_rows(count, grid):
    assert rows_and_columns(count) == grid


def test_the_lowest_field_of_a_column_names_the_steps_and_the_first_of_a_row_the_units():
    axes = fields(Figure(figsize=(12, 6)), space(list("abcde"), passes=[4]), "step")
    assert [bool(each.get_xlabel()) for each in axes] == [False, True, True, True, True]
    assert [bool(each.get_ylabel()) for each in axes] == [True, False, False, False, True]
    assert [each.get_title(loc="left") for each in axes] == ["a", "b", "c", "d", "e*"]


def test_a_note_says_how_many_actions_samples_and_steps_there_are():
    plain = space(["a", "b"])
    assert chunk_panel(drawn(steps=1), plain).note == "One action."
    assert chunk_panel(drawn(steps=2), plain).note == "A chunk of 2 actions, of which a robot executes step 0 first."
    sampled = chunk_panel(drawn(samples=4), space(["a", "b"], passes=[1])).note
    assert sampled.endswith("standard deviation of 4 samples. *: not normalised.")
    one = path_panel(np.zeros((6, 1, 2)), plain, False, " (euler)").note
    assert one == "From noise (left) to the prediction (right) in 5 steps (euler); the line is the action."
    several = path_panel(np.zeros((2, 3, 2)), plain, True).note
    assert "to the first sample (right) in 1 steps; a line is an action of the chunk" in several


def legend_of(function, *given):
    figure = Figure(figsize=(12, 6))
    function(*given, figure)
    [legend] = figure.legends
    return {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}, figure


def test_a_legend_names_what_is_drawn_in_its_colour():
    assert list(legend_of(draw_chunk, drawn(), space(["a", "b"]))[0]) == ["predicted", "training data, all"]
    names = ["first sample", "other samples", "mean ± spread", "training data, all"]
    assert list(legend_of(draw_chunk, drawn(samples=3), space(["a", "b"]))[0]) == names
    lines, figure = legend_of(draw_path, np.zeros((4, 3, 2)), space(["a", "b"]))
    assert list(lines) == ["action 0", "action 2", "training data, all"]
    first, _, last = figure.axes[0].lines
    for name, line in {"action 0": first, "action 2": last}.items():
        np.testing.assert_array_equal(lines[name].get_color(), line.get_color())
    assert np.sum(first.get_color()[:3]) < np.sum(last.get_color()[:3])  # dark the first


def trace_of(views, **parts):
    return PredictionTrace(drawn(), [np.zeros((4, 4, 3), np.uint8)] * views, **parts)


def test_views_are_said_to_be_as_many_as_they_are_and_as_seen_or_as_given():
    one, four, five = (views_panel(trace_of(count), [str(i) for i in range(count)]) for count in (1, 4, 5))
    assert one.note == "One camera." and five.note == "5 cameras, in the order of training."
    assert one.title == "Views, as the model saw them"
    assert one.height == four.height and five.height - four.height == pytest.approx(2.6)  # a second row
    assert "as they were given" in views_panel(trace_of(1, as_seen=False), ["a"]).title


def test_what_is_white_or_coloured_is_said_of_views():
    kept = {layer: np.ones((1, 6), bool) for layer in (2, 7)}
    patches = views_panel(trace_of(1, kept=KeptTokens(kept, 9, (2, 3))), ["a"])
    assert "the last pruning layer (layer 7) does not read" in patches.note
    learnt = views_panel(trace_of(1, kept=KeptTokens(kept, 9, None)), ["a"])
    assert learnt.note == "One camera." and "looks" not in learnt.title
    attention = PatchAttention("siglip", np.full((1, 6, 6), 1 / 6), np.full((1, 6), 0.25), (2, 3))
    looks = views_panel(trace_of(1, attention=(attention,)), ["a"])
    assert looks.title.endswith("and where the model looks") and "Colour" in looks.note


def test_a_map_says_how_much_of_each_views_attention_is_on_patches():
    on_patches = np.array([[0.5, 0.7, 0.9], [0.0, 0.1, 0.2]])
    found = attention_map(PatchAttention("siglip", np.full((2, 3, 6), 1 / 6), on_patches, (2, 3)))
    assert found.title == "siglip"
    assert found.notes == ["70% of the attention is on patches", "10% of the attention is on patches"]


def test_shares_and_scores_stand_beside_the_names_of_their_views():
    assert "a view's 8 vision tokens" in kept_panel(KeptTokens({1: np.ones((2, 8), bool)}, 3, None), ["a", "b"]).note
    for function, given, texts in (
        (draw_encoders, (("first", "second"), np.array([[0.25, 0.75], [0.95, 0.05]])), ["25%", "95%", "75%"]),
        (draw_grounding, (np.array([0.5, -0.25]),), ["0.500", "-0.250"]),
    ):
        figure = Figure(figsize=(12, 6))
        function(*given, ["a", "b"], figure)
        [axes] = figure.axes
        assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"] and axes.yaxis_inverted()
        assert [text.get_text() for text in axes.texts] == texts  # none where a share has no room
        if function is draw_encoders:
            assert [text.get_text() for text in axes.get_legend().get_texts()] == ["first", "second"]
            places = [text.get_position()[0] for text in axes.texts]
            np.testing.assert_allclose(places, [0.125, 0.475, 0.625])
        else:
            assert [text.get_position()[0] for text in axes.texts] == [0.51, -0.26] and axes.get_xlim() == (-1, 1)


def test_attention_is_the_share_that_learned_tokens_give_to_patches_as_the_mean_of_heads():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 1 + 6 + 3, 8, generator=generator) for _ in range(2))
    found = patch_attention("siglip", query, key, num_heads=2, num_tokens=3, grid=(2, 3))
    given = np.zeros((2, 3, 10))
    for head in (slice(0, 4), slice(4, 8)):
        scores = query[:, 7:, head] @ key[:, :, head].transpose(1, 2) / 2  # the root of a head's four numbers
        given += scores.softmax(dim=-1).numpy() / 2
    on_patches = given[..., 1:7]
    np.testing.assert_allclose(found.on_patches, on_patches.sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(found.weights, on_patches / on_patches.sum(axis=-1, keepdims=True), rtol=1e-5)
    assert (found.encoder, found.grid) == ("siglip", (2, 3))


def test_views_that_were_given_by_name_are_shown_in_the_order_of_the_model():
    views = {name: np.full((2, 3, 3), value, np.uint8) for name, value in {"wrist": 9, "top": 5}.items()}
    processor = SimpleNamespace(image_processor=SimpleNamespace(num_images_in_input=2), view_names=["top", "wrist"])
    assert [int(view.mean()) for view in given_views(processor, views, "lift it")] == [5, 9]


def test_names_and_texts_fit_their_places_and_hold_no_control_characters(tmp_path, monkeypatch):
    assert shortened("x" * 20) == "x" * 20 and shortened("abc" + "x" * 18) == "abc" + "x" * 16 + "…"
    assert printable("lift\n\x1bit ü") == "lift  it ü"
    config = SimpleNamespace(norm_stats={"a": {}, "b": {}}, name_or_path="runs/mine", model_type="cogvla")
    model = SimpleNamespace(config=config)
    assert subtitle_of(model, {"unnorm_key": "b"}) == "mine (cogvla), statistics of b"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config.name_or_path = "."
    assert subtitle_of(model, {}) == "here (cogvla), statistics of a"
    config.name_or_path = str(tmp_path / "models--me--mine" / "snapshots" / "0123abc")
    assert subtitle_of(model, {}) == "me/mine (cogvla), statistics of a"
    config.name_or_path = ""
    assert subtitle_of(model, {}) == "a model that was not saved (cogvla), statistics of a"


def pictured(view_names=None, of_config=None, samples=1, options=(), **parts):
    """What `panels_of` and `plot_trace` are given for a trace of two views: trace, model, processor, asked."""
    config = SimpleNamespace(action_dim=2, normalization_type="bounds_q99", view_names=of_config, model_type="cogvla")
    for key, low in {"a": -1.0, "b": -5.0}.items():
        statistics = {"action": {"q01": [low] * 2, "q99": [2.0] * 2, "mask": [True] * 2}}
        config.norm_stats = getattr(config, "norm_stats", {}) | {key: statistics}
    config.follows_flow, config.ode_solver, config.ode_spacing, config.can_be_guided = True, "euler", "uniform", False
    config.name_or_path = "runs/mine"
    trace = PredictionTrace(drawn(samples), [np.zeros((4, 4, 3), np.uint8)] * 2, **parts)
    asked = Asked([0, 0], "lift it " * 99, {}, {"unnorm_key": "a", **dict(options)})
    return trace, SimpleNamespace(config=config), SimpleNamespace(view_names=view_names), asked


ALL = {
    "kept": KeptTokens({1: np.ones((2, 8), bool)}, 3, None), "encoders": ("first", "second"),
    "encoder_weights": np.full((2, 2), 0.5), "grounding": np.array([0.1, 0.2]), "path": np.zeros((3, 3, 2)),
}  # fmt: skip
TITLES = {
    "kept": "What is left of each view",
    "encoder_weights": "Which vision encoder counts (mixture of experts)",
    "grounding": "Grounding score",
    "path": "How the actions came out of noise",
}


@pytest.mark.parametrize("missing", [*TITLES, None, "all"])
def test_a_picture_has_a_panel_for_all_that_a_trace_has_and_none_else(missing):
    there = {} if missing == "all" else {name: value for name, value in ALL.items() if name != missing}
    titles = [panel.title for panel in panels_of(*pictured(**there))]
    wanted = [title for name, title in TITLES.items() if name in there]
    assert titles == ["Views, as the model saw them", *wanted, "Actions"]


def test_names_of_views_are_the_processors_before_the_configs_before_numbers():
    for views, config, names in ((["p", "q"], ["c", "d"], ["p", "q"]), (None, ["c", "d"], ["c", "d"])):
        assert panels_of(*pictured(views, config))[0].draw.args[1] == names
    assert panels_of(*pictured())[0].draw.args[1] == ["view 0", "view 1"]


def test_ranges_and_steps_are_those_that_were_asked_for():
    *_, way, actions = panels_of(*pictured(samples=3, options={"unnorm_key": "b", "ode_solver": "heun"}, **ALL))
    assert "to the first sample (right) in 2 steps (heun, uniform)" in way.note
    assert actions.draw.args[1].low.tolist() == way.draw.args[1].low.tolist() == [-5.0, -5.0]
    assert "to the prediction (right)" in panels_of(*pictured(**ALL))[-2].note


def test_each_panel_is_as_high_as_it_says_under_a_title_of_few_lines(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(prediction_plot, "draw_panel", lambda panel, area: found.append((panel, area)))
    plot_trace(tmp_path / "out.png", *pictured(**ALL))
    assert is_marked(tmp_path / "out.png", PREDICTION_MARK)
    assert len(found) == 6
    for panel, area in found:
        assert area.bbox.height / 100 == pytest.approx(panel.height)
    bottoms = [area.bbox.y0 for _, area in found]
    assert bottoms == sorted(bottoms, reverse=True)
    heading = found[0][1].figure.bbox.height / 100 - sum(panel.height for panel, _ in found)
    assert heading == pytest.approx(1.5)  # of three lines, of which the last says that there is more


def test_margins_and_gaps_are_inches_and_a_dollar_is_a_dollar(tmp_path):
    with drawn_figure(tmp_path / "out.png", "", 6.0) as figure:
        axes = axes_in(figure, 2, 3, (1.0, 2.0, 0.5, 0.25), (0.4, 0.3))
        boxes = [[each.get_position() for each in row] for row in axes]
        assert not figure.text(0, 0, "$5 and $6").get_parse_math()
    first, last = boxes[0][0], boxes[1][2]
    found = 12 * first.x0, 12 * (1 - last.x1), 6 * (1 - first.y1), 6 * last.y0
    np.testing.assert_allclose(found, (1.0, 2.0, 0.5, 0.25))
    between = 12 * (boxes[0][1].x0 - first.x1), 6 * (first.y0 - boxes[1][0].y1)
    np.testing.assert_allclose(between, (0.4, 0.3))
