"""The regions that a radiologist drew on the images of CDD-CESM, as points around them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdissect.arguments import shown
from mdissect.tables import read_text_table

TABLE = "Radiology_hand_drawn_segmentations_v2.csv"

_NAME, _SHAPE = "#filename", "region_shape_attributes"
# Points of a circle or an ellipse.
_POINTS = 64
_FARTHEST = 1e6


def read_regions(path: Path) -> dict[str, list[np.ndarray]]:
    """The regions of each file that the table names: points (n, 2), column and row, whole numbers; none for a row without.

    ValueError, which names the line: a missing column, or a shape that cannot be read.
    """
    rows = read_text_table(path, (_NAME, _SHAPE))
    regions: dict[str, list[np.ndarray]] = {}
    for line, name, cell in zip(rows.index, rows[_NAME], rows[_SHAPE], strict=True):
        own = regions.setdefault(Path(name).stem, [])
        try:
            points = shape_points(cell)
        except ValueError as error:
            raise ValueError(f"{path.name}, line {line}, column {_SHAPE!r}: {error}") from None
        own += [] if points is None else [points]
    return regions


def shape_points(cell: str) -> np.ndarray | None:
    """The points (n, 2) around a shape of the VGG Image Annotator; None for no shape.

    >>> shape_points('{"name": "point", "cx": 3, "cy": 7}').tolist()
    [[3, 7]]

    A polyline is closed; circles and ellipses become polygons. ValueError for what is no such shape.
    """
    try:
        shape = json.loads(cell or "{}")
    except (ValueError, RecursionError):
        raise ValueError(f"{shown(cell)} is not JSON") from None
    if shape == {}:
        return None
    kind = shape.get("name") if isinstance(shape, dict) else None
    if not isinstance(kind, str) or kind not in _SHAPES:
        raise ValueError(f"{shown(cell)} is no shape; expected a name ({', '.join(_SHAPES)})")
    try:
        points = np.array(_SHAPES[kind](shape), dtype=np.float64)
    except OverflowError:  # a whole number beyond all floats
        points = np.empty(0)
    if not points.size or not (np.abs(points) < _FARTHEST).all():
        raise ValueError(f"{shown(cell)} has no points, or some that lie in no mammogram")
    return np.rint(points).astype(np.int64)


def _number(shape: dict, key: str, default: float | None = None) -> float:
    value = shape.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a {shape['name']} needs the number {key}; found {shown(value)}")
    return value


def _numbers(shape: dict, key: str) -> list[float]:
    values = shape.get(key)
    if not isinstance(values, list) or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise ValueError(f"a {shape['name']} needs the list of numbers {key}; found {shown(values)}")
    return values


def _polygon(shape: dict) -> Any:
    columns, rows = _numbers(shape, "all_points_x"), _numbers(shape, "all_points_y")
    if len(columns) != len(rows):
        raise ValueError(f"a {shape['name']} of {len(columns)} columns and {len(rows)} rows")
    return list(zip(columns, rows, strict=True))


def _ellipse(shape: dict) -> Any:
    """An ellipse, or a circle: radii r, or rx and ry; theta turns rx from the columns towards the rows."""
    radii = ("r", "r") if shape["name"] == "circle" else ("rx", "ry")
    across, down = (_number(shape, radius) for radius in radii)
    if across < 0 or down < 0:
        raise ValueError(f"a {shape['name']} needs radii that are not negative; found {across:g}, {down:g}")
    angles, theta = 2 * np.pi * np.arange(_POINTS) / _POINTS, _number(shape, "theta", 0)
    x, y = across * np.cos(angles), down * np.sin(angles)
    turned = (x * np.cos(theta) - y * np.sin(theta), x * np.sin(theta) + y * np.cos(theta))
    return np.stack(turned, axis=1) + np.array([_number(shape, "cx"), _number(shape, "cy")], dtype=np.float64)


def _rectangle(shape: dict) -> Sequence[tuple[float, float]]:
    left, top, width, height = (_number(shape, key) for key in ("x", "y", "width", "height"))
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]


def _point(shape: dict) -> Sequence[tuple[float, float]]:
    return [(_number(shape, "cx"), _number(shape, "cy"))]


_SHAPES = {
    "polygon": _polygon, "polyline": _polygon, "ellipse": _ellipse, "circle": _ellipse, "rect": _rectangle, "point": _point,
}  # fmt: skip
