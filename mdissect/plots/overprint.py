"""Texts of a figure that are printed over each other, and numbers placed so that they are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from mdissect.plots.style import NUMBER_BOX
from mdissect.signatures import validated

NUMBER_SIZE = 8  # of the numbers in bars
LEADER = {"arrowstyle": "-", "lw": 0.6, "color": "#555555", "shrinkA": 0, "shrinkB": 0}
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


@dataclass(frozen=True)
class Segment:
    """A part of a stacked bar: the `place` of its number across the bar, its `start` and `end` along it, and the number.

    `edge` is where the bar ends on the side of the numbers that do not fit into it: left of upright bars, above lying ones.
    """

    place: float
    start: float
    end: float
    text: str
    edge: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def segment_numbers(ax: Axes, segments: Iterable[Segment], upright: bool) -> None:
    """Numbers in the segments of stacked bars; those that do not fit stand beside the bar, with a thin line to their segment.

    `upright` bars grow upwards. The limits of the axes must stand.
    """
    low, high = sorted(ax.get_ylim() if upright else ax.get_xlim())
    scale = points_along(ax, upright) / (high - low)  # points per unit
    beside: dict[float, list[Segment]] = {}
    for one in segments:
        if (one.end - one.start) * scale < room_for(one.text, upright):
            beside.setdefault(one.edge, []).append(one)
            continue
        x, y = (one.place, one.middle) if upright else (one.middle, one.place)
        ax.text(x, y, one.text, ha="center", va="center", fontsize=NUMBER_SIZE, bbox=NUMBER_BOX)
    for of_bar in beside.values():
        _beside(ax, sorted(of_bar, key=lambda one: one.middle), upright, scale)


def room_for(text: str, upright: bool) -> float:
    """The length of a segment, in points, that its number needs."""
    return NUMBER_SIZE * (1.25 if upright else 0.75 * len(text))


def points_along(ax: Axes, upright: bool) -> float:
    """The height of an axes, or its width, in points."""
    return (ax.bbox.height if upright else ax.bbox.width) * 72 / ax.figure.dpi


def _beside(ax: Axes, segments: Sequence[Segment], upright: bool, scale: float) -> None:
    """The numbers of a bar's low segments, from the first one on, beside the bar and clear of each other."""
    at = -np.inf
    for one in segments:
        wanted = one.middle * scale
        half = room_for(one.text, upright) * 0.55
        at = max(wanted, at + half, half if upright else wanted)  # the first stays above the axis
        moved = at - wanted
        xy, offset = ((one.edge, one.middle), (-4, moved)) if upright else ((one.middle, one.edge), (moved, 3))
        at_bar = {"textcoords": "offset points", "annotation_clip": False}
        ax.annotate("", xy, offset, arrowprops=LEADER, **at_bar)  # of its own: it would count as a part of the number's box
        ax.annotate(
            one.text, xy, offset, fontsize=NUMBER_SIZE - 1,
            ha="right" if upright else "center", va="center" if upright else "bottom", **at_bar,
        )  # fmt: skip
        at += half


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
