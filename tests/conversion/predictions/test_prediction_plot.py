"""Pictures of predictions: readable whatever the sizes of a model, and whatever settings of matplotlib a user has."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import vlahub
from vlahub.conversion.predictions.chunk_panels import action_space
from vlahub.conversion.predictions.plot_style import WIDTH
from vlahub.conversion.predictions.prediction_plot import plot_trace
from vlahub.conversion.predictions.prediction_trace import Asked, Drawn, KeptTokens, PatchAttention, PredictionTrace
from vlahub.conversion.predictions.shown_views import names_of_views
from vlahub.errors import InputError

LONG = "put the bowl on the plate that costs $5 and then the $plate on the stove "
NAMES = ["front", "a camera on the left wrist, which looks down", "wrist", "top"]


def statistics(dim):
    return {"q01": [-1.0] * dim, "q99": [2.0] * dim, "mean": [0.5] * dim, "std": [0.2] * dim, "mask": [False] * dim}


def traced(dim, steps, views, layers=0, samples=1, path=0, learnt=True):
    """Of a model that has as much; layers: of the language model; path: denoising steps."""
    draw = np.random.RandomState(0)
    actions = draw.randn(samples, steps, dim).astype(np.float32) * 1000
    parts = {}
    if layers:
        tokens = 8 if learnt else 16
        kept = {layer: draw.rand(views, tokens) > layer / layers for layer in range(1, layers)}
        parts["kept"] = KeptTokens(kept, layers, None if learnt else (4, 4))
        parts["encoder_weights"], parts["encoders"] = np.tile([0.9, 0.1], (views, 1)), ("DINOv2", "SigLIP")
    if layers and learnt:
        weights, seen = draw.dirichlet(np.ones(16), size=(views, tokens)), draw.rand(views, tokens)
        parts["attention"] = tuple(PatchAttention(name, weights, seen, (4, 4)) for name in parts["encoders"])
    if path:
        parts["path"] = draw.randn(path + 1, steps, dim)
        parts["grounding"] = np.linspace(-1, 1, views)
    drawn = Drawn(actions, actions.std(axis=0) if samples > 1 else None)
    return PredictionTrace(drawn, [np.full((16, 20, 3), 120, np.uint8)] * views, **parts)


def plot(path, trace, text="lift it", normalization="bounds_q99"):
    dim = trace.drawn.actions.shape[-1]
    config = SimpleNamespace(norm_stats={"a": {"action": statistics(dim)}}, normalization_type=normalization)
    config.action_dim, config.name_or_path, config.model_type = dim, "runs/my-vla", "cogvla"
    config.follows_flow, config.ode_solver, config.ode_spacing = True, "midpoint", "uniform"
    config.can_be_guided, config.dit_config = True, SimpleNamespace(guidance_scale=12.5)  # the longest words
    processor = SimpleNamespace(view_names=NAMES[: len(trace.views)])
    plot_trace(path, trace, SimpleNamespace(config=config), processor, Asked(None, text, {}, {}))


@pytest.fixture
def seen(monkeypatch):
    """Of every figure that is written: its texts, those that leave the picture, and axes without a word."""
    found = []
    plain = Figure.savefig

    def keep(figure, path, **options):
        plain(figure, path, **options)
        renderer = FigureCanvasAgg(figure).get_renderer()
        hidden = {label for axes in figure.axes for label in hidden_labels(axes)}
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text not in hidden]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_visible()]
        width, height = figure.bbox.width, figure.bbox.height
        out = [text for text, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > width or box.y1 > height]
        unnamed = [
            axes for axes in figure.axes if axes.axison and not (axes.get_xlabel() or axes.get_title(loc="left"))
        ]
        found.append(SimpleNamespace(out=out, texts={text for text, _ in boxes}, unnamed=unnamed))

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def hidden_labels(axes):
    """Of ticks beyond the limits, and of axes that are off."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not axes.axison or not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


SIZES = {
    "robot with two arms": {"dim": 14, "steps": 50, "views": 4, "layers": 40, "samples": 8},
    "hands": {"dim": 32, "steps": 16, "views": 3, "path": 10},
    "one of all": {"dim": 1, "steps": 1, "views": 1, "layers": 2, "path": 1},
    "one action": {"dim": 7, "steps": 1, "views": 2, "samples": 3},
    "patches": {"dim": 7, "steps": 8, "views": 2, "layers": 3, "learnt": False},
}

LARGE = ("hands", "robot with two arms")


@pytest.mark.parametrize("size", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in SIZES])
def test_nothing_leaves_the_picture_and_axes_say_what_they_show(size, seen, tmp_path):
    plot(tmp_path / "out.png", traced(**SIZES[size]), LONG * 5)
    (figure,) = seen
    assert not figure.out and not figure.unnamed
    assert Image.open(tmp_path / "out.png").width == WIDTH * 100 == 1200
    assert {"robot's units", "step of the chunk"} <= figure.texts


def test_a_users_dark_style_changes_nothing_and_is_left_as_it_was(tmp_path):
    plot(tmp_path / "plain.png", traced(3, 2, 1))
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white", "text.usetex": True}):
        plot(tmp_path / "dark.png", traced(3, 2, 1))
        assert matplotlib.rcParams["figure.facecolor"] == "black"
    assert np.array_equal(Image.open(tmp_path / "plain.png"), Image.open(tmp_path / "dark.png"))


def test_the_range_is_that_of_the_normalisation():
    space = action_space(statistics(2), "normal", ["a", "b"])
    np.testing.assert_allclose([space.low, space.high], [[0.3] * 2, [0.7] * 2])
    assert "deviation" in space.words and space.passes.all()
    space = action_space({**statistics(2), "mask": [True, False]}, "bounds_q99", ["a", "b"])
    np.testing.assert_allclose([space.low, space.high], [[-1.0] * 2, [2.0] * 2])
    assert space.passes.tolist() == [False, True] and "99th" in space.words


def test_views_have_the_names_of_the_checkpoint_or_of_the_caller_main_camera_first():
    assert names_of_views(["front"], {"wrist": 0}, 1) == ["front"]
    assert names_of_views(None, {"observation.images.wrist": 0, "primary": 1}, 2) == ["primary", "wrist"]
    assert names_of_views(None, [0, 0], 2) == ["view 0", "view 1"]


# ---- in Python


@pytest.fixture(scope="module")
def loaded(family, family_checkpoint):

    model = AutoModelForImageTextToText.from_pretrained(family_checkpoint).eval()
    return model, AutoProcessor.from_pretrained(family_checkpoint)


def test_a_notebook_draws_in_one_call(family, loaded, tmp_path):
    model, processor = loaded
    views = [np.full((30, 40, 3), 90 + 50 * view, np.uint8) for view in range(2)]
    if model.config.predicts != "actions":
        with pytest.raises(InputError, match=f"draws robots' models.*'{model.config.model_type}'"):
            vlahub.plot_prediction(tmp_path / "out.png", model, processor, views, "lift it")
        return
    given = {"images": views, "text": "Put the red block on the tray", "state": np.linspace(0, 0.7, 8)}

    torch.manual_seed(1)
    trace = vlahub.plot_prediction(tmp_path / "out.png", model, processor, **given)
    torch.manual_seed(1)
    predicted = model.predict_action(**processor(**given))
    np.testing.assert_array_equal(trace.drawn.actions, predicted.numpy())
    assert Image.open(tmp_path / "out.png").width == 1200
    for name, words in {"out.xyz": "no suffix", "missing/out.png": "no folder"}.items():
        with pytest.raises(InputError, match=words):
            vlahub.plot_prediction(tmp_path / name, model, processor, **given)
    with pytest.raises(InputError, match="whose instruction is a string"):
        vlahub.plot_prediction(tmp_path / "out.png", model, processor, [views], ["lift it"])
