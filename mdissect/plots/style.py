"""What all figures share: one style, one palette, legends, an image on its axes, and how a figure is saved.

The palette has a colour (Okabe-Ito, safe for colour-blind readers) and a hatch for each broad category and each setup; every
group is also written out in words.
"""

import io
import json
import os
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path

import numpy as np
import seaborn
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mdissect.concepts import OTHER, TAXONOMY
from mdissect.files import whole_file, write_atomically
from mdissect.plots.drawn import drawn_values, rounded_svg, same_drawing

CATEGORY_COLOURS = dict(zip(TAXONOMY, ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#E69F00", "#009E73"), strict=True))
CATEGORY_HATCHES = dict(zip(TAXONOMY, ("//", "..", "", "xx", "--", "\\\\"), strict=True))
DOMAIN_COLOURS = {"mammography": "#0072B2", "other": CATEGORY_COLOURS[OTHER]}
DOMAIN_HATCHES = {"mammography": "", "other": "\\\\"}
GROUP_COLOURS, GROUP_HATCHES = CATEGORY_COLOURS | DOMAIN_COLOURS, CATEGORY_HATCHES | DOMAIN_HATCHES
SETUP_COLOURS = ("#444444", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
SETUP_MARKERS = ("o", "s", "^", "D", "v", "P")
SETUP_HATCHES = ("", "//", "..", "xx", "\\\\", "--")
UNGROUPED = "#888888"
STYLE = {"legend.frameon": False, "patch.edgecolor": "white", "patch.force_edgecolor": True, "patch.linewidth": 0.6}
NUMBER_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}  # keeps a number readable on a hatch


def styled(draw: Callable[..., Axes]) -> Callable[..., Axes]:
    """A function that draws on `ax`, in the style of all figures and without a frame above and to the right."""

    @wraps(draw)
    def draw_in_style(ax: Axes, *args, **options) -> Axes:
        with rc_context(STYLE):
            draw(ax, *args, **options)
        seaborn.despine(ax=ax)
        return ax

    return draw_in_style


def group_style(group: str) -> dict[str, str]:
    """Colour and hatch of a broad category or domain; of several ("a; b") the first counts."""
    first = group.partition("; ")[0]
    return {"facecolor": GROUP_COLOURS.get(first, UNGROUPED), "hatch": GROUP_HATCHES.get(first, "")}


def setup_style(rank: int) -> dict[str, str]:
    """Colour and marker of the setup with this rank in a figure."""
    return {"color": SETUP_COLOURS[rank % len(SETUP_COLOURS)], "marker": SETUP_MARKERS[rank % len(SETUP_MARKERS)]}


def category_legend(ax: Axes | Figure, categories: list[str], **options) -> Axes | Figure:
    """A legend of broad categories (or domains) in the colours and hatches of all figures.

    >>> category_legend(ax, ["Breast locations", "Interpretations"], loc="upper left")  # doctest: +SKIP

    Parameters
    ----------
    ax : Axes or Figure
    categories : list of str
        An unknown one is grey.
    **options
        Of `ax.legend`.
    """
    with rc_context(STYLE):
        ax.legend(handles=[Patch(**group_style(name), label=name) for name in categories], **options)
    return ax


def mammogram(ax: Axes, image: np.ndarray, caption: str = "") -> Axes:
    """An image in its true aspect with a caption under it.

    >>> mammogram(ax, probe[0], probe.ids[0])  # doctest: +SKIP

    Parameters
    ----------
    image : array (height, width[, 3])
        Grey or colour.
    """
    ax.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(caption, fontsize=8)
    seaborn.despine(ax=ax, left=True, bottom=True)
    return ax


def save_figure(fig: Figure, stem: str | os.PathLike, settings: Mapping) -> Path:
    """Write <stem>.png, .svg and .json; the settings stand in the metadata of both pictures and in the JSON.

    >>> save_figure(fig, "figures/demo/counts", {"rule": "top", "top_k": 60})  # doctest: +SKIP
    PosixPath('figures/demo/counts.png')

    The JSON also holds the drawn values (see `mdissect.plots.drawn`). Nothing is written when both pictures exist and the JSON
    has the same settings and, up to rounding, the same values.

    Parameters
    ----------
    stem : str or path
        The files' common path, without an ending; its folder is made when missing.
    settings : mapping
        What the figure was drawn from; values that JSON does not know are written as text.

    Returns
    -------
    Path
        Of the PNG.
    """
    stem = Path(stem)
    png, svg, beside = (stem.with_name(stem.name + ending) for ending in (".png", ".svg", ".json"))
    text, drawn = json.dumps(settings, indent=1, sort_keys=True, default=str), drawn_values(fig)
    before = saved_settings(stem) or {}
    unchanged = same_drawing(before.pop("drawn", None), drawn) and before == json.loads(text)
    if unchanged and png.exists() and svg.exists():
        return png
    with whole_file(png) as file:
        fig.savefig(file, format="png", dpi=150, bbox_inches="tight", metadata={"Description": text})
    fig.set_layout_engine("none")  # everything has its place now: a second layout takes longer than the drawing
    with rc_context({"svg.hashsalt": "mdissect"}):  # the same drawing gives the same SVG, byte by byte
        fig.savefig(picture := io.StringIO(), format="svg", bbox_inches="tight", metadata={"Description": text, "Date": None})
    write_atomically(svg, rounded_svg(picture.getvalue()).encode())
    values = ",\n  ".join(json.dumps(artist, ensure_ascii=False) for artist in drawn)  # an artist a line
    write_atomically(beside, f'{text[:-2]},\n "drawn": [\n  {values}\n ]\n}}\n'.encode())
    return png


def saved_settings(stem: str | os.PathLike) -> dict | None:
    """The JSON beside a figure: its settings and, under "drawn", its values; None where there is none or it is damaged."""
    beside = Path(stem).with_name(Path(stem).name + ".json")
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
