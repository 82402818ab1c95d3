"""Two drawings that introduce a study: how a neuron gets its label, and which concepts there are."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from mdissect.arguments import AT_LEAST_ONE, table_with
from mdissect.plots.style import group_style, styled, text_colour
from mdissect.signatures import validated

WIDTH, HEIGHT = 100, 44  # of the method's drawing, in units of its axes
# Left, bottom, width, height; colour; title and what stands below it.
BOXES = {
    "target": (20, 28, 20, 11, "#D55E00", "Target", "the network that is dissected:\nlayers of neurons"),
    "dissector": (20, 5, 20, 11, "#0072B2", "Dissector", "an image-text model: one tower\nfor images, one for concepts"),
    "q": (45, 28, 17, 11, "#D55E00", "Activations q", "how strongly each neuron\nresponds to each image"),
    "P": (45, 5, 17, 11, "#0072B2", "Matches P", "how well each image\nmatches each concept"),
    "score": (66, 16, 15.5, 12, "#444444", "SoftWPMI", "compares q with P: do a\nneuron's top images\nmatch the concept?"),
    "label": (85.5, 16, 14, 12, "#007A59", "Label", "the best concept;\nit counts from the\nthreshold tau on"),
}
ARROWS = (("target", "q"), ("dissector", "P"), ("score", "label"))
MOST_IMAGES = 3
NEEDS_MORE = "#E5E5E5"


@styled
@validated(n_images=AT_LEAST_ONE)
def draw_method(ax: Axes, images: Sequence[np.ndarray], n_images: int, concepts: Sequence[str]) -> Axes:
    """How a neuron gets its label, from left to right: the paper's figure 1.

    >>> draw_method(ax, [probe[0], probe[1], probe[2]], len(probe), concepts.names)  # doctest: +SKIP

    Parameters
    ----------
    ax : Axes
        About 11 x 4.6 inches.
    images : sequence of array
        Examples of the probe; the first three are shown.
    n_images : int
        How many images the probe has.
    concepts : sequence of str
        The concept set; three of them are written out.
    """
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.set_axis_off()
    shown = list(images)[:MOST_IMAGES]
    for i, image in enumerate(shown):
        part = ax.inset_axes((1 + 2.4 * i, 17.5 - 2.2 * i, 9, 15), transform=ax.transData)
        part.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
        part.set(xticks=[], yticks=[])
    ax.text(8, 36, f"Probe\n{n_images} images", ha="center", va="center", fontsize=9)
    for left, bottom, width, height, colour, title, words in BOXES.values():
        look = {"boxstyle": "round,pad=0,rounding_size=1", "facecolor": "white", "edgecolor": colour, "lw": 1.8}
        ax.add_patch(FancyBboxPatch((left, bottom), width, height, **look))
        middle, top = left + width / 2, bottom + height
        ax.text(middle, top - 2.6, title, ha="center", va="center", fontsize=10, fontweight="bold", color=text_colour(colour))
        ax.text(middle, top - 4.6, words, ha="center", va="top", fontsize=8, linespacing=1.25)
    for start, end in ARROWS:
        _arrow(ax, _side(start, 1), _side(end, 0))
    _arrow(ax, (15.5, 27), (19.7, 33))
    _arrow(ax, (15.5, 17), (19.7, 11))
    _arrow(ax, (62.3, 33.5), (65.7, 25))
    _arrow(ax, (62.3, 10.5), (65.7, 19))
    names = list(concepts)
    some = names[:: len(names) // 8][1:4] if len(names) >= 8 else names[:3]
    examples = textwrap.fill(", ".join(f"“{name}”" for name in some) + ", …", 40)
    ax.text(30, 22.6, f"{len(names)} concepts:\n{examples}", ha="center", va="center", fontsize=8)
    _arrow(ax, (30, 19), (30, 16.3))
    return ax


@validated(counts=table_with("broad_category", "category", "concepts", "needs_more", made_by="coverage.concept_counts(...)"))
def draw_concepts(fig: Figure, counts: pd.DataFrame) -> Figure:
    """The concept set by category, a panel for each broad category: the paper's figure 3.

    >>> draw_concepts(plt.figure(), coverage.concept_counts(concepts))  # doctest: +SKIP

    Parameters
    ----------
    fig : Figure
        Empty, about 11 x 5.5 inches.
    counts : DataFrame
        Columns broad_category, category, concepts, and needs_more: how many of these one mammogram cannot show.
    """
    groups = [(name, rows) for name, rows in counts.groupby("broad_category", sort=False)]
    half = np.searchsorted(np.cumsum([len(rows) for _, rows in groups]), len(counts) / 2) + 1
    outer = fig.add_gridspec(1, 2)
    for part, side in zip(outer, (groups[:half], groups[half:]), strict=True):
        if side:
            inner = part.subgridspec(len(side), 1, height_ratios=[len(rows) + 0.8 for _, rows in side])
            for i, (name, rows) in enumerate(side):
                _group_bars(fig.add_subplot(inner[i]), name, rows)
    handles = [
        Patch(facecolor="#777777", label="one mammogram can show it"),
        Patch(
            facecolor=NEEDS_MORE,
            hatch="///",
            edgecolor="#777777",
            label="needs more: a prior exam, several views, ultrasound, ...",
        ),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return fig


@styled
def _group_bars(ax: Axes, name: str, rows: pd.DataFrame) -> Axes:
    """The categories of one broad category: concepts that one mammogram can show, then the others."""
    colour = group_style(name)["facecolor"]
    places, shown = range(len(rows)), rows.concepts - rows.needs_more
    ax.barh(places, shown, 0.7, color=colour)
    ax.barh(places, rows.needs_more, 0.7, left=shown, color=NEEDS_MORE, hatch="///", edgecolor=colour)
    for place, n in zip(places, rows.concepts, strict=True):
        ax.annotate(f"{n}", (n, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(places, rows.category, fontsize=8)
    ax.set(ylim=(len(rows) - 0.5, -0.6), xticks=[])
    ax.margins(x=0.12)
    ax.set_title(
        f"{name}: {rows.concepts.sum()} concepts", fontsize=9, loc="left", color=text_colour(colour), fontweight="bold"
    )
    return ax


def _side(name: str, which: int) -> tuple[float, float]:
    """The middle of a box's left (0) or right (1) side, a little outside."""
    left, bottom, width, height, *_ = BOXES[name]
    return left + (width + 0.3 if which else -0.3), bottom + height / 2


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": "#444444", "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look)
