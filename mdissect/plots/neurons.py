"""Plots of single neurons: concepts as bars, strongest images with boxes and activation; nothing is computed here."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mdissect.arguments import INTEGER, has_keys, table_with
from mdissect.dissection import shown_id
from mdissect.plots.style import CATEGORY_COLOURS, NUMBER_BOX, category_legend, group_style, mammogram, plain_texts, styled
from mdissect.signatures import validated

if TYPE_CHECKING:
    from mdissect.study import NeuronCase

BOX_COLOUR = "#FF2D2D"
# From transparent to bright cyan: readers of all colour visions see it beside red boxes and on grey tissue.
HEAT = LinearSegmentedColormap.from_list(
    "heat",
    [(0.0, (0.0, 0.8, 1.0, 0.0)), (0.35, (0.0, 0.8, 1.0, 0.0)), (0.7, (0.0, 0.85, 1.0, 0.35)), (1.0, (0.5, 1.0, 1.0, 0.8))],
)
CAPTION_WIDTH = 24
ID_WIDTH = 20


@styled
@validated(concepts=table_with("concept", "similarity", "broad_category", made_by="Dissection.labels(...)"))
def concept_bars(ax: Axes, concepts: pd.DataFrame, threshold: float | None = None) -> Axes:
    """A neuron's top concepts as bars in the colours of their broad categories, the best on top.

    >>> concept_bars(ax, found.labels(top=5).query("neuron == 7"), threshold=3.2)  # doctest: +SKIP

    Parameters
    ----------
    concepts : DataFrame
        Columns concept, similarity, broad_category (of several, "a; b", the first counts) and, optional, has_word: whether the
        concept's name is bold.
    threshold : float, optional
        The layer's tau, drawn as a dashed line.
    """
    for row, entry in enumerate(concepts.itertuples()):
        ax.barh(row, entry.similarity, height=0.72, **group_style(entry.broad_category))
        number = {"fontsize": 8, "va": "center", "bbox": NUMBER_BOX}
        ax.annotate(f"{entry.similarity:.2f}", (0, row), (6, 0), textcoords="offset points", **number)
    ax.set_yticks(range(len(concepts)), [textwrap.fill(name, 24) for name in concepts.concept], fontsize=9)
    for tick, bold in zip(ax.get_yticklabels(), concepts.get("has_word", [False] * len(concepts)), strict=True):
        tick.set_fontweight("bold" if bold else "normal")
    ax.invert_yaxis()
    ax.margins(x=0.06)
    if threshold is not None:
        ax.axvline(threshold, color="black", ls="--", lw=1)
        above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        ax.annotate(f"threshold {threshold:.2f}", (threshold, 1), (0, 3), fontsize=8, **above)
    ax.set_xlabel("similarity")
    return ax


@validated()
def marked_image(
    ax: Axes, image: np.ndarray, boxes: Iterable[Mapping] = (), heat: np.ndarray | None = None, caption: str = ""
) -> Axes:
    """An image in its true aspect with red boxes and a neuron's activation map.

    >>> marked_image(ax, image, [{"xmin": 10, "ymin": 20, "xmax": 40, "ymax": 60}], heat)  # doctest: +SKIP

    Parameters
    ----------
    image : array (height, width[, 3])
    boxes : iterable of mapping
        xmin, ymin, xmax, ymax in pixels of the image.
    heat : array (height, width), optional
        The neuron's activation; where it is strong it is drawn in cyan.
    """
    mammogram(ax, image, caption)
    if heat is not None:
        from mdissect.localize import overlay  # imports torch, which plots without activation do not need

        ax.imshow(overlay(heat), cmap=HEAT, vmin=0, vmax=1, interpolation="bilinear")
    for position, box in enumerate(boxes):
        has_keys(f"boxes[{position}]", box, "xmin", "ymin", "xmax", "ymax")
        corner, extent = (box["xmin"] - 0.5, box["ymin"] - 0.5), (box["xmax"] - box["xmin"], box["ymax"] - box["ymin"])
        ax.add_patch(Rectangle(corner, *extent, fill=False, edgecolor=BOX_COLOUR, lw=1.4))
    return ax


@validated()
def draw_case(fig: Figure, case: "NeuronCase", title: str = "") -> Figure:
    """A neuron's concepts to the left, its strongest images to the right: with boxes above, with activation below.

    >>> draw_case(plt.figure(figsize=(13, 7)), cases.neuron_case(found, target, probe, place, "implant"))  # doctest: +SKIP

    Parameters
    ----------
    case : study.NeuronCase
    title : str
        By default neuron and layer.
    """
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
    fig.suptitle(title or f"Neuron {case.neuron} of {case.layer}: top concepts, strongest images, where it responds")
    plain_texts(fig)
    return fig


@validated()
def caption(row: pd.Series) -> str:
    """What is known of an image, in lines: its id (shortened when long), view and density, findings with their details.

    >>> caption(pd.Series({"image": "17", "view": "CC", "findings": "mass", "mass_shape": "oval"}))
    '17\\nCC\\nmass (oval)'

    Parameters
    ----------
    row : Series
        Of `Dissection.top_images`. Details of a finding ("mass") are the texts in columns of that name and of names that begin
        with it ("mass_shape").
    """
    facts = {name: row[name] for name in row.index if isinstance(row[name], str) and row[name]}
    view = " ".join(facts[name] for name in ("laterality", "view") if name in facts)
    density = f"density {facts['density']}" if "density" in facts else ""
    lines = [_short(shown_id(row.image, row.get("patient"))), ", ".join(part for part in (view, density) if part)]
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


@styled
@validated(mark=INTEGER)
def rate_histogram(ax: Axes, rates: np.ndarray, mark: int, chance: float) -> Axes:
    """The rates of a layer's neurons as a histogram; lines mark one neuron and chance.

    >>> rate_histogram(ax, hits.mean(axis=0), mark=7, chance=0.12)  # doctest: +SKIP

    Parameters
    ----------
    rates : array (n_neurons,)
        From 0 to 1.
    mark : int
        The neuron that is marked.
    chance : float
        The rate expected by chance.
    """
    seaborn.histplot(rates, bins=40, binrange=(0, 1), color="#BBBBBB", alpha=1, ax=ax)
    ax.axvline(rates[mark], color=BOX_COLOUR, lw=2, label=f"neuron {mark}: {rates[mark]:.0%}")
    ax.axvline(chance, color="black", lw=1.5, ls="--", label=f"chance: {chance:.0%}")
    ax.set_xlim(0, 1)
    ax.legend()
    return ax
