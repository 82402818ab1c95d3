"""Drawing tools of the phantoms: noise fields, stroke layers, and a plate that records where each finding lies.

All lengths are in pixels of the image that is drawn; anatomy and lesions scale theirs by ``Grid.unit`` (one pixel at a
height of 256). The chest wall is at column 0 until the finished plate is mirrored.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

Array = np.ndarray

# 3 x 5 pixel letters of the burnt-in view marker (M is 5 wide).
_FONT = {
    "L": ("100", "100", "100", "100", "111"),
    "R": ("110", "101", "110", "101", "101"),
    "C": ("111", "100", "100", "100", "111"),
    "M": ("10001", "11011", "10101", "10001", "10001"),
    "O": ("111", "101", "101", "101", "111"),
    " ": ("00", "00", "00", "00", "00"),
}


def sigmoid(values: Array) -> Array:
    """Logistic function, clipped against overflow."""
    return 1 / (1 + np.exp(-np.clip(values, -20, 20)))


@dataclass(frozen=True)
class Grid:
    """Coordinates (height, width) of an image size, and the spectra of its noise fields."""

    height: int
    width: int
    unit: float
    y: Array
    x: Array
    rows: Array
    power_law: Array
    ridge_band: Array

    def field(self, rng: np.random.Generator, spectrum: Array) -> Array:
        """A random field (height, width) of the given amplitude spectrum, mean 0, standard deviation 1."""
        return shaped_noise(rng, self.height, self.width, spectrum)


@lru_cache(maxsize=8)
def make_grid(height: int, width: int) -> Grid:
    """The grid of an image size."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    power_law = frequency**-1.5  # amplitude; the power spectrum of breast tissue falls about as 1 / f^3
    power_law[frequency < 1.2 / height] *= 0.3
    power_law[0, 0] = 0
    unit = height / 256
    ridge_band = np.exp(-(((frequency - 0.055 / unit) / (0.03 / unit)) ** 2))
    spectra = power_law.astype(np.float32), ridge_band.astype(np.float32)
    return Grid(height, width, unit, y, x, np.arange(height, dtype=np.float32), *spectra)


def shaped_noise(rng: np.random.Generator, height: int, width: int, spectrum: Array) -> Array:
    """White noise (height, width) shaped by an amplitude spectrum (height, width // 2 + 1), then standardised."""
    white = rng.standard_normal((height, width), dtype=np.float32)
    values = fft.irfft2(fft.rfft2(white) * spectrum, s=(height, width))
    return (values - values.mean()) / values.std()


@lru_cache(maxsize=1)
def streak_tiles(size: int = 512, count: int = 8) -> Array:
    """Periodic tiles (count, size, size) of noise drawn out along axis 0: ducts, once wound around the nipple."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None] * 6, np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    spectrum = frequency**-1.3
    spectrum[0, 0] = 0
    return np.stack([shaped_noise(rng, size, size, spectrum.astype(np.float32)) for _ in range(count)])


class Layer:
    """Points and curves, collected first and painted at once, antialiased, with a common line width.

    Weights are brightness per pixel of length (curves) or per point at a height of 256; widths grow with the image.
    """

    def __init__(self, grid: Grid, width: float):
        self.grid = grid
        self.width = width * grid.unit
        self._parts: list[tuple[Array, Array, Array]] = []

    def points(self, y: Array, x: Array, weight: float | Array) -> None:
        """Add points at ``y``, ``x`` (arrays of one length or scalars)."""
        self._add(y, x, weight * self.grid.unit**2)

    def curve(self, start: tuple, end: tuple, weight: float, bend: float = 0.0, taper: bool = False) -> tuple:
        """Add a curve from ``start`` to ``end`` (each y, x), bowed by ``bend`` pixels; returns its points (y, x)."""
        (y0, x0), (y1, x1) = start, end
        length = max(float(np.hypot(y1 - y0, x1 - x0)), 1.0)
        steps = np.linspace(0, 1, int(length * 2) + 2, dtype=np.float32)
        bow = bend * 4 * steps * (1 - steps) / length
        y = y0 + (y1 - y0) * steps + bow * (x1 - x0)
        x = x0 + (x1 - x0) * steps - bow * (y1 - y0)
        weight = weight * (1 - steps) ** 0.7 if taper else weight
        self._add(y, x, 0.5 * weight * self.grid.unit)  # the points are half a pixel apart
        return y, x

    def _add(self, y: Array, x: Array, weight: float | Array) -> None:
        y = np.atleast_1d(np.asarray(y, dtype=np.float32))
        x = np.broadcast_to(np.asarray(x, dtype=np.float32), y.shape)
        self._parts.append((y, x, np.broadcast_to(np.asarray(weight, dtype=np.float32), y.shape)))

    def __bool__(self) -> bool:
        return bool(self._parts)

    def paint(self) -> Array:
        """The layer as an image (height, width)."""
        y, x, weight = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        canvas = np.zeros((self.grid.height, self.grid.width), np.float32)
        row, column = np.floor(y).astype(int), np.floor(x).astype(int)
        inside = (row >= 0) & (column >= 0) & (row < self.grid.height - 1) & (column < self.grid.width - 1)
        row, column, weight = row[inside], column[inside], weight[inside]
        down, right = y[inside] - row, x[inside] - column
        np.add.at(canvas, (row, column), weight * (1 - down) * (1 - right))
        np.add.at(canvas, (row, column + 1), weight * (1 - down) * right)
        np.add.at(canvas, (row + 1, column), weight * down * (1 - right))
        np.add.at(canvas, (row + 1, column + 1), weight * down * right)
        return ndimage.gaussian_filter(canvas, self.width)


@dataclass(frozen=True)
class Footprint:
    """Where a finding lies: a boolean patch and its upper left corner."""

    finding: str
    top: int
    left: int
    mask: Array

    def box(self, mirrored_width: int | None = None) -> dict[str, str | int]:
        """The smallest box around the patch, half open; ``mirrored_width`` mirrors it within that width."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        xmin, xmax = self.left + int(columns[0]), self.left + int(columns[-1]) + 1
        if mirrored_width is not None:
            xmin, xmax = mirrored_width - xmax, mirrored_width - xmin
        ymin, ymax = self.top + int(rows[0]), self.top + int(rows[-1]) + 1
        return {"finding": self.finding, "xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


@dataclass
class Plate:
    """A phantom being drawn: its tissue (height, width), stroke layers above it, and footprints of its findings."""

    grid: Grid
    image: Array
    footprints: list[Footprint] = field(default_factory=list)

    def __post_init__(self):
        self.strands = Layer(self.grid, 0.75)  # soft tissue: spicules, ligaments, vessels
        self.specks = Layer(self.grid, 0.45)  # calcium
        self.haze = Layer(self.grid, 1.25)  # calcium too small to resolve
        self.metal = Layer(self.grid, 0.45)

    def window(self, y: float, x: float, reach: float) -> tuple[tuple[slice, slice], Array, Array]:
        """The part of the image within ``reach`` of a point: slices, and offsets (rows, 1) and (1, columns)."""
        top, bottom = (int(np.clip(v, 0, self.grid.height)) for v in (y - reach, y + reach + 1))
        left, right = (int(np.clip(v, 0, self.grid.width)) for v in (x - reach, x + reach + 1))
        window = slice(top, bottom), slice(left, right)
        return window, self.grid.y[window] - np.float32(y), self.grid.x[window] - np.float32(x)

    def note(self, finding: str, mask: Array, window: tuple[slice, slice] = (slice(0), slice(0))) -> None:
        """Record a footprint given as a boolean mask of ``window`` (default: of the whole image)."""
        if mask.any():
            self.footprints.append(Footprint(finding, window[0].start or 0, window[1].start or 0, mask))

    def note_points(self, finding: str, y: Array, x: Array, radius: float) -> None:
        """Record the footprint of points: all pixels within ``radius`` of one of them."""
        centre = float(y.min() + y.max()) / 2, float(x.min() + x.max()) / 2
        reach = max(float(np.ptp(y)), float(np.ptp(x))) / 2 + radius + 1
        window, *_ = self.window(*centre, reach)
        top, left = window[0].start, window[1].start
        mask = np.zeros((window[0].stop - top, window[1].stop - left), bool)
        row, column = np.round(y - top).astype(int), np.round(x - left).astype(int)
        inside = (row >= 0) & (column >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
        mask[row[inside], column[inside]] = True
        span = int(np.ceil(radius))
        disc = np.hypot(*np.ogrid[-span : span + 1, -span : span + 1]) <= radius
        self.note(finding, ndimage.binary_dilation(mask, disc), window)

    def add(self, y: float, x: float, reach: float, brightness: Callable[[Array, Array], Array]) -> None:
        """Add ``brightness(dy, dx)`` to the image within ``reach`` of a point."""
        window, dy, dx = self.window(y, x, reach)
        self.image[window] += brightness(dy, dx)

    def disc(self, y: float, x: float, radius: float, amplitude: float) -> None:
        """Add an antialiased disc."""
        self.add(y, x, radius + 2, lambda dy, dx: amplitude * np.clip(radius - np.hypot(dy, dx) + 0.5, 0, 1))


def burn_in(image: Array, text: str, y: int, scale: int, right: bool, margin: int) -> None:
    """Write ``text`` into a corner of the image, letters 5 ``scale`` pixels high."""
    rows = ["0".join(_FONT[letter][row] for letter in text) for row in range(5)]
    letters = np.kron(np.array([[pixel == "1" for pixel in row] for row in rows]), np.ones((scale, scale), bool))
    height, width = letters.shape
    left = image.shape[1] - width - margin if right else margin
    image[y : y + height, left : left + width][letters] = 0.88
