"""What all figures share: one palette, legends, an image on its axes, and how a figure is saved.

One palette serves all figures: a colour (Okabe-Ito, safe for colour-blind readers) and a hatch for each broad category and
for each setup, and every group is also written out in words.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdissect.concepts import OTHER, TAXONOMY
from mdissect.files import whole_file, write_atomically
from mdissect.plots.drawn import drawn_values, rounded_svg, same_drawing

CATEGORY_COLOURS = dict(zip(TAXONOMY, ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#E69F00", "#009E73"), strict=True))
CATEGORY_HATCHES = dict(zip(TAXONOMY, ("//", "..", "", "xx", "--", "\\\\"), strict=True))
DOMAIN_COLOURS = {"mammography": "#0072B2", "other": CATEGORY_COLOURS[OTHER]}
DOMAIN_HATCHES = {"mammography": "", "other": "\\\\"}
SETUP_COLOURS = ("#444444", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
SETUP_MARKERS = ("o", "s", "^", "D", "v", "P")
SETUP_HATCHES = ("", "//", "..", "xx", "\\\\", "--")
UNGROUPED = "#888888"


def category_legend(ax: Axes, categories: list[str], **options) -> Axes:
    """A legend of broad categories (or domains) in the colours and hatches of all figures."""
    from matplotlib.patches import Patch

    colours, hatches = CATEGORY_COLOURS | DOMAIN_COLOURS, CATEGORY_HATCHES | DOMAIN_HATCHES
    patches = [
        Patch(facecolor=colours.get(c, UNGROUPED), hatch=hatches.get(c, ""), edgecolor="white", label=c) for c in categories
    ]
    ax.legend(handles=patches, frameon=False, **options)
    return ax


def mammogram(ax: Axes, image: np.ndarray, caption: str = "") -> Axes:
    """An image in its true aspect, grey or colour, its caption under it."""
    ax.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(caption, fontsize=8)
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def save_figure(fig: Figure, stem: str | os.PathLike, settings: Mapping) -> Path:
    """Write <stem>.png, .svg and .json: the settings stand in the metadata of both pictures and beside them.

    The JSON also holds what is drawn, as values (see `mdissect.plots.drawn`). Where it already has the same settings and, up
    to rounding, the same values, and both pictures are there, nothing is written.

    Returns the path of the PNG.
    """
    stem = Path(stem)
    png, svg, beside = (stem.with_name(stem.name + ending) for ending in (".png", ".svg", ".json"))
    text, drawn = json.dumps(settings, indent=1, sort_keys=True, default=str), drawn_values(fig)
    told = saved_settings(stem) or {}
    unchanged = same_drawing(told.pop("drawn", None), drawn) and told == json.loads(text)
    if unchanged and png.exists() and svg.exists():
        return png
    with whole_file(png) as file:
        fig.savefig(file, format="png", dpi=150, bbox_inches="tight", metadata={"Description": text})
    fig.set_layout_engine("none")  # everything has its place now: finding it anew takes longer than drawing
    with _fixed_svg_ids():
        fig.savefig(picture := io.StringIO(), format="svg", bbox_inches="tight", metadata={"Description": text, "Date": None})
    write_atomically(svg, rounded_svg(picture.getvalue()).encode())
    values = ",\n  ".join(json.dumps(artist, ensure_ascii=False) for artist in drawn)  # an artist a line
    write_atomically(beside, f'{text[:-2]},\n "drawn": [\n  {values}\n ]\n}}\n'.encode())
    return png


def saved_settings(stem: str | os.PathLike) -> dict | None:
    """What the JSON beside a figure tells: its settings and, under "drawn", its values; None when there is none to be read."""
    beside = Path(stem).with_name(Path(stem).name + ".json")
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _fixed_svg_ids():
    """The same drawing gives the same SVG, byte by byte."""
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": "mdissect"})


def plain(ax: Axes) -> Axes:
    """Axes without a frame above and to the right."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax
