"""Natural scenes with known truth: large coloured things before calm backgrounds, surfaces and landscapes.

A scene is a pure function of (seed, index); its truth, backdrop, surface, place and noise have a random stream each.
"""

from dataclasses import asdict, dataclass

import numpy as np

from mdissect.phantom.scenes import creatures, objects, plants, vehicles  # noqa: F401  (they register their things in THINGS)
from mdissect.phantom.scenes.landscapes import LANDSCAPES
from mdissect.phantom.scenes.palette import COLOURS, INKS, distance, luminance, shade_of
from mdissect.phantom.scenes.shapes import BODY, THINGS, Plane, union
from mdissect.phantom.scenes.textures import NATURAL_COLOURS, TEXTURES, grid, surface

SCENES_VERSION = "1"
CATALOGUE = dict(sorted(THINGS.items()))  # in an order that does not depend on imports
GROUPS = ("shape", "object", "animal", "nature")

_TRUTH, _BACKDROP, _SURFACE, _PLACE, _NOISE = range(5)
_GROUP_SHARES = (0.24, 0.30, 0.20, 0.26)
_NO_OBJECT = 0.16  # share of scenes that are all surface or all landscape
_LANDSCAPE, _TEXTURED_BACKDROP = 0.14, 0.26  # shares of the backdrops (the latter half as often behind textured things)
_CALM = 0.65  # strength of a texture in a backdrop
_TEXTURED = {"shape": 0.70, "object": 0.35, "animal": 0.30, "nature": 0.30}
_NATURAL_COLOUR = 0.5
_SEVERAL, _SMALL = 0.14, 0.14
_CONTRAST = 0.45  # least distance in RGB between a thing and its background
_NOISE_SPREAD = 0.012
_DARK, _LIFT = 0.15, 0.45  # luminance of a dark thing; how much lighter its outline and details are


@dataclass(frozen=True)
class SceneTruth:
    """What a scene shows.

    Attributes
    ----------
    index : int
    object, group : str
        Name of the thing shown and its group (one of ``GROUPS``); "" for a bare surface or landscape.
    colour, texture : str
        Of the thing, or of the surface that fills the image; "" in a bare landscape.
    background, background_texture : str
        Colour and texture behind the thing; "" in a landscape and without a thing.
    landscape : str
        Name of the landscape in the background (one of ``LANDSCAPES``), or "".
    count : int
        Number of things, 0 to 4, all the same.
    size : str
        "large" or "small" for a single thing, else "".
    """

    index: int
    object: str
    group: str
    colour: str
    texture: str
    background: str
    background_texture: str
    landscape: str
    count: int
    size: str

    def as_row(self):
        """The fields as a flat dict of scalars, for a table."""
        return asdict(self)


def _stream(seed, index, part):
    return np.random.default_rng([seed, index, part])


def choose(rng, options):
    """One of the options, each equally likely."""
    options = list(options)
    return options[int(rng.integers(len(options)))]


def _texture(rng):
    return choose(rng, [name for name in TEXTURES if name != "plain"])


def _colour(rng, texture, natural=(), away_from=None):
    """A colour that suits the texture or the thing and stands out from another colour."""
    fitting = NATURAL_COLOURS.get(texture) or (natural if natural and rng.random() < _NATURAL_COLOUR else COLOURS)
    apart = [name for name in fitting if away_from is None or distance(name, away_from) >= _CONTRAST]
    if not apart:
        apart = [name for name in COLOURS if distance(name, away_from) >= _CONTRAST]
    return choose(rng, apart)


def sample_scene(seed, index, classes=None):
    """What a scene shows, a pure function of the arguments: a `SceneTruth`.

    >>> sample_scene(0, 7, classes=["fish"]).object
    'fish'

    Parameters
    ----------
    seed, index : int
    classes : sequence of str, optional
        Show one of these things, for a probe with class labels; default: anything.

    Raises
    ------
    ValueError
        A class is not in the catalogue.
    """
    unknown = [name for name in classes or () if name not in CATALOGUE]
    if unknown:
        raise ValueError(f"unknown classes {unknown}; the catalogue has {sorted(CATALOGUE)}")
    rng = _stream(seed, index, _TRUTH)
    if classes is None and rng.random() < _NO_OBJECT:
        return _sample_bare(rng, index)
    if classes is None:
        group = GROUPS[int(rng.choice(len(GROUPS), p=_GROUP_SHARES))]
        name = choose(rng, [name for name, entry in CATALOGUE.items() if entry.group == group])
    else:
        name = choose(rng, classes)
    entry = CATALOGUE[name]
    textured = not entry.thin and rng.random() < _TEXTURED[entry.group]
    texture = _texture(rng) if textured else "plain"
    colour = _colour(rng, texture, entry.colours)
    kind = rng.random()
    landscape = choose(rng, LANDSCAPES) if kind < _LANDSCAPE else ""
    behind = _TEXTURED_BACKDROP / 2 if textured else _TEXTURED_BACKDROP
    backdrop = choose(rng, [name for name in TEXTURES if name not in ("plain", texture)]) if kind > 1 - behind else "plain"
    background = _colour(rng, backdrop, away_from=colour)
    if landscape and distance(colour, LANDSCAPES[landscape].colour) < _CONTRAST:
        colour = _colour(rng, texture, away_from=LANDSCAPES[landscape].colour)
    count = int(rng.integers(2, 5)) if rng.random() < _SEVERAL else 1
    size = "" if count > 1 else "small" if rng.random() < _SMALL else "large"
    if landscape:
        background = backdrop = ""
    return SceneTruth(index, name, entry.group, colour, texture, background, backdrop, landscape, count, size)


def _sample_bare(rng, index):
    """A scene without a thing: a textured surface (three in four) or a landscape."""
    if rng.random() < 0.25:
        return SceneTruth(index, "", "", "", "", "", "", choose(rng, LANDSCAPES), 0, "")
    texture = _texture(rng)
    return SceneTruth(index, "", "", _colour(rng, texture), texture, "", "", "", 0, "")


def render_scene(truth, seed, size=128):
    """The image of a scene, uint8 (size, size, 3); shades, places and noise follow from seed and ``truth.index``."""
    image = _backdrop(truth, seed, size)
    if truth.object:
        rng = _stream(seed, truth.index, _SURFACE)
        rgb = shade_of(truth.colour, rng)
        body = surface(rgb, truth.texture, size, rng)
        for window, plane, radius in places(truth, seed, size):
            _draw(image[window], CATALOGUE[truth.object].draw(plane), body[window], rgb, radius)
    image += _stream(seed, truth.index, _NOISE).normal(0, _NOISE_SPREAD, (size, size, 1)).astype(np.float32)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _backdrop(truth, seed, size):
    """The image behind the thing, float32 (size, size, 3), with a slight gradient of light from top to bottom or back."""
    rng = _stream(seed, truth.index, _BACKDROP)
    if truth.landscape:
        return np.array(LANDSCAPES[truth.landscape].paint(size, rng), np.float32)
    colour, texture = (truth.background, truth.background_texture) if truth.object else (truth.colour, truth.texture)
    light = 1 + np.float32(rng.uniform(-0.14, 0.14)) * (grid(size)[1] / 64 - 1)
    strength = _CALM if truth.object else 1.0
    return (surface(shade_of(colour, rng), texture, size, rng, strength) * light[..., None]).astype(np.float32)


def places(truth, seed, size):
    """For each thing its window in the image, its `Plane` there, and its radius in pixels."""
    rng = _stream(seed, truth.index, _PLACE)
    if truth.count == 1:
        radius = rng.uniform(0.25, 0.31) if truth.size == "small" else rng.uniform(0.39, 0.48)
        reach = max(0.5 - radius, 0.03)
        centres = [0.5 + rng.uniform(-reach, reach, 2)]
    else:
        radius = rng.uniform(0.20, 0.235)
        spots = [(0.26, 0.26), (0.74, 0.74), (0.74, 0.26), (0.26, 0.74)]
        centres = [np.array(spot) + rng.uniform(-0.03, 0.03, 2) for spot in spots[: truth.count]]
    entry = CATALOGUE[truth.object]
    mirrored, u, v = rng.random() < 0.5, *grid(size)
    for x, y in centres:
        turn = rng.uniform(-entry.turn, entry.turn)
        half = radius * 1.2 * (abs(np.cos(turn)) + abs(np.sin(turn)))
        low = np.clip(np.floor((np.array([y, x]) - half) * size), 0, size).astype(int)
        high = np.clip(np.ceil((np.array([y, x]) + half) * size), 0, size).astype(int)
        window = slice(low[0], high[0]), slice(low[1], high[1])
        cos, sin = np.float32(np.cos(turn) / radius), np.float32(np.sin(turn) / radius)
        du, dv = u[window] / 128 - np.float32(x), v[window] / 128 - np.float32(y)
        across, down = du * cos + dv * sin, dv * cos - du * sin
        yield window, Plane(-across if mirrored else across, down), radius * size


def _draw(image, parts, body, rgb, radius):
    """Paint a thing's outline and parts into a view of the image, in place; on dark things dark details turn light."""
    dark = luminance(rgb) < _DARK
    line = np.clip(rgb + _LIFT if dark else rgb * 0.3, 0, 1).astype(np.float32)
    _blend(image, union(*[part.distance for part in parts]) - 1.4 / radius, line, radius)
    light = np.linspace(1.1, 0.9, len(image), dtype=np.float32)[:, None, None]
    for part in parts:
        if part.ink == BODY:
            tone = body + np.float32(_LIFT * (1 - part.shade)) if dark else body * np.float32(part.shade)
        elif part.ink == "ink" and dark:
            tone = line
        else:
            tone = np.array(INKS[part.ink], np.float32) * np.float32(part.shade)
        _blend(image, part.distance, tone * light, radius)


def _blend(image, distance, colour, radius):
    """Lay a colour over the image where the signed distance (in units of the thing) is negative, softly over a pixel."""
    cover = np.clip(0.5 - distance * np.float32(radius), 0, 1)[..., None]
    image += cover * (colour - image)
