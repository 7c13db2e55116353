"""What holds of every picture: its texts lie inside of it, and none lies on another."""

import numpy as np
from matplotlib.axis import Tick, XTick
from matplotlib.text import Text


def texts_of(figure):
    """All texts that are seen, tick labels and legends included."""
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    hidden = {text for tick in figure.findobj(Tick) if not in_view(tick) for text in tick.findobj(Text)}
    return [text for text in found if text not in hidden]


def in_view(tick):
    """Ticks beyond the limits of their axis exist and are not drawn."""
    axis = tick.axes.xaxis if isinstance(tick, XTick) else tick.axes.yaxis
    low, high = sorted(axis.get_view_interval())
    return tick.axes.axison and tick in axis.get_major_ticks() and low <= tick.get_loc() <= high


def check_texts(figure):
    """Raises AssertionError for a text that is clipped, or lies on another one."""
    figure.canvas.draw()
    texts = texts_of(figure)
    width, height = figure.canvas.get_width_height()
    boxes = np.array([text.get_window_extent().extents for text in texts])
    outside = (boxes[:, :2] < -0.5).any(axis=1) | (boxes[:, 2] > width + 0.5) | (boxes[:, 3] > height + 0.5)
    assert not outside.any(), [texts[i].get_text() for i in np.flatnonzero(outside)]
    inner = boxes + np.array([1, 1, -1, -1])  # rounding
    low, high = np.maximum(inner[:, None, :2], inner[None, :, :2]), np.minimum(inner[:, None, 2:], inner[None, :, 2:])
    both = np.triu((low < high).all(axis=-1), 1)
    assert not both.any(), [(texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(both)[:5]]


def words_of(figure):
    """All that can be read, joined."""
    return "\n".join(text.get_text() for text in texts_of(figure))
