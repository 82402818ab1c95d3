"""An explorer's view as a static figure, for pages and papermill runs; nothing is computed here."""

import io
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from mdissect.explorer_data import EVERYTHING, Group, OfImage
from mdissect.explorer_pictures import Picture
from mdissect.explorer_views import GROUP_COLOURS, facts_of
from mdissect.plots import CATEGORY_COLOURS, category_legend, mammogram
from mdissect.plots_neurons import CAPTION_WIDTH, caption, concept_bars

COLUMNS = 4
DASHES = ("-", (0, (7, 3)), (0, (2, 3)), (0, (9, 3, 2, 3)), (0, (4, 2)), (0, (1, 2)))


class ViewFigure(Figure):
    """A figure that notebooks show as a picture, whether or not pyplot was set up in them."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def draw_view(
    title: str,
    concepts: pd.DataFrame,
    threshold: float | None,
    images: Sequence[tuple[pd.Series, Picture]],
    histogram: tuple[np.ndarray, Sequence[Group], str],
    large: tuple[OfImage, Picture] | None = None,
) -> Figure:
    """Concepts and histogram to the left, images in rows, or one of them large, to the right.

    Parameters
    ----------
    concepts : DataFrame
        concept, similarity, broad_category, has_word; may be empty.
    images : list of (row of the probe's table with image and activation, Picture)
    histogram : edges, groups, name of the split
        See `mdissect.explorer_data.Reading.histogram`; without groups it is left out.
    large : OfImage and its Picture, optional
        Stands in place of the images.
    """
    fig = ViewFigure(figsize=(13, 7.5), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1, 1.25])
    axes = left.subplots(2 if histogram[1] else 1, 1, squeeze=False, height_ratios=[1.7, 1][: 2 if histogram[1] else 1])
    if concepts.empty:
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0.5, 0.5, "cannot be named", ha="center", transform=axes[0, 0].transAxes)
    else:
        concept_bars(axes[0, 0], concepts, threshold)
        shown = [name for name in CATEGORY_COLOURS if name in set(concepts.broad_category)]
        category_legend(axes[0, 0], shown, loc="upper left", bbox_to_anchor=(-0.35, -0.16), fontsize=8, ncols=2)
    if histogram[1]:
        group_lines(axes[1, 0], *histogram)
    if large:
        large_image(right, *large)
    elif images:
        gallery(right, images)
    first, *rest = title.splitlines()
    fig.suptitle("\n".join([first, *(textwrap.fill(line, 130) for line in rest)]), fontsize=11 if rest else 12)
    return fig


def large_image(fig: FigureBase, seen: OfImage, picture: Picture) -> FigureBase:
    """One image beside what is known of it, the neurons that it moves most and the concepts nearest to it."""
    left, right = fig.subplots(1, 2, width_ratios=[1.35, 1])
    mammogram(left, picture.array)
    right.set_axis_off()
    neurons = [
        f"{row.neuron}: {row.concept or 'cannot be named'} ({row.deviations:+.1f} sd)" for row in seen.neurons.itertuples()
    ]
    concepts = [f"{row.concept}: {row.likeness:.2f} ({row.deviations:+.1f} sd)" for row in seen.concepts.itertuples()]
    parts = [("", [seen.row.image, *facts_of(seen, picture)]), ("Neurons it moves most", neurons)]
    parts += [("Concepts nearest to it by the dissector", concepts)] if concepts else []
    text = "\n\n".join("\n".join(textwrap.fill(line, 42) for line in [head, *lines] if line) for head, lines in parts)
    right.text(0, 1, text, va="top", fontsize=9, transform=right.transAxes)
    return fig


def gallery(part: FigureBase, images: Sequence[tuple[pd.Series, Picture]], value: str = "activation") -> None:
    """Images in rows of `COLUMNS` (one at least), each with its `value`, what is known of it, and what is wrong with it."""
    grid = part.subplots(-(-len(images) // COLUMNS), COLUMNS, squeeze=False).ravel()
    for ax in grid[len(images) :]:
        ax.set_axis_off()
    for ax, (row, picture) in zip(grid, images, strict=False):
        lines = [f"{value} {row[value]:.2f}", caption(row), textwrap.fill(picture.problem, CAPTION_WIDTH)]
        mammogram(ax, picture.array, "\n".join(line for line in lines if line))


def group_lines(ax: Axes, edges: np.ndarray, groups: Sequence[Group], split: str) -> Axes:
    """The share of each group's images over the activation."""
    for group, colour, dash in zip(groups, GROUP_COLOURS, DASHES, strict=False):
        auc = "" if np.isnan(group.auc) else f", AUC {group.auc:.2f}"
        ax.stairs(group.shares, edges, color=colour, ls=dash, lw=1.8, label=f"{group.name} ({group.n_images} images{auc})")
    ax.set(xlabel="activation", ylabel="share of the group's images" if split != EVERYTHING else "share of images")
    ax.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), title=None if split == EVERYTHING else split)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
