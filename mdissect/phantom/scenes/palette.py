"""The named colours of the natural scenes."""

import numpy as np

COLOURS = {
    "red": (0.86, 0.11, 0.11),
    "green": (0.13, 0.58, 0.20),
    "blue": (0.14, 0.34, 0.90),
    "yellow": (0.97, 0.88, 0.14),
    "orange": (0.98, 0.53, 0.06),
    "purple": (0.50, 0.15, 0.70),
    "pink": (0.98, 0.62, 0.77),
    "brown": (0.47, 0.28, 0.12),
    "black": (0.06, 0.06, 0.06),
    "white": (0.95, 0.95, 0.95),
    "grey": (0.50, 0.50, 0.50),
    "turquoise": (0.14, 0.78, 0.76),
    "beige": (0.88, 0.79, 0.61),
    "navy blue": (0.06, 0.09, 0.36),
    "lime green": (0.66, 0.90, 0.20),
    "sky blue": (0.60, 0.82, 0.98),
    "maroon": (0.45, 0.04, 0.13),
    "magenta": (0.88, 0.10, 0.62),
}
# Colours of details, beside the named ones.
INKS = COLOURS | {"ink": (0.10, 0.09, 0.09), "paper": (0.97, 0.96, 0.93)}
_JITTER = 0.022
_LUMINANCE = np.array([0.30, 0.59, 0.11])


def shade_of(colour, rng):
    """One shade of a named colour: (3,) float in [0, 1], drawn around the colour's centre."""
    return np.clip(np.array(COLOURS[colour]) + rng.normal(0, _JITTER, 3), 0, 1)


def luminance(rgb):
    """Perceived brightness in [0, 1] of an RGB colour (3,)."""
    return float(_LUMINANCE @ np.asarray(rgb))


def distance(one, other):
    """Euclidean distance in RGB between two named colours (0 to about 1.7)."""
    return float(np.linalg.norm(np.subtract(COLOURS[one], COLOURS[other])))
