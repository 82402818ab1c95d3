"""How an explorer shows a neuron: pictures as bytes, bars and histogram as HTML in the theme's own colours, a static figure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from mdissect.explorer_data import EVERYTHING, Group
from mdissect.plots import CATEGORY_COLOURS, UNGROUPED

PICTURE_HEIGHT, PICTURE_WIDTH = 256, 320
SHOWN_HEIGHT = 165
GROUP_COLOURS = ("#E69F00", "#0091D5", "#009E73", "#D55E00", "#CC79A7", "#8C8C8C")
GROUP_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")
TEXT = "color:var(--jp-ui-font-color1,#222);font:13px/1.35 var(--jp-ui-font-family,sans-serif)"
FAINT = "color:var(--jp-ui-font-color2,#666)"


@dataclass(frozen=True)
class Picture:
    """A small picture of an image: uint8 array (height, width[, 3]), its JPEG, and why it is not what was asked for ("")."""

    array: np.ndarray
    jpeg: bytes
    problem: str = ""

    @property
    def shown_width(self) -> int:
        """In pixels, for the shown height."""
        return round(self.array.shape[1] * SHOWN_HEIGHT / self.array.shape[0])


class Pictures:
    """Small pictures of a probe's images in their true aspect, each made once; with activation where a target is given.

    Parameters
    ----------
    probe : Probe or None
    target : Target or None
    """

    def __init__(self, probe=None, target=None):
        self.probe, self.target = probe, target
        self._positions = {} if probe is None else {image_id: i for i, image_id in enumerate(probe.ids)}
        self._made: dict[tuple, Picture] = {}

    def picture(self, image_id: str, place: tuple[str, int] | None = None) -> Picture:
        """The picture of an image; with a place (layer, neuron), where in it that neuron answers.

        A grey tile with the id where the image is not in the probe or cannot be read, without activation where the layer has
        no places: `Picture.problem` says so.
        """
        key = (image_id, place)
        if key not in self._made:
            self._made[key] = self._make(image_id, place)
        return self._made[key]

    def _make(self, image_id: str, place: tuple[str, int] | None) -> Picture:
        if self.probe is None:
            return _grey(image_id, "no probe was given")
        if image_id not in self._positions:
            return _grey(image_id, f"not among the images of {self.probe.name}")
        try:
            image = self.probe[self._positions[image_id]]
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            return _grey(image_id, f"cannot be read: {error}")
        small = _small(image)
        if place is None:
            return _picture(small)
        try:
            return _picture(self._with_heat(small, image, *place))
        except ValueError as error:
            return _picture(small, f"no activation to show: {error}")

    def _with_heat(self, small: np.ndarray, image: np.ndarray, layer: str, neuron: int) -> np.ndarray:
        from mdissect.localize import activation_maps, overlay, upsample
        from mdissect.plots_neurons import HEAT

        (maps,) = activation_maps(self.target, layer, [image])
        heat = HEAT(overlay(upsample(maps[neuron], small.shape[:2])))
        below = np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small
        mixed = below * (1 - heat[..., 3:]) + 255 * heat[..., :3] * heat[..., 3:]
        return mixed.astype(np.uint8)


def concept_bars_html(concepts: pd.DataFrame, threshold: float | None, searched: Sequence[str] = ()) -> str:
    """Bars of similarity in the colours of broad categories (written out too), a line at the threshold; HTML."""
    if concepts.empty:
        return f'<div style="{TEXT}">This neuron cannot be named.</div>'
    ends = [0.0, *concepts.similarity, *([] if threshold is None else [threshold])]
    low, span = min(ends), (max(ends) - min(ends)) * 1.02 or 1.0
    at = [100 * (value - low) / span for value in (0.0, threshold if threshold is not None else 0.0)]
    line = "" if threshold is None else f'<i style="{_LINE}left:{at[1]:.1f}%"></i>'
    rows = []
    for row in concepts.itertuples():
        colour = CATEGORY_COLOURS.get(row.broad_category, UNGROUPED)
        end = 100 * (row.similarity - low) / span
        bar = f"left:{min(at[0], end):.1f}%;width:{abs(end - at[0]):.1f}%;background:{colour}"
        weight = "bold" if row.concept in searched else "normal"
        group = f'<small style="{FAINT};font-weight:normal">{escape(row.broad_category)}</small>'
        rows.append(
            f'<span style="font-weight:{weight}">{escape(row.concept)}<br>{group}</span>'
            f'<span style="position:relative;height:18px"><i style="{_BAR}{bar}"></i>{line}</span>'
            f"<span>{row.similarity:.2f}</span>"
        )
    told = "" if threshold is None else f'<small style="{FAINT}">dashed: threshold {threshold:.2f}</small>'
    return f'<div class="mdissect-bars" style="{TEXT};{_GRID}">{"".join(rows)}<span></span><span>{told}</span></div>'


def histogram_html(edges: np.ndarray, groups: Sequence[Group], split: str) -> str:
    """Lines of each group's share of images over the activation, and a table with their AUC; HTML with SVG."""
    if not groups:
        return ""
    width, height, top = 520, 120, max(group.shares.max() for group in groups) or 1.0
    lines, rows = [], []
    for group, colour, dash in zip(groups, GROUP_COLOURS, GROUP_DASHES, strict=False):
        steps = np.repeat(np.linspace(0, width, len(edges)), 2)[1:-1]
        level = height - np.repeat(group.shares, 2) / top * (height - 6)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(steps, level, strict=True))
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        lines.append(f'<polyline points="{points}" fill="none" {stroke}/>')
        key = f'<svg width="34" height="8"><line x1="0" y1="4" x2="34" y2="4" {stroke}/></svg>'
        auc = "" if np.isnan(group.auc) else f"AUC {group.auc:.2f}"
        rows.append(f"<tr><td>{key}</td><td>{escape(group.name)}</td><td>{group.n_images} images</td><td>{auc}</td></tr>")
    told = "" if split == EVERYTHING else "Share of each group’s images; AUC: these against all others."
    table = f'<div><div style="{FAINT}">{told}</div><table style="border-spacing:10px 0">{"".join(rows)}</table></div>'
    style = f"{TEXT};display:flex;flex-wrap:wrap;gap:18px;align-items:center"
    return f'<div class="mdissect-histogram" style="{style}">{_plot(lines, edges, width, height)}{table}</div>'


def _plot(lines: Sequence[str], edges: np.ndarray, width: int, height: int) -> str:
    """Lines over an axis of activations; SVG."""
    at, below = {"start": 0, "middle": width / 2, "end": width}, height + 15
    told = {"start": f"{edges[0]:.3g}", "middle": "activation", "end": f"{edges[-1]:.3g}"}
    texts = "".join(f'<text x="{at[end]}" y="{below}" text-anchor="{end}">{text}</text>' for end, text in told.items())
    axis = f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" stroke="currentColor"/>'
    style = "fill:currentColor;font-size:12px"
    return f'<svg width="{width}" height="{height + 20}" style="{style}">{axis}{"".join(lines)}{texts}</svg>'


def caption_html(row: pd.Series, picture: Picture) -> str:
    """What is known of an image: id, activation, view, density, findings, and what is wrong with its picture."""
    facts = [" ".join(_text(row, name) for name in ("laterality", "view") if _text(row, name))]
    facts += [f"density {_text(row, 'density')}"] if _text(row, "density") else []
    lines = [f"<b>{escape(row.image)}</b>", f"activation {row.activation:.3g}", escape(", ".join(f for f in facts if f))]
    lines += [escape(_text(row, "findings") or "no finding")] if "findings" in row.index else []
    lines += [f"<i>{escape(picture.problem)}</i>"] if picture.problem else []
    width = max(picture.shown_width, 103)
    inner = "<br>".join(line for line in lines if line)
    return f'<div class="mdissect-caption" style="{TEXT};font-size:11px;width:{width}px;overflow-wrap:anywhere">{inner}</div>'


def _text(row: pd.Series, name: str) -> str:
    value = row.get(name)
    return "" if value is None or value is pd.NA or value != value else str(value)


def _small(image: np.ndarray) -> np.ndarray:
    """An image (height, width[, 3]) as uint8 of at most the pictures' size; other types are stretched from least to most."""
    from PIL import Image

    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    small = Image.fromarray(image)
    small.thumbnail((PICTURE_WIDTH, PICTURE_HEIGHT), reducing_gap=2)
    return np.asarray(small)


def _picture(array: np.ndarray, problem: str = "") -> Picture:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=88)
    return Picture(array, buffer.getvalue(), problem)


def _grey(image_id: str, problem: str) -> Picture:
    """A grey tile that bears the id."""
    from PIL import Image, ImageDraw

    tile = Image.new("L", (160, PICTURE_HEIGHT), 128)
    lines = [image_id[start : start + 22] for start in range(0, len(image_id), 22)][:8]
    ImageDraw.Draw(tile).multiline_text((80, 128), "\n".join(lines), fill=255, anchor="mm", align="center")
    return _picture(np.asarray(tile), problem)


_GRID = "display:grid;grid-template-columns:minmax(130px,38%) 1fr 3.2em;gap:3px 10px;align-items:center"
_BAR = "position:absolute;top:0;height:18px;border-radius:2px;"
_LINE = "position:absolute;top:-6px;height:30px;border-left:2px dashed var(--jp-ui-font-color1,#222);"
