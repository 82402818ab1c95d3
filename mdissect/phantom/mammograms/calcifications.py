"""Calcifications by distribution (where they lie) and morphology (how each looks)."""

import numpy as np

from mdissect.phantom.mammograms.anatomy import Breast, place
from mdissect.phantom.mammograms.drawing import Array, Plate
from mdissect.phantom.mammograms.factors import Calcification

FINDING = "calcification"
# Per distribution: how many calcifications (a range) and the radius that should be free around its centre.
_COUNTS = {"grouped": (10, 18), "linear": (12, 20), "segmental": (24, 38), "regional": (26, 40), "diffuse": (44, 70)}
_ROOM = {"grouped": 8, "linear": 16, "segmental": 24, "regional": 20, "diffuse": 4}


def draw_calcification(rng: np.random.Generator, breast: Breast, plate: Plate, calcification: Calcification) -> None:
    """Draw one breast's calcifications and note their footprint."""
    alone = {"popcorn": _popcorn, "rim": _rim, "vascular": _vascular, "skin": _skin}
    if draw := alone.get(calcification.morphology):
        draw(rng, breast, plate)
        return
    share, spread, draw = _SCATTERED[calcification.morphology]
    y, x, ductal = _scatter(rng, breast, calcification.distribution, share, spread)
    draw(rng, plate, y, x, ductal)
    plate.note_points(FINDING, y, x, 3 * breast.grid.unit)


def _scatter(
    rng: np.random.Generator, breast: Breast, distribution: str, share: float, spread: float
) -> tuple[Array, Array, float]:
    """Places (y, x) of scattered calcifications inside the breast and the duct's direction (towards the nipple)."""
    unit, free = breast.grid.unit, breast.free(4.0)
    centre = place(breast, rng, _ROOM[distribution] * unit)
    if distribution == "diffuse":
        centre = breast.nipple[0], breast.nipple[1] / 2
    ductal = float(np.arctan2(breast.nipple[0] - centre[0], breast.nipple[1] - centre[1]))
    count = max(int(rng.integers(*_COUNTS[distribution]) * share), 4)
    dy, dx = _offsets(rng, breast, distribution, ductal, 4 * count)
    dy, dx = spread * dy, spread * dx
    for shrink in (1.0, 0.6, 0.3, 0.0):  # a pattern that does not fit is drawn smaller
        y, x = centre[0] + shrink * dy, centre[1] + shrink * dx
        row, column = np.round(y).astype(int), np.round(x).astype(int)
        fits = (row >= 0) & (column >= 0) & (row < free.shape[0]) & (column < free.shape[1])
        fits[fits] = free[row[fits], column[fits]]
        if fits.sum() >= count or shrink == 0:
            break
    keep = np.flatnonzero(fits)[:count] if fits.any() else np.arange(count)
    return y[keep], x[keep], ductal


def _offsets(rng: np.random.Generator, breast: Breast, distribution: str, ductal: float, count: int) -> tuple[Array, Array]:
    """Offsets (dy, dx) from the centre of a distribution, most of them to be used."""
    unit = breast.grid.unit
    if distribution == "linear":
        along, across = rng.uniform(-1, 1, count) * rng.uniform(15, 21) * unit, rng.normal(0, 0.9 * unit, count)
        return along * np.sin(ductal) + across * np.cos(ductal), along * np.cos(ductal) - across * np.sin(ductal)
    if distribution == "segmental":  # a wedge with its tip towards the nipple
        along, angle = rng.random(count) ** 0.7 * rng.uniform(44, 58) * unit, ductal + rng.uniform(-0.3, 0.3, count)
        return 26 * unit * np.sin(ductal) - along * np.sin(angle), 26 * unit * np.cos(ductal) - along * np.cos(angle)
    if distribution == "diffuse":
        dy = rng.uniform(-1.2, 1.0, count) * breast.half_height
        return dy, rng.uniform(-0.5, 0.5, count) * breast.nipple[1]
    radius = (rng.uniform(5, 8) if distribution == "grouped" else rng.uniform(20, 27)) * unit
    angle, reach = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.random(count))
    return reach * np.sin(angle), reach * np.cos(angle)


def _fine_pleomorphic(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Sharp specks of varying size and brightness."""
    spread = 0.7 * plate.grid.unit
    for _ in range(2):
        shift_y, shift_x = rng.normal(0, spread, (2, len(y)))
        plate.specks.points(y + shift_y, x + shift_x, rng.uniform(0.25, 1.0, len(y)))


def _fine_linear_branching(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Casts of ducts: thin short lines, half of them with a branch."""
    unit = plate.grid.unit
    for start in zip(y, x, strict=True):
        angle, length = ductal + rng.normal(0, 0.45), rng.uniform(2.5, 5) * unit
        _stroke(plate, start, angle, length, 0.6)
        branch = start[0] + 0.5 * length * np.sin(angle), start[1] + 0.5 * length * np.cos(angle)
        if rng.random() < 0.5:
            _stroke(plate, branch, angle + 0.8, 2.6 * unit, 0.45)


def _amorphous(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Hazy, too small to have a visible shape."""
    plate.haze.points(y, x, rng.uniform(1.5, 2.2, len(y)))
    shift_y, shift_x = rng.normal(0, 0.8 * plate.grid.unit, (2, len(y)))
    plate.specks.points(y + shift_y, x + shift_x, 0.14)


def _coarse_heterogeneous(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Irregular, larger than half a millimetre, of varying size."""
    unit = plate.grid.unit
    for spot in zip(y, x, strict=True):
        plate.disc(*spot, rng.uniform(0.9, 1.8) * unit, rng.uniform(0.3, 0.5))
        plate.specks.points(spot[0] + rng.normal(0, 0.9) * unit, spot[1] + rng.normal(0, 0.9) * unit, 0.4)


def _round(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Smooth discs of one size."""
    for spot in zip(y, x, strict=True):
        plate.disc(*spot, 1.25 * plate.grid.unit, 0.5)


def _rod_like(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Smooth thick rods along ducts (secretory disease)."""
    unit = plate.grid.unit
    for y0, x0 in zip(y, x, strict=True):
        angle, length = ductal + rng.normal(0, 0.25), rng.uniform(4.5, 7.5) * unit
        for side in (-0.35 * unit, 0.35 * unit):
            _stroke(plate, (y0 + side * np.cos(angle), x0 - side * np.sin(angle)), angle, length, 0.36)


def _dystrophic(rng: np.random.Generator, plate: Plate, y: Array, x: Array, ductal: float) -> None:
    """Large, irregular, often with a lucent centre, after surgery or trauma."""
    unit = plate.grid.unit
    for y0, x0 in zip(y, x, strict=True):
        radius, angle = rng.uniform(1.6, 3.0) * unit, np.linspace(0, 2 * np.pi, 40)
        turn_3, turn_5 = rng.uniform(0, 2 * np.pi, 2)
        lumps = radius * (1 + 0.25 * np.cos(3 * angle + turn_3) + 0.15 * np.cos(5 * angle + turn_5))
        weight = rng.uniform(0.08, 0.2, 40) * radius / unit
        plate.specks.points(y0 + lumps * np.sin(angle), x0 + lumps * np.cos(angle), weight)


# Per morphology: how many and how far apart, relative to the distribution's usual, and how to draw them.
_SCATTERED = {
    "fine pleomorphic": (1.0, 1.0, _fine_pleomorphic),
    "fine linear branching": (0.8, 1.1, _fine_linear_branching),
    "amorphous": (1.0, 1.0, _amorphous),
    "coarse heterogeneous": (0.9, 1.2, _coarse_heterogeneous),
    "round": (0.9, 1.1, _round),
    "rod-like": (0.22, 1.0, _rod_like),
    "dystrophic": (0.28, 1.5, _dystrophic),
}


def _stroke(plate: Plate, start: tuple[float, float], angle: float, length: float, weight: float) -> None:
    plate.specks.curve(start, (start[0] + length * np.sin(angle), start[1] + length * np.cos(angle)), weight)


def _popcorn(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """An involuting fibroadenoma: one coarse lumpy clump."""
    unit = breast.grid.unit
    y, x = place(breast, rng, 9 * unit)
    radius = rng.uniform(4, 6) * unit
    angle, reach = rng.uniform(0, 2 * np.pi, 14), radius * np.sqrt(rng.random(14))
    lumps_y, lumps_x = y + reach * np.sin(angle), x + reach * np.cos(angle)
    for spot in zip(lumps_y, lumps_x, strict=True):
        plate.disc(*spot, rng.uniform(1.2, 2.4) * unit, 0.4)
    plate.note_points(FINDING, lumps_y, lumps_x, 2.4 * unit)


def _rim(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """Eggshells: one or two thin rings."""
    unit, angle = breast.grid.unit, np.linspace(0, 2 * np.pi, 60)
    for _ in range(int(rng.integers(1, 3))):
        y, x = place(breast, rng, 8 * unit)
        radius = rng.uniform(4, 6.5) * unit
        ring_y, ring_x = y + radius * np.sin(angle), x + radius * rng.uniform(0.8, 1) * np.cos(angle)
        plate.specks.points(ring_y, ring_x, 0.34 * radius / (5 * unit))
        plate.note_points(FINDING, ring_y, ring_x, 1.5 * unit)


def _vascular(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """Broken parallel tracks along a winding artery."""
    unit, free = breast.grid.unit, breast.free(5.0)
    y, x = place(breast, rng, 22 * unit)
    length = rng.uniform(45, 62) * unit
    direction = np.arctan2(breast.nipple[0] - y, breast.nipple[1] - x) + rng.normal(0, 0.5)
    along = np.linspace(-0.5, 0.5, int(length * 1.6 / unit))
    sway = rng.uniform(5, 9) * unit * rng.choice([-1, 1]) * np.sin(2 * np.pi * along)
    rows, columns = [], []
    for side in (-1.5 * unit, 1.5 * unit):
        track_y = y + length * along * np.sin(direction) + (sway + side) * np.cos(direction)
        track_x = x + length * along * np.cos(direction) - (sway + side) * np.sin(direction)
        row = np.clip(np.round(track_y).astype(int), 0, free.shape[0] - 1)
        column = np.clip(np.round(track_x).astype(int), 0, free.shape[1] - 1)
        weight = (rng.random(len(along)) < 0.62) * rng.uniform(0.25, 0.6, len(along)) * free[row, column]
        plate.specks.points(track_y, track_x, weight)
        rows.append(track_y[weight > 0])
        columns.append(track_x[weight > 0])
    plate.note_points(FINDING, np.concatenate(rows), np.concatenate(columns), 1.5 * unit)


def _skin(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """Tiny rings with a lucent centre in the skin."""
    unit, angle = breast.grid.unit, np.linspace(0, 2 * np.pi, 14)
    middle = breast.nipple[0] + rng.choice([-1, 1]) * rng.uniform(0.25, 0.55) * breast.half_height
    count = int(rng.integers(6, 10))
    y = middle + (np.arange(count) - count / 2 + rng.uniform(-0.3, 0.3, count)) * 4.5 * unit
    x = np.array([breast.edge_at(v) for v in y]) - rng.uniform(2.5, 6, len(y)) * unit
    for y0, x0 in zip(y, x, strict=True):
        radius = rng.uniform(1.2, 1.7) * unit
        plate.specks.points(y0 + radius * np.sin(angle), x0 + radius * np.cos(angle), 0.24)
    plate.note_points(FINDING, y, x, 2.5 * unit)
