"""Figures on disk: PNG, SVG and JSON with settings and drawn values, written anew only when something changed."""

import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from mdissect.files import checksum, without_folders, write_in_turn
from mdissect.plots.drawn import drawn_values, rounded_svg, same_drawing
from mdissect.plots.overprint import overlapping_texts
from mdissect.plots.style import plain_texts
from mdissect.signatures import validated

IDENTIFIER = "Identifier"  # in the metadata of both pictures: which JSON they belong to
PNG_END = b"IEND\xaeB`\x82"
DRAWN = ("drawn", "overprints")  # what stands in the JSON beside the settings


@validated()
def save_figure(fig: Figure, stem: str | os.PathLike, settings: Mapping, private: bool = False) -> Path:
    """Write <stem>.png, .svg and .json; the settings stand in the metadata of both pictures and in the JSON.

    >>> save_figure(fig, "figures/demo/counts", {"rule": "top", "top_k": 60})  # doctest: +SKIP
    PosixPath('figures/demo/counts.png')

    The JSON also holds the drawn values (see `mdissect.plots.drawn`) and the texts that are printed over each other
    (`overprints`; there should be none). Nothing is written when both pictures exist and belong
    to the JSON, and the JSON has the same settings and, up to rounding, the same values. All three files are complete on the
    disk before the first is renamed, and the JSON is renamed last. Both pictures hold its checksum: the next run notices a
    figure that was only half replaced when the process died, and writes it again.

    Parameters
    ----------
    stem : str or path
        The files' common path, without an ending; its folder is made when missing.
    settings : mapping
        What the figure was drawn from, see `plain_settings`.
    private : bool
        Let only the owner read the files.

    Returns
    -------
    Path
        Of the PNG.

    Raises
    ------
    OSError
        The files cannot be written; the old ones are untouched.
    """
    stem = Path(stem)
    plain_texts(fig)
    png, svg, beside = _files(stem)
    settings, drawn, over = plain_settings(settings), drawn_values(fig), [list(pair) for pair in overlapping_texts(fig)]
    before = saved_settings(stem) or {}
    known = {name: before.pop(name, None) for name in DRAWN}
    unchanged = same_drawing(known["drawn"], drawn) and known["overprints"] == over and before == settings
    if unchanged and _belong_together(stem):
        return png
    text = json.dumps(settings, indent=1, sort_keys=True)
    values = ",\n  ".join(json.dumps(artist, ensure_ascii=False) for artist in drawn)  # an artist a line
    head = text.removesuffix("}").rstrip() + ("," if settings else "")
    head += f'\n "overprints": {json.dumps(over, ensure_ascii=False)},'
    document = f'{head}\n "drawn": [\n  {values}\n ]\n}}\n'.encode()
    metadata = {"Description": text, IDENTIFIER: _mark(document)}
    fig.savefig(pixels := io.BytesIO(), format="png", dpi=150, bbox_inches="tight", metadata=metadata)
    fig.set_layout_engine("none")  # everything has its place now: a second layout takes longer than the drawing
    with rc_context({"svg.hashsalt": "mdissect"}):  # the same drawing gives the same SVG, byte by byte
        fig.savefig(picture := io.StringIO(), format="svg", bbox_inches="tight", metadata={**metadata, "Date": None})
    write_in_turn({png: pixels.getvalue(), svg: rounded_svg(picture.getvalue()).encode(), beside: document}, private)
    return png


@validated()
def plain_settings(settings: Mapping) -> dict:
    """Settings as they are written: JSON's values, other things as text, without the folders of this machine."""
    return json.loads(json.dumps(without_folders(settings)))


@validated()
def saved_settings(stem: str | os.PathLike) -> dict | None:
    """The JSON beside a figure: its settings and what was `DRAWN`; None where there is none or it is damaged."""
    try:
        found = json.loads(_files(Path(stem))[2].read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _files(stem: Path) -> tuple[Path, Path, Path]:
    """A figure's PNG, SVG and JSON."""
    png, svg, beside = (stem.with_name(stem.name + ending) for ending in (".png", ".svg", ".json"))
    return png, svg, beside


def _mark(document: bytes) -> str:
    """What stands in the pictures that belong to a JSON, whatever its line ends."""
    return "mdissect-" + checksum(document.replace(b"\r\n", b"\n"))


def _belong_together(stem: Path) -> bool:
    """Whether both pictures are there, whole, and bear the mark of the JSON; those of older versions bear none."""
    png, svg, beside = _files(stem)
    if not (png.is_file() and svg.is_file()):
        return False
    pixels, drawing = png.read_bytes(), svg.read_bytes()
    marks = {mark for picture in (pixels, drawing) for mark in re.findall(rb"mdissect-[0-9a-f]{32}", picture)}
    whole = pixels.endswith(PNG_END) and drawing.rstrip().endswith(b"</svg>")
    return whole and marks <= {_mark(beside.read_bytes()).encode()}
