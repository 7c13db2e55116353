"""Shares: what pruning keeps of each view, what each vision encoder weighs, how well a text fits each view."""

from functools import partial
from typing import Any

import numpy as np

from .panel import HEADING, Panel
from .plot_style import FAINT, GRID, MARKERS, SERIES, SMALL, axes_in
from .prediction_trace import KeptTokens

BARS = 0.36  # inches of a bar
INSIDE = 0.14  # a share below has no room for its number


def kept_panel(kept: KeptTokens, names: list[str]) -> Panel:
    """How much of each view each layer of the language model reads."""
    tokens = next(iter(kept.kept.values())).shape[1]
    note = (
        f"Share of a view's {tokens} vision tokens that each layer of the language model reads (token pruning, LFP). "
        "The others pass it unchanged."
    )
    return Panel("What is left of each view", note, HEADING + 3.0, partial(draw_kept, kept, names))


def draw_kept(kept: KeptTokens, names: list[str], area: Any) -> None:
    axes = axes_in(area, 1, 1, (0.85, 2.2, HEADING + 0.12, 0.55), (0, 0))[0, 0]
    shares, layers = kept.shares(), np.arange(kept.num_layers)
    pruning = sorted(kept.kept)
    for view, name in enumerate(names):
        style = {"color": SERIES[view % len(SERIES)], "marker": MARKERS[view % len(MARKERS)], "markersize": 5}
        axes.plot(layers, shares[:, view], lw=1.6, label=name, **style)
    if len(names) > 1:
        axes.plot(layers, shares.mean(axis=1), color=FAINT, lw=1.2, ls="--", label="all views together")
    plain = np.setdiff1d(layers, pruning)
    axes.plot(plain, np.full(len(plain), -0.02), color=FAINT, marker="|", ls="", label="layer without pruning")
    axes.set(xlabel="layer of the language model", ylabel="share of the view's tokens", ylim=(-0.05, 1.05))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.locator_params(axis="x", integer=True, nbins=21)
    axes.set_xlim(-0.5, kept.num_layers - 0.5)
    axes.grid(color=GRID, lw=0.5)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))


def encoders_panel(encoders: tuple[str, ...], weights: np.ndarray, names: list[str]) -> Panel:
    """weights: (views, encoders), adding up to 1 for each view."""
    note = "Weight of each vision encoder, which the model's router chose for this instruction; they add up to 100 %."
    height = HEADING + 0.75 + BARS * len(names)
    draw = partial(draw_encoders, encoders, weights, names)
    return Panel("Which vision encoder counts (mixture of experts)", note, height, draw)


def draw_encoders(encoders: tuple[str, ...], weights: np.ndarray, names: list[str], area: Any) -> None:
    axes = axes_in(area, 1, 1, (1.6, 2.2, HEADING + 0.12, 0.5), (0, 0))[0, 0]
    places, start = np.arange(len(names)), np.zeros(len(names))
    for number, encoder in enumerate(encoders):
        share = weights[:, number]
        axes.barh(places, share, left=start, height=0.7, color=SERIES[number], label=encoder)
        for place in places[share > INSIDE]:
            middle = start[place] + share[place] / 2
            axes.text(
                middle,
                place,
                f"{share[place]:.0%}",
                ha="center",
                va="center",
                fontsize=SMALL,
                color=("white", "black")[number],
            )
        start = start + share
    axes.set(yticks=places, yticklabels=names, xlim=(0, 1), xlabel="weight")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.invert_yaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))


def grounding_panel(scores: np.ndarray, names: list[str]) -> Panel:
    """scores: (views,), cosines."""
    note = "Cosine of each view and the instruction (-1 to 1): the higher, the more the view shows what the text says."
    height = HEADING + 0.75 + BARS * len(names)
    return Panel("Grounding score", note, height, partial(draw_grounding, scores, names))


def draw_grounding(scores: np.ndarray, names: list[str], area: Any) -> None:
    axes = axes_in(area, 1, 1, (1.6, 2.2, HEADING + 0.12, 0.5), (0, 0))[0, 0]
    places = np.arange(len(names))
    axes.barh(places, scores, height=0.7, color=SERIES[0])
    axes.axvline(0, color=FAINT, lw=0.8)
    for place, score in zip(places, scores, strict=True):
        side = {"ha": "left" if score >= 0 else "right", "va": "center", "fontsize": SMALL}
        axes.text(score + np.copysign(0.01, score), place, f"{score:.3f}", **side)
    axes.set(yticks=places, yticklabels=names, xlim=(-1, 1), xlabel="cosine")
    axes.grid(color=GRID, lw=0.5, axis="x")
    axes.set_axisbelow(True)
    axes.invert_yaxis()
