"""Textures and materials of the natural scenes: patterns of light and dark shades of a colour.

A texture is a function ``(u, v, px, rng) -> relief``. ``u`` and ``v`` (size, size) are coordinates in 128ths of the image,
``px`` is the number of pixels per such unit, and the relief (size, size) lies in [-1, 1]: -1 is the colour's dark shade,
0 the colour itself, +1 its light shade. Edges are soft over one pixel, so that rounding does not matter.
"""

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

from mdissect.phantom.scenes.palette import luminance

UNITS = 128  # image width in texture units
_DARK, _DARK_ON_PALE, _LIGHT, _LIGHT_ON_DARK = 0.30, 0.48, 0.70, 0.45


@lru_cache(maxsize=8)
def grid(size):
    """Coordinates u (to the right) and v (down) of pixel centres in units of 1/128 image: two (size, size) float32."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) * np.float32(UNITS / size)).astype(np.float32)
    v, u = np.meshgrid(line, line, indexing="ij")
    u.flags.writeable = v.flags.writeable = False
    return u, v


def surface(rgb, texture, size, rng, strength=1.0):
    """A colour (3,) in a texture, float32 (size, size, 3), all in [0, 1]; a strength below 1 makes a calm background."""
    rgb = np.asarray(rgb, np.float32)
    if texture == "plain":
        return np.broadcast_to(rgb, (size, size, 3))
    u, v = grid(size)
    angle = rng.uniform(*_TURN.get(texture, (-0.12, 0.12)))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    relief = TEXTURES[texture](u * cos + v * sin + 256, v * cos - u * sin + 256, size / UNITS, rng)
    brightness = luminance(rgb)
    if brightness < 0.2:
        relief = np.abs(relief)
    elif brightness > 0.75:
        relief = -np.abs(relief)
    relief = np.clip(relief, -1, 1).astype(np.float32)[..., None] * np.float32(strength)
    lighter = (1 - rgb) * np.float32(_LIGHT_ON_DARK if brightness < 0.2 else _LIGHT)
    darker = rgb * np.float32((_DARK_ON_PALE if brightness > 0.75 else _DARK) - 1)
    towards = np.where(relief < 0, darker, lighter)
    return rgb + np.abs(relief) * towards


def soft(distance, px):
    """1 inside (distance > 0), 0 outside, a ramp of one pixel between; distance in texture units."""
    return np.clip(0.5 + distance * px, 0, 1)


def wave(u, period):
    """Distance to the nearest multiple of the period: a triangle wave between 0 and period / 2."""
    return np.abs((u + period / 2) % period - period / 2)


def stripe(u, period, width, px):
    """Soft stripes of the given width centred on the multiples of the period."""
    return soft(width / 2 - wave(u, period), px)


@lru_cache(maxsize=32)
def _spectrum(size, power):
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    return frequency**-power


def cloud(rng, size, power):
    """A random field (size, size), mean 0, deviation 1, with an amplitude of frequency ** -power."""
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * _spectrum(size, power), s=(size, size))
    return (field / field.std()).astype(np.float32)


def streaks(rng, size, down, across):
    """White noise (size, size) blurred by ``down`` and ``across`` pixels, deviation 1."""
    field = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), (down, across), mode="wrap", truncate=2.5)
    return field / field.std()


def _striped(u, v, px, rng):
    period = rng.uniform(11, 18)
    return -stripe(u, period, period * 0.45, px)


def _checkered(u, v, px, rng):
    cell = rng.uniform(8, 13)
    across, down = stripe(u, 2 * cell, cell, px), stripe(v, 2 * cell, cell, px)
    return -(across + down - 2 * across * down)


def _dotted(u, v, px, rng):
    period = rng.uniform(11, 17)
    return -soft(period * 0.32 - np.sqrt(wave(u, period) ** 2 + wave(v, period) ** 2), px)


def _grid(u, v, px, rng):
    period = rng.uniform(10, 16)
    return -np.maximum(stripe(u, period, 2.6, px), stripe(v, period, 2.6, px))


def _zigzag(u, v, px, rng):
    period = rng.uniform(12, 17)
    return -stripe(u + 1.1 * wave(v, 1.5 * period), period, period * 0.45, px)


def _wavy(u, v, px, rng):
    period = rng.uniform(11, 16)
    return -stripe(u + 5 * np.sin(v * np.float32(2 * np.pi / 32)), period, period * 0.45, px)


def _plaid(u, v, px, rng):
    period = rng.uniform(20, 28)
    bands = stripe(u, period, period * 0.45, px) + stripe(v, period, period * 0.45, px)
    lines = np.maximum(stripe(u + period / 2, period, 1.6, px), stripe(v + period / 2, period, 1.6, px))
    return 0.9 * lines - 0.42 * bands


def _honeycomb(u, v, px, rng):
    cell = rng.uniform(12, 17)
    high = cell * np.float32(np.sqrt(3))

    def offsets(shift):
        return (
            (u + shift * cell / 2) % cell - cell / 2,
            (v + shift * high / 2) % high - high / 2,
        )

    (ax, ay), (bx, by) = offsets(0), offsets(1)
    first = ax * ax + ay * ay < bx * bx + by * by
    x, y = np.abs(np.where(first, ax, bx)), np.abs(np.where(first, ay, by))
    edge = cell / 2 - np.maximum(x, 0.5 * x + np.float32(np.sqrt(3) / 2) * y)
    return -soft(1.2 - edge, px)


def _grainy(u, v, px, rng):
    return 0.55 * rng.standard_normal(u.shape).astype(np.float32)


def _granite(u, v, px, rng):
    return -np.clip((streaks(rng, len(u), 1.6 * px, 1.6 * px) - 0.7) * 2.5, 0, 1)


def _mosaic(u, v, px, rng):
    cell = rng.uniform(10, 14)
    column, row = np.floor(u / cell).astype(np.int32) % 32, np.floor(v / cell).astype(np.int32) % 32
    tone = rng.uniform(-0.7, 0.6, (32, 32)).astype(np.float32)
    joint = np.maximum(stripe(u, cell, 1.6, px), stripe(v, cell, 1.6, px))
    return tone[row, column] * (1 - joint) - joint


def _woven(u, v, px, rng):
    cell = rng.uniform(9, 12)
    across, down = stripe(u, 2 * cell, cell, px), stripe(v, 2 * cell, cell, px)
    lying = across + down - 2 * across * down
    strands = lying * stripe(v, cell / 2, 1.5, px) + (1 - lying) * stripe(u, cell / 2, 1.5, px)
    return -0.85 * strands - 0.2 * lying


def _brick(u, v, px, rng):
    high = rng.uniform(9, 12)
    row = np.floor(v / high)
    joint = np.maximum(stripe(v, high, 2.2, px), stripe(u + (row % 2) * high * 1.1, 2.2 * high, 2.2, px))
    return 0.9 * joint + 0.12 * cloud(rng, len(u), 1.0) * (1 - joint)


def _wood(u, v, px, rng):
    size = len(u)
    bend = gaussian_filter(cloud(rng, size, 2.0), (6 * px, 0), mode="wrap")
    rings = np.sin((u / rng.uniform(7, 10) + 1.1 * bend) * np.float32(2 * np.pi))
    return -0.25 - 0.42 * rings + 0.16 * streaks(rng, size, 10 * px, 0.6 * px)


def _marble(u, v, px, rng):
    field = cloud(rng, len(u), 1.8)
    veins = np.sin((u + v) / 26 + 2.0 * field)
    return -np.exp(-((veins / 0.16) ** 2)) + 0.12 * field


def _cloudy(u, v, px, rng):
    return np.clip(0.2 + 0.75 * cloud(rng, len(u), 2.0), -0.15, 0.9)


def _grass(u, v, px, rng):
    return 0.55 * streaks(rng, len(u), 5 * px, 0.7 * px) - 0.15


def _fur(u, v, px, rng):
    size = len(u)
    hair = 0.5 * streaks(rng, size, 0.6 * px, 4 * px)
    lock = gaussian_filter(cloud(rng, size, 1.3), (1.5 * px, 4 * px), mode="wrap")
    return 0.55 * hair + 0.45 * lock / lock.std() - 0.1


def _sand(u, v, px, rng):
    ripples = np.sin((v + 2.5 * cloud(rng, len(u), 2.2)) * np.float32(2 * np.pi / rng.uniform(15, 20)))
    return 0.26 * ripples + 0.22 * rng.standard_normal(u.shape).astype(np.float32) - 0.05


def _water(u, v, px, rng):
    field = gaussian_filter(cloud(rng, len(u), 1.6), (0, 4 * px), mode="wrap")
    ripple = np.sin(v * np.float32(2 * np.pi / rng.uniform(13, 18)) + 3.2 * field / field.std())
    return np.clip(ripple, -0.4, 1) ** 3 * 0.95 + 0.25 * np.minimum(ripple, 0)


def _stone(u, v, px, rng):
    cell = rng.uniform(17, 23)
    count = int(4 * UNITS / cell)
    jitter, tone = (
        rng.uniform(0.18, 0.82, (2, count, count)).astype(np.float32),
        rng.uniform(-0.35, 0.25, (count, count)),
    )
    column, row = np.floor(u / cell).astype(np.int32), np.floor(v / cell).astype(np.int32)
    near = np.full(u.shape, np.inf, np.float32)
    second, colour = near, np.zeros_like(near)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            j, i = (row + down) % count, (column + across) % count
            x = u / cell - (column + across) - jitter[0, j, i]
            y = v / cell - (row + down) - jitter[1, j, i]
            gap = np.sqrt(x * x + y * y)
            closer = gap < near
            second = np.where(closer, near, np.minimum(second, gap))
            colour = np.where(closer, tone[j, i], colour)
            near = np.where(closer, gap, near)
    joint = np.clip((0.17 - (second - near)) * 8, 0, 1)
    return colour * (1 - joint) - joint


def _metal(u, v, px, rng):
    gleam = np.exp(-((((u + 0.6 * v) % 110 - rng.uniform(30, 80)) / 13) ** 2))
    return 0.85 * gleam - 0.25 + 0.16 * streaks(rng, len(u), 0.5 * px, 14 * px)


_DRAWN = (
    *(_striped, _checkered, _dotted, _grid, _zigzag, _wavy, _plaid, _honeycomb, _grainy, _granite, _mosaic, _woven, _brick),
    *(_wood, _marble, _cloudy, _grass, _fur, _sand, _water, _stone, _metal),
)
TEXTURES = {"plain": None} | {draw.__name__.removeprefix("_"): draw for draw in _DRAWN}
# Range of the direction (radians) of textures that are turned by more than a small tilt.
_TURN = {"striped": (0.0, np.pi), "zigzag": (0.0, np.pi), "wavy": (0.0, np.pi), "checkered": (-0.4, 0.4)}
# The natural colours of materials; other textures take any colour.
NATURAL_COLOURS = {
    "brick": ("red", "brown", "orange", "maroon"),
    "wood": ("brown", "beige", "orange"),
    "marble": ("white", "grey", "beige", "black", "green"),
    "cloudy": ("blue", "grey", "turquoise"),
    "grass": ("green", "lime green"),
    "sand": ("beige", "yellow", "brown"),
    "water": ("blue", "turquoise", "navy blue"),
    "stone": ("grey", "brown", "beige"),
    "metal": ("grey", "black", "yellow"),
}
