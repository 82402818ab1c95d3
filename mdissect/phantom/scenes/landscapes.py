"""Landscapes of the natural scenes: calm backgrounds of a sky above a ground."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mdissect.phantom.scenes.palette import COLOURS
from mdissect.phantom.scenes.textures import UNITS, cloud, grid, soft, surface

_SKY, _PALE = np.array((0.45, 0.70, 0.96), np.float32), np.array((0.80, 0.91, 0.99), np.float32)


class Landscape(NamedTuple):
    """A landscape."""

    paint: Callable  # (size, rng) -> image (size, size, 3)
    colour: str  # the named colour nearest to its middle, where things are drawn
    shows: tuple  # the colours, textures and kinds of thing in it


def _fade(size, top, bottom):
    """A smooth change of colour from the top of the image to its bottom: (size, size, 3)."""
    share = (grid(size)[1] / UNITS)[..., None]
    return np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share


def _daylight(size, rng, cover=0.5):
    """A blue sky with clouds of a brightness."""
    puffs = np.clip(cloud(rng, size, 2.0) * 0.7, 0, 1)[..., None] * np.float32(cover)
    sky = _fade(size, _SKY, _PALE)
    return sky + puffs * (1 - sky)


def _above(size, rng, sky, ground, level, swell=0.0):
    """The ground over the sky below a horizon at ``level`` (128ths from the top) with waves of height ``swell``."""
    u, v = grid(size)
    horizon = level + swell * np.sin(u * np.float32(2 * np.pi / 110) + np.float32(rng.uniform(0, 6)))
    cover = soft(v - horizon, size / UNITS)[..., None]
    return sky + cover * (ground - sky)


def _meadow(size, rng):
    ground = surface(COLOURS["green"], "grass", size, rng)
    return _above(size, rng, _daylight(size, rng), ground, rng.uniform(55, 72), 3)


def _beach(size, rng):
    level = rng.uniform(40, 50)
    sea = _above(size, rng, _daylight(size, rng, 0.3), surface(COLOURS["turquoise"], "water", size, rng), level)
    return _above(size, rng, sea, surface(COLOURS["beige"], "sand", size, rng), level + rng.uniform(24, 30), 2.5)


def _sea(size, rng):
    ground = surface(COLOURS["blue"], "water", size, rng)
    return _above(size, rng, _daylight(size, rng, 0.3), ground, rng.uniform(45, 60))


def _snow(size, rng):
    flakes = np.clip((rng.random((size // 4, size // 4)) - 0.93) * 20, 0, 1).astype(np.float32)
    falling = np.kron(flakes, np.array([[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]], np.float32) * 0.8)
    pad = size - len(falling)
    falling = np.pad(falling, ((0, pad), (0, pad)))[..., None]
    sky = _fade(size, (0.50, 0.56, 0.66), (0.72, 0.77, 0.84))
    ground = _fade(size, (0.88, 0.92, 0.97), (0.97, 0.98, 1.0))
    scene = _above(size, rng, sky, ground, rng.uniform(62, 76), 4)
    return scene + falling * (1 - scene)


def _night_sky(size, rng):
    u, v = grid(size)
    sky = _fade(size, (0.02, 0.02, 0.10), (0.08, 0.08, 0.28))
    light = np.zeros_like(u)
    for x, y, radius in zip(*rng.uniform(4, 124, (2, 26)), rng.uniform(0.5, 1.5, 26), strict=True):
        light = np.maximum(light, np.exp(-((u - x) ** 2 + (v - y) ** 2) / np.float32(radius * radius)))
    return sky + light[..., None] * (1 - sky)


def _sunset(size, rng):
    u, v = grid(size)
    level = rng.uniform(76, 90)
    sky = _fade(size, (0.45, 0.18, 0.45), (1.0, 0.62, 0.12))
    disc = soft(rng.uniform(17, 22) - np.sqrt((u - rng.uniform(30, 98)) ** 2 + (v - level) ** 2), size / UNITS)[..., None]
    sky = sky + disc * (np.array((1.0, 0.90, 0.45), np.float32) - sky)
    return _above(size, rng, sky, surface((0.40, 0.14, 0.22), "water", size, rng), level)


def _desert(size, rng):
    sky = _fade(size, (0.35, 0.68, 0.97), (0.98, 0.93, 0.80))
    dune = _above(size, rng, sky, _fade(size, (0.88, 0.66, 0.36), (0.80, 0.56, 0.27)), rng.uniform(48, 58), 8)
    return _above(size, rng, dune, surface((0.93, 0.73, 0.42), "sand", size, rng), rng.uniform(70, 84), 6)


def _forest(size, rng):
    u, v = grid(size)
    scene = _fade(size, (0.52, 0.72, 0.50), (0.32, 0.50, 0.30))
    for depth, count in ((0.55, 6), (1.0, 5)):
        for x in (np.arange(count) + rng.uniform(0.1, 0.9, count)) * UNITS / count:
            bark = np.array((0.30, 0.20, 0.12), np.float32) * depth + np.array((0.45, 0.60, 0.45), np.float32) * (1 - depth)
            trunk = soft(rng.uniform(2.5, 5) * depth * (0.8 + v / 320) - np.abs(u - np.float32(x)), size / UNITS)[..., None]
            scene = scene + trunk * (bark - scene)
    leaves = np.clip((cloud(rng, size, 1.1) * 6 + 38 - v) / 8, 0, 1)[..., None]
    scene = scene + leaves * (np.array((0.10, 0.36, 0.12), np.float32) - scene)
    return _above(size, rng, scene, surface((0.16, 0.38, 0.14), "grass", size, rng), rng.uniform(96, 108), 2)


def _road(size, rng):
    u, v = grid(size)
    level, middle = rng.uniform(48, 58), rng.uniform(52, 76)
    scene = _above(size, rng, _daylight(size, rng, 0.4), surface(COLOURS["green"], "grass", size, rng), level)
    near = np.clip((v - level) / (UNITS - level), 0, 1)
    px, below = size / UNITS, soft(v - level, size / UNITS)
    asphalt = (soft(4 + 54 * near - np.abs(u - middle), px) * below)[..., None]
    scene = scene + asphalt * (np.array((0.30, 0.30, 0.32), np.float32) - scene)
    dash = np.clip(0.5 + 4 * np.sin(26 / (near + 0.22)), 0, 1)
    line = (soft(0.3 + 3.2 * near - np.abs(u - middle), px) * below * dash)[..., None]
    return scene + line * (np.array((0.96, 0.94, 0.86), np.float32) - scene)


def _blue_sky(size, rng):
    return _daylight(size, rng, 0.9)


LANDSCAPES = {
    "meadow": Landscape(_meadow, "green", ("green", "grass", "blue sky")),
    "beach": Landscape(_beach, "beige", ("beige", "turquoise", "sand", "water", "blue sky")),
    "sea": Landscape(_sea, "blue", ("blue", "water", "blue sky")),
    "snow": Landscape(_snow, "white", ("white", "grey")),
    "night sky": Landscape(_night_sky, "navy blue", ("navy blue", "black")),
    "sunset": Landscape(_sunset, "orange", ("orange", "purple", "water", "sun")),
    "desert": Landscape(_desert, "beige", ("orange", "beige", "sand", "blue sky")),
    "forest": Landscape(_forest, "green", ("green", "brown", "grass", "tree")),
    "road": Landscape(_road, "grey", ("grey", "green", "grass", "blue sky")),
    "blue sky": Landscape(_blue_sky, "sky blue", ("sky blue", "white", "cloudy", "cloud", "blue sky")),
}
