"""Plots of single neurons: concepts as bars, strongest images with boxes and activation; nothing is computed here."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter

from mdissect.arguments import INTEGER, has_keys, table_with
from mdissect.dissection import shown_id
from mdissect.plots.style import CATEGORY_COLOURS, NUMBER_BOX, STYLE, group_style, mammogram, plain_texts, styled
from mdissect.signatures import validated

if TYPE_CHECKING:
    from mdissect.study import NeuronCase

BOX_COLOUR, FRAME_COLOUR, HEAT_COLOUR = "#FF2D2D", "#FFFFFF", "#40D0FF"
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
        Columns concept, similarity, broad_category (of several, "a; b", the first counts) and, optional, has_word (whether the
        concept's name is bold) and needs (what it takes beyond one mammogram, written below the name).
    threshold : float, optional
        The layer's tau, drawn as a dashed line.
    """
    for row, entry in enumerate(concepts.itertuples()):
        ax.barh(row, entry.similarity, height=0.72, **group_style(entry.broad_category))
        number = {"fontsize": 8, "va": "center", "bbox": NUMBER_BOX}
        ax.annotate(f"{entry.similarity:.2f}", (0, row), (6, 0), textcoords="offset points", **number)
    needs = concepts.get("needs", [""] * len(concepts))
    named = [_with_needs(name, need) for name, need in zip(concepts.concept, needs, strict=True)]
    ax.set_yticks(range(len(concepts)), named, fontsize=9)
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
    ax: Axes,
    image: np.ndarray,
    boxes: Iterable[Mapping] = (),
    heat: np.ndarray | None = None,
    caption: str = "",
    mask: np.ndarray | None = None,
    highest: float | None = None,
) -> Axes:
    """An image in its true aspect with a finding marked in red and a neuron's activation map.

    >>> marked_image(ax, image, [{"xmin": 10, "ymin": 20, "xmax": 40, "ymax": 60}], heat)  # doctest: +SKIP

    Parameters
    ----------
    image : array (height, width[, 3])
    boxes : iterable of mapping
        xmin, ymin, xmax, ymax in pixels of the image.
    heat : array (height, width), optional
        The neuron's activation; where it is strong it is drawn in cyan.
    mask : bool array (height, width), optional
        The pixels of the finding: outlined in place of the boxes.
    highest : float, optional
        The activation at the end of the scale, see `mdissect.localize.overlay`.
    """
    mammogram(ax, image, caption)
    if heat is not None:
        from mdissect.localize import overlay  # imports torch, which plots without activation do not need

        ax.imshow(overlay(heat, highest), cmap=HEAT, vmin=0, vmax=1, interpolation="bilinear")
    if mask is not None:
        return _outline(ax, mask)
    for position, box in enumerate(boxes):
        has_keys(f"boxes[{position}]", box, "xmin", "ymin", "xmax", "ymax")
        corner, extent = (box["xmin"] - 0.5, box["ymin"] - 0.5), (box["xmax"] - box["xmin"], box["ymax"] - box["ymin"])
        ax.add_patch(Rectangle(corner, *extent, fill=False, edgecolor=BOX_COLOUR, lw=1.4))
    return ax


@validated()
def draw_case(fig: Figure, case: "NeuronCase", network: str = "") -> Figure:
    """A neuron's concepts to the left; to the right its strongest images, its activation in them, its strongest place enlarged.

    >>> draw_case(plt.figure(figsize=(13, 9)), cases.neuron_case(found, target, probe, place, "implant"))  # doctest: +SKIP

    Parameters
    ----------
    case : study.NeuronCase
        The finding is outlined where its pixels are known, and in boxes where it is marked by these.
    network : str
        Its name, for the title.
    """
    grid = fig.add_gridspec(3, len(case.images) + 1, width_ratios=[1.9] + [1] * len(case.images), height_ratios=[1, 1, 0.65])
    concept_bars(fig.add_subplot(grid[:2, 0]), case.concepts, case.threshold)
    _case_legend(fig.add_subplot(grid[2, 0]), case)
    for column, row in enumerate(case.top.itertuples()):
        plain, heated, zoomed = (fig.add_subplot(grid[line, column + 1]) for line in range(3))
        image, patch, marks = case.images[column], case.patches[column], (case.boxes[column], case.masks[column])
        marked_image(plain, image, marks[0], mask=marks[1]).set_title(
            f"{column + 1}. activation {row.activation:.2f}", fontsize=9
        )
        marked_image(heated, image, marks[0], case.heats[column], mask=marks[1], highest=case.highest)
        corner, extent = (patch.xmin - 0.5, patch.ymin - 0.5), (patch.xmax - patch.xmin, patch.ymax - patch.ymin)
        heated.add_patch(Rectangle(corner, *extent, fill=False, edgecolor=FRAME_COLOUR, lw=1, ls=":"))
        mammogram(zoomed, patch.pixels, caption(case.top.iloc[column]))
        if marks[1] is not None:
            _outline(zoomed, marks[1][patch.ymin : patch.ymax, patch.xmin : patch.xmax])
        if column == 0:
            for ax, words in zip((plain, heated, zoomed), ("strongest images", "activation", "strongest place"), strict=True):
                ax.set_ylabel(words, fontsize=9)
    name = f"{network}, " * bool(network) + f"layer {case.layer}, neuron {case.neuron}"
    fig.suptitle(f"{name}: label “{case.label}”")
    plain_texts(fig)
    return fig


def _case_legend(ax: Axes, case: "NeuronCase") -> None:
    """What the colours of a case mean, on axes of its own."""
    shown = {name.partition("; ")[0] for name in case.concepts.broad_category}
    what = "outline" if any(mask is not None for mask in case.masks) else "box" if any(case.boxes) else ""
    marks = [Line2D([], [], color=BOX_COLOUR, label=f"{what} of the finding: {case.word}")] if what else []
    words = f"activation: from a third of this neuron's\nmaximum here ({case.highest:.2f}), one scale for all images"
    marks.append(Patch(facecolor=HEAT_COLOUR, label=words))
    marks.append(Line2D([], [], color="#555555", ls=":", label="dotted: the strongest place, enlarged in the last row"))
    ax.set_axis_off()
    with rc_context(STYLE):
        handles = [Patch(**group_style(name), label=name) for name in CATEGORY_COLOURS if name in shown]
        ax.legend(handles=handles + marks, loc="upper left", bbox_to_anchor=(-0.45, 1), fontsize=9)


def _outline(ax: Axes, mask: np.ndarray) -> Axes:
    """A thin line around the pixels of a finding."""
    if mask.any():
        ax.contour(mask, [0.5], colors=BOX_COLOUR, linewidths=0.6)
    return ax


def _with_needs(name: str, needs: str) -> str:
    """A concept in lines, with what it needs beyond one mammogram."""
    return textwrap.fill(name, 24) + f"\n(needs {needs})" * bool(needs)


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
    """The rates of a layer's neurons as a histogram; lines mark one neuron and what a random place would reach.

    >>> rate_histogram(ax, hits.mean(axis=0), mark=7, chance=0.12)  # doctest: +SKIP

    Parameters
    ----------
    rates : array (n_neurons,)
        From 0 to 1.
    mark : int
        The neuron that is marked.
    chance : float
        The rate of a random place.
    """
    import seaborn

    seaborn.histplot(rates, bins=40, binrange=(0, 1), color="#BBBBBB", alpha=1, ax=ax)
    ax.axvline(rates[mark], color=BOX_COLOUR, lw=2, label=f"neuron {mark}: {100 * rates[mark]:.0f} %")
    ax.axvline(chance, color="black", lw=1.5, ls="--", label=f"a random place: {100 * chance:.0f} %")
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0, symbol=" %"))
    ax.legend()
    return ax
