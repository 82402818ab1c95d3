"""Drawings of single neurons: concepts as bars, strongest images with boxes and activation; nothing is computed here."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mdissect.plots.style import CATEGORY_COLOURS, CATEGORY_HATCHES, UNGROUPED, category_legend, mammogram

if TYPE_CHECKING:
    from mdissect.study import NeuronCase

BOX_COLOUR = "#FF2D2D"
# From nothing to bright cyan: told from red boxes and from grey tissue by readers of all colour visions.
HEAT = LinearSegmentedColormap.from_list(
    "heat",
    [(0.0, (0.0, 0.8, 1.0, 0.0)), (0.35, (0.0, 0.8, 1.0, 0.0)), (0.7, (0.0, 0.85, 1.0, 0.35)), (1.0, (0.5, 1.0, 1.0, 0.8))],
)
CAPTION_WIDTH = 24
ID_WIDTH = 20
LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2}


def concept_bars(ax: Axes, concepts: pd.DataFrame, threshold: float | None = None) -> Axes:
    """A neuron's foremost concepts as bars in the colours of their broad categories, the best on top.

    `concepts` has the columns concept, similarity, broad_category (of several, "a; b", the first counts) and perhaps has_word,
    where it is set the name is bold. `threshold` is drawn as a dashed line.
    """
    for row, entry in enumerate(concepts.itertuples()):
        category = entry.broad_category.partition("; ")[0]
        style = {"color": CATEGORY_COLOURS.get(category, UNGROUPED), "hatch": CATEGORY_HATCHES.get(category, "")}
        ax.barh(row, entry.similarity, height=0.72, edgecolor="white", lw=0.6, **style)
        ax.annotate(
            f"{entry.similarity:.2f}", (0, row), (6, 0), textcoords="offset points", va="center", fontsize=8, bbox=LABEL
        )
    ax.set_yticks(range(len(concepts)), [textwrap.fill(name, 24) for name in concepts.concept], fontsize=9)
    for tick, bold in zip(ax.get_yticklabels(), concepts.get("has_word", [False] * len(concepts)), strict=True):
        tick.set_fontweight("bold" if bold else "normal")
    ax.invert_yaxis()
    ax.margins(x=0.06)
    if threshold is not None:
        ax.axvline(threshold, color="black", ls="--", lw=1)
        ax.annotate(
            f"threshold {threshold:.2f}",
            (threshold, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
        )
    ax.set_xlabel("similarity")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def marked_image(
    ax: Axes, image: np.ndarray, boxes: Iterable[Mapping] = (), heat: np.ndarray | None = None, caption: str = ""
) -> Axes:
    """An image in its true aspect with boxes in red and, over it, where a neuron answers (`heat`, height x width)."""
    mammogram(ax, image, caption)
    if heat is not None:
        from mdissect.localize import overlay  # brings torch, which drawings without activation need not wait for

        ax.imshow(overlay(heat), cmap=HEAT, vmin=0, vmax=1, interpolation="bilinear")
    for box in boxes:
        corner, extent = (box["xmin"] - 0.5, box["ymin"] - 0.5), (box["xmax"] - box["xmin"], box["ymax"] - box["ymin"])
        ax.add_patch(Rectangle(corner, *extent, fill=False, edgecolor=BOX_COLOUR, lw=1.4))
    return ax


def draw_case(fig: Figure, case: "NeuronCase", title: str = "") -> Figure:
    """A neuron's concepts to the left, its strongest images to the right: with boxes above, with activation below."""
    grid = fig.add_gridspec(2, len(case.images) + 1, width_ratios=[1.9] + [1] * len(case.images))
    bars = fig.add_subplot(grid[:, 0])
    concept_bars(bars, case.concepts, case.threshold)
    shown = list(dict.fromkeys(name.partition("; ")[0] for name in case.concepts.broad_category))
    category_legend(bars, [name for name in CATEGORY_COLOURS if name in shown], loc="upper left", bbox_to_anchor=(-0.1, -0.1))
    for column, (image, heat, boxes) in enumerate(zip(case.images, case.heats, case.boxes, strict=True), start=1):
        row = case.top.iloc[column - 1]
        marked_image(fig.add_subplot(grid[0, column]), image, boxes).set_title(
            f"{column}. activation {row.activation:.2f}", fontsize=9
        )
        marked_image(fig.add_subplot(grid[1, column]), image, boxes, heat, caption(row))
    fig.suptitle(title or f"Neuron {case.neuron} of {case.layer}: foremost concepts, strongest images, where it answers")
    return fig


def caption(row: pd.Series) -> str:
    """What is known of an image, in lines: its id (shortened when long), view and density, findings with their details.

    `row` is one of `Dissection.top_images`. Details of a finding ("mass") are what its columns of that name, or of names
    that begin with it ("mass_shape"), tell.
    """
    facts = {name: row[name] for name in row.index if isinstance(row[name], str) and row[name]}
    about = [" ".join(facts[name] for name in ("laterality", "view") if name in facts)]
    about += [f"density {facts['density']}"] if "density" in facts else []
    lines = [_short(row.image), ", ".join(part for part in about if part)]
    if isinstance(row.get("findings"), str):
        findings = [_detailed(name, facts) for name in row.findings.split("; ") if name]
        lines += findings or ["no finding"]
    return "\n".join(textwrap.fill(line, CAPTION_WIDTH, subsequent_indent="  ") for line in lines if line)


def _short(image_id: str) -> str:
    """ "f01d8a1c1c7f65f7ac200a3252b398f46" to "f01d8a1c...2b398f46"."""
    return image_id if len(image_id) <= ID_WIDTH else f"{image_id[:8]}...{image_id[-8:]}"


def _detailed(finding: str, facts: Mapping[str, str]) -> str:
    """ "mass" to "mass (oval, circumscribed)"."""
    stem = finding.replace(" ", "_")
    details = [
        f"{text} density" if name == f"{stem}_density" else text
        for name, text in facts.items()
        if (name == stem or name.startswith(f"{stem}_")) and text != finding
    ]
    return f"{finding} ({', '.join(details)})" if details else finding


def rates(ax: Axes, values: np.ndarray, mark: int, chance: float) -> Axes:
    """How a rate (n_neurons,) is spread over the neurons of a layer; one of them and chance are marked by lines."""
    ax.hist(values, bins=np.linspace(0, 1, 41), color="#BBBBBB", edgecolor="white")
    ax.axvline(values[mark], color=BOX_COLOUR, lw=2, label=f"neuron {mark}: {values[mark]:.0%}")
    ax.axvline(chance, color="black", lw=1.5, ls="--", label=f"chance: {chance:.0%}")
    ax.set_xlim(0, 1)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
