"""Masses, architectural distortion, asymmetry and lymph nodes."""

import numpy as np

from mdissect.phantom.mammograms.anatomy import Breast, place
from mdissect.phantom.mammograms.drawing import Array, Plate, sigmoid
from mdissect.phantom.mammograms.factors import Mass

_MASS_CONTRAST = {"low": 0.30, "equal": 0.42, "high": 0.58}
_ASPECT = {"oval": (0.55, 0.7), "round": (0.95, 1.0), "irregular": (0.7, 0.95)}
_EDGE_WIDTH = {"circumscribed": 0.55, "obscured": 0.55, "indistinct": 3.6, "microlobulated": 0.7, "spiculated": 1.2}


def draw_mass(rng: np.random.Generator, breast: Breast, plate: Plate, mass: Mass) -> None:
    """A mass: outline by shape, edge by margin, brightness by density; spicules where it is spiculated."""
    unit = breast.grid.unit
    radius = (rng.uniform(6.5, 11) if mass.margin == "spiculated" else rng.uniform(8.5, 15)) * unit
    y, x = place(breast, rng, radius)
    window, dy, dx = plate.window(y, x, radius * 2 + 6 * unit)
    distance, angle, border = _mass_outline(rng, mass, radius, dy, dx)
    edge_width = _EDGE_WIDTH[mass.margin] * unit
    body = sigmoid((border - distance) / edge_width)
    tissue, thickness = plate.image[window], breast.thickness[window]
    if mass.margin == "obscured":
        hidden = np.clip(0.5 + 1.6 * np.cos(angle - rng.uniform(0, 2 * np.pi)), 0, 1)
        body = body * (1 - hidden) + hidden * sigmoid((border - distance) / (4.5 * unit))
    if mass.density == "fat-containing":
        _fill_with_fat(tissue, border - distance, body, unit)
    else:
        dome = 0.72 + 0.28 * np.sqrt(np.clip(1 - (distance / (border * 1.05)) ** 2, 0, 1))
        if mass.margin == "circumscribed":
            tissue -= 0.05 * np.exp(-(((distance - border - 2.2 * unit) / (1.5 * unit)) ** 2)) * thickness
        tissue += _MASS_CONTRAST[mass.density] * body * dome * thickness * (1 - 0.55 * np.clip(tissue, 0, 1))
    if mass.margin == "obscured":
        veil = np.exp(-(((distance - border) / (6 * unit)) ** 2)) * hidden
        tissue += 0.3 * veil * np.clip(0.8 + 0.35 * breast.texture[window], 0, 1.5) * (1 - 0.5 * np.clip(tissue, 0, 1))
    if mass.margin == "spiculated":
        _draw_spicules(rng, plate, (y, x), radius, 2.4 * _MASS_CONTRAST[mass.density])
    plate.note("mass", (distance < border) & (breast.inside[window] > 0.5), window)


def _mass_outline(rng: np.random.Generator, mass: Mass, radius: float, dy: Array, dx: Array) -> tuple[Array, Array, Array]:
    """Distance from the centre, angle, and the outline's distance in that direction, in the mass's own frame."""
    turn, aspect = rng.uniform(0, np.pi), rng.uniform(*_ASPECT[mass.shape])
    along, across = _turned(dy, dx, turn)
    across = across / aspect
    distance, angle = np.hypot(along, across) + 1e-3, np.arctan2(across, along)
    border = np.full_like(distance, radius)
    if mass.shape == "irregular":
        for wave in range(2, 7):
            border += radius * 0.17 * rng.normal() / np.sqrt(wave - 1) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    if mass.margin == "microlobulated":
        lobes = int(rng.integers(6, 10))
        border += radius * (0.24 * np.abs(np.cos(lobes * angle / 2 + rng.uniform(0, 2 * np.pi))) - 0.14)
    return distance, angle, np.maximum(border, 0.45 * radius)


def _turned(dy: Array, dx: Array, angle: float) -> tuple[Array, Array]:
    """Offsets along and across a direction."""
    return dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)


def _fill_with_fat(tissue: Array, inward: Array, body: Array, unit: float) -> None:
    """Fat in a thin capsule (oil cyst, hamartoma, lipoma): darker than all around it, in place."""
    tissue += body * (0.19 - tissue) * 0.85
    tissue += 0.24 * np.exp(-(((inward - 0.6 * unit) / (0.9 * unit)) ** 2))


def _draw_spicules(rng: np.random.Generator, plate: Plate, centre: tuple[float, float], radius: float, weight: float) -> None:
    count, unit = int(rng.integers(15, 23)), plate.grid.unit
    (y, x), start = centre, rng.uniform(0, 2 * np.pi)
    for angle in start + np.arange(count) * (2 * np.pi / count) + rng.normal(0, 0.12, count):
        sine, cosine, length = np.sin(angle), np.cos(angle), radius * rng.uniform(1.7, 3.0)
        near, far = (y + 0.75 * radius * sine, x + 0.75 * radius * cosine), (y + length * sine, x + length * cosine)
        plate.strands.curve(near, far, weight, bend=rng.normal(0, 1.2) * unit, taper=True)


def draw_distortion(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """Architectural distortion: spicules that meet in a point without a mass, a little fat in the middle."""
    unit = breast.grid.unit
    y, x = place(breast, rng, 16 * unit)
    plate.add(y, x, 14 * unit, lambda dy, dx: -0.06 * np.exp(-((dy**2 + dx**2) / (5 * unit) ** 2)))
    count, start, reach = int(rng.integers(13, 20)), rng.uniform(0, 2 * np.pi), 0.0
    for angle in start + np.arange(count) * (2 * np.pi / count) + rng.normal(0, 0.1, count):
        sine, cosine, length = np.sin(angle), np.cos(angle), rng.uniform(15, 30) * unit
        shift_y, shift_x = rng.normal(0, 1.3, 2) * unit
        near = y + shift_y + 3.5 * unit * sine, x + shift_x + 3.5 * unit * cosine
        far = y + length * sine, x + length * cosine
        plate.strands.curve(near, far, 1.1, bend=rng.normal(0, 1.8) * unit, taper=True)
        reach += 0.8 * length / count
    window, dy, dx = plate.window(y, x, reach)
    plate.note("architectural distortion", (np.hypot(dy, dx) < reach) & (breast.inside[window] > 0.5), window)


def draw_asymmetry(rng: np.random.Generator, breast: Breast, plate: Plate, kind: str) -> None:
    """More fibroglandular tissue than on the other side: an area with texture and no convex border."""
    unit = breast.grid.unit
    low, high = {"asymmetry": (13, 17), "focal": (13, 18), "global": (30, 40)}[kind]
    radius = rng.uniform(low, high) * unit
    y, x = place(breast, rng, radius * (0.6 if kind == "global" else 0.75))
    stretch, turn = rng.uniform(0.65, 0.9), rng.uniform(0, np.pi)
    window, dy, dx = plate.window(y, x, 2 * radius)
    along, across = _turned(dy, dx, turn)
    ragged = (0.32 * breast.texture[window] + 0.14 * breast.ducts[window]) * (0.6 if kind == "global" else 1)
    area = sigmoid((1 - np.hypot(along / radius, across / (radius * stretch)) + ragged) / 0.13)
    area = area * breast.inside[window] * (1 - breast.muscle[window])
    if breast.implant is not None:
        area *= 1 - breast.implant[window]
    grain = np.clip(0.85 + 0.2 * breast.texture[window] + 0.2 * breast.ducts[window], 0.3, 1.5)
    tissue = plate.image[window]
    tissue += 0.48 * area * grain * breast.thickness[window] ** 0.6 * (1 - 0.6 * np.clip(tissue, 0, 1))
    plate.note("asymmetry", area > 0.5, window)


def draw_lymph_nodes(rng: np.random.Generator, breast: Breast, plate: Plate, kind: str) -> None:
    """Bean-shaped nodes with a fatty hilum: one or two in the axilla, or one within the breast."""
    unit, grid = breast.grid.unit, breast.grid
    for _ in range(int(rng.integers(1, 4)) if kind == "axillary" else 1):
        radius, turn = rng.uniform(6.5, 9) * unit, rng.uniform(-0.6, 0.9)
        if kind == "axillary":
            y = rng.uniform(0.05, 0.3) * grid.height
            x = min(rng.uniform(0.1, 0.42) * grid.width, breast.edge_at(y) - radius - 4 * unit)
        else:
            y, x = place(breast, rng, radius)
        window, dy, dx = plate.window(y, x, radius * 1.7)
        along, across = _turned(dy, dx, turn)
        size = np.hypot(along / radius, across / (radius * 0.64))
        cortex = sigmoid((1 - size) * radius / (0.6 * unit)) * (breast.inside[window] > 0.5)
        hilum = np.exp(-((along / (radius * 0.45)) ** 2) - ((across - radius * 0.26) / (radius * 0.3)) ** 2)
        tissue = plate.image[window]
        tissue += cortex * (0.36 - 0.46 * hilum) * (1 - 0.3 * np.clip(tissue, 0, 1))
        plate.note("lymph node", cortex > 0.5, window)
