"""Texts of a figure that are printed over each other, and numbers placed so that they are not."""

from collections.abc import Iterable
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from mdissect.plots.style import NUMBER_BOX
from mdissect.signatures import validated

ALLOWED = 1.0  # pixels by which the boxes of two texts may overlap: they are higher than their letters


@validated()
def overprints(fig: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes overlap, once the figure is laid out."""
    fig.draw_without_rendering()
    return overlapping_texts(fig)


def overlapping_texts(fig: Figure) -> list[tuple[str, str]]:
    """`overprints` of a figure that was laid out before."""
    hidden = {id(text) for axis in fig.findobj(Axis) for text in _hidden(axis)}
    texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip() and id(text) not in hidden]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    boxes = [(words, box) for words, box in boxes if box.width > 0 and fig.bbox.overlaps(box)]
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if _overlap(a, b)]


def segment_numbers(ax: Axes, segments: Iterable[tuple[float, float, float, str]], upright: bool, fontsize: float = 8) -> None:
    """Numbers in the segments of stacked bars, where they fit; the others are left to the axis.

    `segments` are (place of the bar, start, end, text); `upright` bars grow upwards. The limits of the axes must stand.
    """
    low, high = sorted(ax.get_ylim() if upright else ax.get_xlim())
    room = (ax.bbox.height if upright else ax.bbox.width) * 72 / ax.figure.dpi  # points
    for place, start, end, text in segments:
        needed = fontsize * (1.25 if upright else 0.75 * len(text))
        if (end - start) / (high - low) * room < needed:
            continue
        middle = (start + end) / 2
        x, y = (place, middle) if upright else (middle, place)
        ax.text(x, y, text, ha="center", va="center", fontsize=fontsize, bbox=NUMBER_BOX)


def _hidden(axis: Axis) -> list[Text]:
    """The texts of an axis that are not drawn: ticks beyond its limits, and all of axes that are off."""
    if not (axis.get_visible() and axis.axes.axison):
        return axis.findobj(Text)
    low, high = sorted(axis.get_view_interval())
    room = 1e-9 * (high - low)
    beyond = [tick for tick in axis.get_major_ticks() if not low - room <= tick.get_loc() <= high + room]
    return [text for tick in beyond for text in tick.findobj(Text)]


def _overlap(a, b) -> bool:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > ALLOWED and height > ALLOWED
