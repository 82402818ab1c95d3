"""The drawing plane of the natural scenes with its signed distances, the catalogue of things, and the plain shapes.

A thing is drawn in coordinates u (to the right) and v (down) that run from -1 to 1 across it. Its function takes a
`Plane` and returns `Part`s, painted one over the other: a signed distance (negative inside) and an ink. The union of the
parts is the thing's silhouette.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

BODY = "body"  # the ink of the thing's own colour and texture


class Part(NamedTuple):
    """A region of a thing: signed distance (h, w), ink (``BODY`` or a name in ``palette.INKS``), brightness factor."""

    distance: np.ndarray
    ink: str = BODY
    shade: float = 1.0


@dataclass(frozen=True)
class Thing:
    """An entry of the catalogue.

    ``colours`` are its natural colours (empty: any); ``thin`` things are too slender for a texture; ``kinds`` are more general
    words for it.
    """

    name: str
    group: str
    draw: Callable
    colours: tuple = ()
    kinds: tuple = ()
    thin: bool = False
    turn: float = 0.14  # largest tilt, radians


THINGS = {}


def thing(group, colours=(), kinds=(), thin=False, turn=0.14):
    """Decorator that registers a drawing function in ``THINGS`` under its own name, underscores as spaces."""

    def enter(draw):
        name = draw.__name__.replace("_", " ")
        THINGS[name] = Thing(name, group, draw, tuple(colours), tuple(kinds), thin, turn)
        return draw

    return enter


def union(*distances):
    """Signed distance to the union of the regions."""
    return np.minimum.reduce(distances)


def common(*distances):
    """Signed distance to the intersection of the regions."""
    return np.maximum.reduce(distances)


def length(x, y):
    """Length of the vectors (x, y), elementwise."""
    return np.sqrt(x * x + y * y)


class Plane:
    """Coordinates u, v (h, w) of a thing, and signed distances to simple regions in them; angles in radians, clockwise."""

    def __init__(self, u, v):
        self.u, self.v = u, v

    def at(self, x, y, angle=0.0):
        """The coordinates seen from (x, y), turned by the angle: two arrays (h, w)."""
        u, v = self.u - np.float32(x), self.v - np.float32(y)
        if not angle:
            return u, v
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return u * cos + v * sin, v * cos - u * sin

    def circle(self, x, y, radius):
        return length(*self.at(x, y)) - radius

    def ellipse(self, x, y, wide, high, angle=0.0):
        """Half axes wide and high; the distance is exact to first order at the rim."""
        u, v = self.at(x, y, angle)
        u, v = u / wide, v / high
        level = length(u, v)
        return level * (level - 1) / np.maximum(length(u / wide, v / high), 1e-3) - 1e-3

    def box(self, x, y, wide, high, corner=0.0):
        """Half sides wide and high, corners rounded by a radius."""
        u, v = self.at(x, y)
        u, v = np.abs(u) - (wide - corner), np.abs(v) - (high - corner)
        if not corner:
            return np.maximum(u, v)
        return length(np.maximum(u, 0), np.maximum(v, 0)) + np.minimum(np.maximum(u, v), 0) - corner

    def line(self, x0, y0, x1, y1, radius):
        """A stroke with round ends."""
        u, v = self.at(x0, y0)
        x, y = x1 - x0, y1 - y0
        along = np.clip((u * x + v * y) / (x * x + y * y), 0, 1)
        return length(u - along * x, v - along * y) - radius

    def path(self, points, radius):
        """A stroke through several points."""
        return union(*[self.line(*one, *other, radius) for one, other in pairwise(points)])

    def arc(self, x, y, radius, half, start, stop):
        """A stroke of half width ``half`` along a circle from angle start to stop (0 is right, growing clockwise)."""
        u, v = self.at(x, y, (start + stop) / 2)
        v = np.abs(v)
        span = (stop - start) / 2
        cos, sin = np.float32(np.cos(span)), np.float32(np.sin(span))
        beyond = length(u - cos * radius, v - sin * radius)
        within = np.abs(length(u, v) - radius)
        return np.where(u * sin < v * cos, beyond, within) - half

    def polygon(self, *points):
        """A simple polygon, convex or not."""
        nearest, sign = np.full(self.u.shape, np.inf, np.float32), np.ones(self.u.shape, bool)
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            u, v = self.u - np.float32(x0), self.v - np.float32(y0)
            x, y = np.float32(x1 - x0), np.float32(y1 - y0)
            along = np.clip((u * x + v * y) / (x * x + y * y), 0, 1)
            nearest = np.minimum(nearest, (u - along * x) ** 2 + (v - along * y) ** 2)
            crossed = (self.v >= np.float32(y0)) != (self.v >= np.float32(y1))  # rounded equally on both sides of a corner
            sign ^= crossed & ((x * v > y * u) == (y > 0))
        return np.sqrt(nearest) * np.where(sign, 1, -1)


def around(count, radius, phase=0.0):
    """``count`` points (x, y) evenly on a circle."""
    angles = phase + 2 * np.pi * np.arange(count) / count
    return [(float(radius * np.cos(a)), float(radius * np.sin(a))) for a in angles]


@thing("shape", turn=3.14)
def circle(p):
    return [Part(p.circle(0, 0, 0.9))]


@thing("shape", turn=0.5)
def oval(p):
    return [Part(p.ellipse(0, 0, 0.98, 0.52))]


@thing("shape", turn=3.14)
def ring(p):
    return [Part(np.abs(p.circle(0, 0, 0.68)) - 0.24)]


@thing("shape", turn=0.35)
def square(p):
    return [Part(p.box(0, 0, 0.78, 0.78))]


@thing("shape", turn=0.3)
def rectangle(p):
    return [Part(p.box(0, 0, 0.95, 0.42))]


@thing("shape", turn=0.3)
def triangle(p):
    return [Part(p.polygon((0, -0.85), (0.95, 0.75), (-0.95, 0.75)))]


@thing("shape", turn=0.1)
def diamond(p):
    return [Part(p.polygon((0, -0.98), (0.66, 0), (0, 0.98), (-0.66, 0)))]


@thing("shape", turn=0.3)
def hexagon(p):
    return [Part(p.polygon(*around(6, 0.95)))]


@thing("shape", turn=0.3)
def star(p):
    outer, inner = around(5, 1.0, -np.pi / 2), around(5, 0.42, -np.pi / 2 + np.pi / 5)
    return [Part(p.polygon(*[point for pair in zip(outer, inner, strict=True) for point in pair]))]


@thing("shape", turn=0.3)
def cross(p):
    return [Part(union(p.box(0, 0, 0.29, 0.9), p.box(0, 0, 0.9, 0.29)))]


@thing("shape", colours=("red", "pink"), turn=0.25)
def heart(p):
    lobes = union(p.circle(-0.43, -0.3, 0.475), p.circle(0.43, -0.3, 0.475))
    return [Part(union(lobes, p.polygon((-0.86, -0.1), (-0.43, -0.4), (0.43, -0.4), (0.86, -0.1), (0, 0.92))))]


@thing("shape", turn=3.14)
def arrow(p):
    return [Part(union(p.box(-0.35, 0, 0.6, 0.2), p.polygon((0.1, -0.62), (0.95, 0), (0.1, 0.62))))]
