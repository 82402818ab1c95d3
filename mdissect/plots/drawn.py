"""The values that a figure shows, by which it is known whether it changed; and SVG with few digits.

The values are read from the Figure itself, in the units of its axes: bars, lines, points, pictures, texts, ticks and their
colours. They are kept in the JSON beside the figure, short enough to be read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from operator import eq

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text

from mdissect.plots.rounding import first_difference

TOLERANCE = 5e-4  # of the largest of an artist's values: less than a pixel
MOST_VALUES = 200  # of an artist; more are replaced by the means of so many stretches
PICTURE = 6  # a picture is kept as the means of 6 x 6 blocks
DIGITS = 6
STYLES = ("line", "patch", "points", "style")  # words that must be the same to the last digit


def drawn_values(fig: Figure) -> list[dict]:
    """The values that a figure shows, by artist in the order of drawing, fit for JSON; lays the figure out for its ticks.

    The "figure" (its inches), "axes" (title; "place": left, bottom, width, height as parts of the figure; "x" and "y":
    limits), "ticks" (label of the axis; places and labels), "legend" (title, place), "line", "patch" and "points" (x and y;
    colours and styles as words), "picture" (shape, extent, block means per channel) and "text". Numbers have six significant
    digits; of an artist with more than 200 values their means over 200 stretches are kept.
    """
    fig.draw_without_rendering()
    return [{"figure": _numbers(fig.get_size_inches())}, *_walk(fig)]


def same_drawing(one, other) -> bool:
    """Whether two results of `drawn_values` agree: equal words and counts, numbers within half a thousandth of the largest.

    Numbers within words may differ in their last digit (see `mdissect.plots.rounding`).
    """
    if isinstance(one, str) and isinstance(other, str):
        return first_difference(one, other) is None
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if list(one) != list(other):
            return False
        return all((eq if name in STYLES else same_drawing)(one[name], other[name]) for name in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        if len(one) != len(other):
            return False
        if not all(isinstance(value, int | float) for value in (*one, *other)):
            return all(map(same_drawing, one, other))
        return bool(np.allclose(one, other, rtol=0, atol=TOLERANCE * max(map(abs, (*one, *other)), default=0)))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= TOLERANCE * max(abs(one), abs(other))
    return one == other


def rounded_svg(text: str, decimals: int = 2) -> str:
    """matplotlib's SVG with rounded coordinates (in points); its ids, hashes of the exact ones, become numbers in order.

    Scales and rotations, the metadata and pictures stay as they are.
    """
    head, end, body = text.partition("</metadata>")
    ids: dict[str, str] = {}
    body = _COORDINATES.sub(lambda match: match[1] + _MANY_DECIMALS.sub(lambda n: _short(n[0], decimals), match[2]), body)
    body = _HASHED_ID.sub(lambda match: match[1] + ids.setdefault(match[2], f"{match[3]}{len(ids) + 1}"), body)
    return head + end + body


_COORDINATES = re.compile(r"( (?:d|x|y|width|height|points)=\"|translate\()([^\")]*)")
_MANY_DECIMALS = re.compile(r"-?\d+\.\d{3,}")
_HASHED_ID = re.compile(r"((?: id=\"|href=\"#|url\(#))((image|C[0-9a-f]+_[0-9a-f]+_|[a-zA-Z])[0-9a-f]{10})(?=[\")])")


def _short(number: str, decimals: int) -> str:
    short = f"{float(number):.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def _walk(artist: Artist) -> Iterator[dict]:
    """An artist and what it holds; not the frames and backgrounds, which are the same in every figure."""
    if not artist.get_visible():
        return
    if isinstance(artist, Axes):
        title = " ".join(artist.get_title(loc) for loc in ("left", "center", "right")).strip()
        limits = artist.get_xlim(), artist.get_ylim()
        place = _numbers(artist.get_position().bounds)
        yield {"axes": title, "place": place, **{name: _numbers(pair) for name, pair in zip("xy", limits, strict=True)}}
    if isinstance(artist, Legend):
        box = artist.get_window_extent().transformed(artist.get_figure(root=True).transFigure.inverted())
        yield {"legend": artist.get_title().get_text(), "place": _numbers(box.bounds)}
    found = _described(artist)
    if found:
        yield found
    if found is None:
        hidden = {id(getattr(artist, name, None)) for name in ("patch", "title", "_left_title", "_right_title")}
        for child in artist.get_children():
            if id(child) not in hidden and not isinstance(child, Spine):
                yield from _walk(child)


def _described(artist: Artist) -> dict | None:
    """The values of one artist; None when it only holds others, {} when it shows nothing."""
    if isinstance(artist, Axis):
        places, ticks = artist.get_view_interval(), artist.get_major_ticks()
        shown = [(tick.get_loc(), tick.label1.get_text() or tick.label2.get_text()) for tick in ticks if tick.get_visible()]
        shown = [(at, label) for at, label in shown if min(places) <= at <= max(places)] if artist.get_visible() else []
        name, at = artist.get_label_text(), _numbers([at for at, _ in shown])
        return {"ticks": name, "at": at, "labels": [label for _, label in shown]} if shown or name else {}
    if isinstance(artist, Text):
        at = {"at": _numbers(artist.xy if hasattr(artist, "xy") else artist.get_position())} if artist.axes else {}
        style = f"{_colour(artist.get_color())} {artist.get_fontsize():g}"
        return {"text": artist.get_text(), "style": style, **at} if artist.get_text().strip() else {}
    if isinstance(artist, AxesImage):
        pixels = np.ma.filled(np.ma.asarray(artist.get_array(), dtype=float), np.nan)
        return {"picture": list(pixels.shape), "extent": _numbers(artist.get_extent()), "means": _numbers(_blocks(pixels))}
    if isinstance(artist, Line2D):
        style = _colour(artist.get_color()), artist.get_linestyle(), artist.get_linewidth(), artist.get_marker()
        return {"line": " ".join(map(str, style)), **_points(artist.get_xydata())}
    if isinstance(artist, Patch):
        colours = _colour(artist.get_facecolor()), _colour(artist.get_edgecolor())
        corners = artist.get_path().transformed(artist.get_patch_transform()).vertices
        return {"patch": " ".join((*colours, artist.get_hatch() or "")).strip(), **_points(corners)}
    if isinstance(artist, Collection):
        colours = [
            _colour(colour) for part in (artist.get_facecolor(), artist.get_edgecolor()) for colour in np.atleast_2d(part)
        ]
        offsets = np.ma.filled(np.ma.asarray(artist.get_offsets(), dtype=float), np.nan)
        shapes = [path.vertices for path in artist.get_paths()]
        found = {"points": " ".join(_stretches(colours)), **_points(offsets)}
        return found | ({"shapes": _numbers(np.concatenate(shapes).ravel())} if shapes else {})
    return None


def _points(xy) -> dict:
    xy = np.asarray(xy, dtype=float).reshape(-1, 2)
    return {"x": _numbers(xy[:, 0]), "y": _numbers(xy[:, 1])}


def _numbers(values) -> list:
    """Six significant digits, None for what is not a number; of many values the means of stretches."""
    values = np.asarray(values, dtype=float).ravel()
    if len(values) > MOST_VALUES:
        values = np.array([part.mean() for part in np.array_split(values, MOST_VALUES)])
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values]


def _blocks(pixels: np.ndarray) -> np.ndarray:
    """(height, width[, channels]) as the means of 6 x 6 blocks."""
    edges = [np.unique(np.linspace(0, size, PICTURE + 1).round().astype(int)) for size in pixels.shape[:2]]
    rows, columns = map(list, map(pairwise, edges))
    means = [np.nan_to_num(pixels[a:b, c:d]).mean(axis=(0, 1)) for a, b in rows for c, d in columns]
    return np.array(means)


def _colour(colour) -> str:
    return "none" if isinstance(colour, str) and colour == "none" else to_hex(colour, keep_alpha=not _opaque(colour))


def _opaque(colour) -> bool:
    return len(colour) != 4 or isinstance(colour, str) or colour[3] == 1


def _stretches(words: Sequence[str]) -> list[str]:
    """["a", "a", "b"] as ["a x2", "b"]."""
    found: list[list] = []
    for word in words:
        if found and found[-1][0] == word:
            found[-1][1] += 1
        else:
            found.append([word, 1])
    return [word if n == 1 else f"{word} x{n}" for word, n in found]
