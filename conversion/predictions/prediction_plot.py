"""One picture of a prediction: views, where the model looked, and the chunk of actions."""

import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...modeling.action_normalization import find_statistics
from ..bases_of_adapters import own_name
from ..plots.picture_file import PREDICTION_MARK
from .chunk_panels import action_space, chunk_panel, path_panel
from .dimensions import dimension_names
from .flow_path import steps_in_words
from .panel import Panel, draw_panel
from .plot_style import FAINT, NOTE, drawn_figure
from .prediction_trace import Asked, PredictionTrace
from .share_panels import encoders_panel, grounding_panel, kept_panel
from .shown_views import names_of_views
from .view_panels import views_panel

TITLE_SIZE, LINE = 16, 0.3  # points, and inches of a line
NAME_LENGTH = 20  # characters of a view
LINE_LENGTH, LINES = 78, 3  # characters, and lines of an instruction


def plot_trace(path: Path, trace: PredictionTrace, model: Any, processor: Any, asked: Asked) -> None:
    """Write the picture; the suffix names the format, as matplotlib knows them.

    Raises:
        ConversionError: matplotlib is not installed.
    """
    panels = panels_of(trace, model, processor, asked)
    title = textwrap.wrap(printable(f"“{asked.text}”"), LINE_LENGTH, max_lines=LINES, placeholder=" …")
    heading = 0.6 + LINE * len(title)
    heights = [heading, *(panel.height for panel in panels)]
    with warnings.catch_warnings(), drawn_figure(path, PREDICTION_MARK, sum(heights)) as figure:
        warnings.filterwarnings("ignore", message="Glyph")  # a font has not every character of an instruction
        areas = figure.subfigures(len(heights), 1, height_ratios=heights, hspace=0)
        write_heading(areas[0], title, subtitle_of(model, asked.options), heading)
        for panel, area in zip(panels, areas[1:], strict=True):
            draw_panel(panel, area)


def panels_of(trace: PredictionTrace, model: Any, processor: Any, asked: Asked) -> list[Panel]:
    """Those that the trace has something for, top down."""
    config = model.config
    names = names_of_views(processor.view_names or config.view_names, asked.images, len(trace.views))
    names = [shortened(printable(name)) for name in names]
    statistics = find_statistics(config.norm_stats, asked.options.get("unnorm_key"))["action"]
    space = action_space(statistics, config.normalization_type, dimension_names(config.action_dim))
    panels = [views_panel(trace, names)]
    if trace.kept is not None:
        panels.append(kept_panel(trace.kept, names))
    if trace.encoder_weights is not None:
        panels.append(encoders_panel(trace.encoders, trace.encoder_weights, names))
    if trace.grounding is not None:
        panels.append(grounding_panel(trace.grounding, names))
    if trace.path is not None:
        how = steps_in_words(config, asked.options)
        panels.append(path_panel(trace.path, space, trace.drawn.spread is not None, how))
    return [*panels, chunk_panel(trace.drawn, space)]


def subtitle_of(model: Any, options: Mapping[str, Any]) -> str:
    """The checkpoint, its family, and whose statistics."""
    config = model.config
    key = options.get("unnorm_key") or next(iter(config.norm_stats))
    name = own_name(config.name_or_path) if config.name_or_path else "a model that was not saved"
    return f"{name} ({config.model_type}), statistics of {key}"


def write_heading(area: Any, title: list[str], subtitle: str, height: float) -> None:
    place = 0.3 / 12
    area.text(place, 1 - 0.2 / height, "\n".join(title), va="top", fontsize=TITLE_SIZE, fontweight="bold")
    area.text(place, 0.14 / height, printable(subtitle), va="bottom", fontsize=NOTE, color=FAINT)


def shortened(name: str) -> str:
    """A name that fits below a view and beside a chart."""
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
