"""Figures on disk: PNG, SVG and JSON with settings and drawn values, written anew only when something changed."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from mdissect.files import whole_file, write_atomically
from mdissect.plots.drawn import drawn_values, rounded_svg, same_drawing
from mdissect.plots.style import plain_texts


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
    plain_texts(fig)
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
