"""Implants, clips, pacemaker and markers."""

import numpy as np

from mdissect.phantom.mammograms.anatomy import Breast, Streams, place
from mdissect.phantom.mammograms.drawing import Plate, sigmoid


def draw_implant(streams: Streams, breast: Breast, plate: Plate, kind: str) -> None:
    """An implant: silicone is white throughout, saline shows its shell, folds and valve."""
    grid, unit, (nipple_y, nipple_x) = breast.grid, breast.grid.unit, breast.nipple
    patient, rng = streams.patient("implant"), streams.view("implant")
    wide, tall = nipple_x * patient.uniform(0.5, 0.6), breast.half_height * patient.uniform(0.56, 0.72)
    centre_x = nipple_x * rng.uniform(0.04, 0.14)
    centre_y = nipple_y - (grid.height * rng.uniform(0.02, 0.07) if breast.oblique else 0)
    dx = grid.x - centre_x
    dy = grid.y - centre_y + (0.25 * dx if breast.oblique else 0)
    size = np.hypot(dx / wide, dy / tall)
    body = sigmoid((1 - size) * min(wide, tall) / (0.9 * unit)) * (breast.depth > 2 * unit)
    if kind == "silicone":
        filling = 0.93 + 0.04 * np.exp(-(((1 - size) / 0.05) ** 2))
    else:
        filling = 0.56 + 0.1 * np.clip(size, 0, 1) ** 3 + 0.24 * np.exp(-(((1 - size) / 0.04) ** 2))
        for _ in range(int(patient.integers(2, 5))):  # folds of the shell
            slope, shift, bow = patient.uniform(-0.5, 0.5), patient.uniform(-0.6, 0.6), patient.uniform(-0.9, 0.9)
            fold = (dy / tall - shift - slope * dx / wide - bow * (dx / wide) ** 2) * tall
            start = patient.uniform(0, 0.5) * wide
            filling += 0.11 * np.exp(-((fold / (1.4 * unit)) ** 2)) * sigmoid((dx - start) / (4 * unit))
        valve = np.hypot(dx - patient.uniform(0.35, 0.6) * wide, dy - patient.uniform(-0.2, 0.2) * tall) / unit
        filling += 0.22 * np.exp(-(((valve - 3.2) / 1.0) ** 2)) + 0.1 * (valve < 3)
    plate.image += body * (filling - plate.image) - 0.04 * np.exp(-(((size - 1.07) / 0.04) ** 2)) * breast.inside
    breast.implant = body
    plate.note("implant", body > 0.5)


def draw_biopsy_clip(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """One biopsy marker: a ribbon, a coil or a wing."""
    unit = breast.grid.unit
    y, x = place(breast, rng, 6 * unit)
    kind, size = int(rng.integers(3)), rng.uniform(3.0, 3.8) * unit
    if kind == 0:
        plate.metal.curve((y - 0.7 * size, x - size), (y + 0.7 * size, x + size), 2.6, bend=0.5 * size)
        plate.metal.curve((y + 0.7 * size, x - size), (y - 0.7 * size, x + size), 2.6, bend=0.5 * size)
    elif kind == 1:
        turns = np.linspace(0, 5 * np.pi, 60)
        plate.metal.points(y + 0.6 * size * np.sin(turns) + 0.3 * unit * (turns - 8), x + 0.6 * size * np.cos(turns), 1.0)
    else:
        plate.metal.curve((y + 0.5 * size, x - size), (y - 0.6 * size, x), 2.6)
        plate.metal.curve((y - 0.6 * size, x), (y + 0.5 * size, x + size), 2.6)
    window, dy, dx = plate.window(y, x, size + 2 * unit)
    plate.note("biopsy clip", np.hypot(dy, dx) < size + 1.5 * unit, window)


def draw_surgical_clips(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """Four to six short bars around a surgical bed."""
    unit = breast.grid.unit
    y, x = place(breast, rng, 14 * unit)
    count, radius, start = int(rng.integers(4, 7)), rng.uniform(7, 12) * unit, rng.uniform(0, 2 * np.pi)
    around = start + np.arange(count) * (2 * np.pi / count) + rng.normal(0, 0.25, count)
    reach = radius * rng.uniform(0.6, 1.1, count)
    rows, columns = y + reach * np.sin(around), x + reach * np.cos(around)
    for y0, x0, turn in zip(rows, columns, rng.uniform(0, np.pi, count), strict=True):
        half_y, half_x = 2.2 * unit * np.sin(turn), 2.2 * unit * np.cos(turn)
        plate.metal.curve((y0 - half_y, x0 - half_x), (y0 + half_y, x0 + half_x), 2.6)
    plate.note_points("surgical clips", rows, columns, 3 * unit)


def draw_pacemaker(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """A pacemaker's can over the muscle with its header, and the lead that leaves towards the heart."""
    grid, unit = breast.grid, breast.grid.unit
    y, x = rng.uniform(0.08, 0.13) * grid.height, rng.uniform(0.1, 0.17) * grid.width
    radius = rng.uniform(12, 14) * unit
    window, dy, dx = plate.window(y, x, radius + 2 * unit)
    size = (dy / radius) ** 4 + (dx / (0.85 * radius)) ** 4
    inner = np.hypot(dy - 0.2 * radius, dx) < 0.5 * radius
    plate.image[window] = np.where(size < 1, 0.98 - 0.2 * inner, plate.image[window])
    plate.note("pacemaker", size < 1, window)
    end = y + rng.uniform(48, 70) * unit, -3.0
    plate.metal.curve((y + 0.7 * radius, x + 0.3 * radius), end, 1.5, bend=-rng.uniform(14, 22) * unit)


def draw_nipple_marker(_: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """A steel ball (BB) on the nipple."""
    unit, (y, x) = breast.grid.unit, breast.nipple
    window, dy, dx = plate.window(y, x - 2.5 * unit, 6 * unit)
    distance = np.hypot(dy, dx)
    y, x = np.nonzero(distance < 3.2 * unit)
    plate.metal.points(y + window[0].start, x + window[1].start, 2.0 / unit**2)
    plate.note("nipple marker", distance < 3.6 * unit, window)


def draw_scar_marker(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """A thin wire that the technologist taped along a scar on the skin."""
    unit = breast.grid.unit
    y, x = place(breast, rng, 12 * unit)
    turn, half = np.pi / 2 + rng.uniform(-0.6, 0.6), rng.uniform(12, 18) * unit
    half_y, half_x = half * np.sin(turn), half * np.cos(turn)
    bend = rng.choice([-1, 1]) * rng.uniform(3, 7) * unit
    wire_y, wire_x = plate.metal.curve((y - half_y, x - half_x), (y + half_y, x + half_x), 1.8, bend=bend)
    plate.note_points("scar marker", wire_y, wire_x, 1.6 * unit)
