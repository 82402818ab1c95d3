"""Plants, fruit, sky and weather, as cartoons (see `shapes` for how a thing is drawn)."""

import numpy as np

from mdissect.phantom.scenes.shapes import BODY, Part, around, common, thing, union

PI = np.pi


@thing("nature", colours=("green",), kinds=("plant", "tree"), turn=0.06)
def tree(p):
    crown = union(p.circle(0, -0.45, 0.5), p.circle(-0.42, -0.12, 0.42), p.circle(0.42, -0.12, 0.42))
    return [Part(p.polygon((-0.13, 0), (0.13, 0), (0.2, 0.98), (-0.2, 0.98)), "brown"), Part(crown)]


@thing("nature", colours=("green",), kinds=("plant", "tree"), turn=0.05)
def pine_tree(p):
    tiers = [
        p.polygon((0, top), (wide, low), (-wide, low))
        for top, wide, low in ((-0.98, 0.42, -0.35), (-0.65, 0.6, 0.15), (-0.3, 0.78, 0.68))
    ]
    return [Part(p.box(0, 0.8, 0.13, 0.18), "brown"), Part(union(*tiers))]


@thing("nature", colours=("green",), kinds=("plant", "tree"), turn=0.08)
def palm_tree(p):
    trunk = p.path([(0.1, 0.98), (0.0, 0.4), (0.05, -0.35)], 0.1)
    fronds = []
    for tilt in (-2.9, -2.2, -0.9, -0.25, 0.45, 2.7):
        middle = (0.05 + 0.45 * np.cos(tilt), -0.38 + 0.45 * np.sin(tilt))
        fronds.append(p.ellipse(*middle, 0.48, 0.15, tilt))
    return [
        Part(trunk, "brown"),
        Part(union(*fronds)),
        Part(union(p.circle(-0.08, -0.22, 0.11), p.circle(0.18, -0.2, 0.11)), "brown", 0.7),
    ]


@thing("nature", kinds=("plant", "flower"), turn=0.5)
def flower(p):
    petals = [p.circle(x, y, 0.34) for x, y in around(6, 0.58)]
    return [
        Part(union(*petals)),
        Part(p.circle(0, 0, 0.33), "yellow"),
        Part(union(*[p.circle(x, y, 0.04) for x, y in around(6, 0.17)]), "brown"),
    ]


@thing("nature", colours=("red", "yellow", "pink", "purple"), kinds=("plant", "flower"), turn=0.1)
def tulip(p):
    bloom = [
        (-0.5, -0.85),
        (-0.22, -0.55),
        (0, -0.95),
        (0.22, -0.55),
        (0.5, -0.85),
        (0.5, -0.2),
        (0.25, 0.08),
        (-0.25, 0.08),
        (-0.5, -0.2),
    ]
    leaves = union(p.ellipse(-0.32, 0.6, 0.14, 0.48, -0.6), p.ellipse(0.32, 0.6, 0.14, 0.48, 0.6))
    return [Part(union(leaves, p.box(0, 0.5, 0.06, 0.48)), "green"), Part(p.polygon(*bloom))]


@thing("nature", colours=("yellow", "orange"), kinds=("sun",), turn=0.5)
def sun(p):
    beams = [_beam(p, angle) for angle in np.arange(10) * PI / 5]
    return [Part(union(*beams), BODY, 0.9), Part(p.circle(0, 0, 0.55))]


def _beam(p, angle):
    """A sunbeam: a triangle that points outwards along the angle."""
    u, v = p.at(0, 0, float(angle))
    return common(0.6 - u, np.abs(v) * 0.92 - (1.0 - u) * 0.39)


@thing("nature", colours=("yellow", "white"), turn=0.4)
def moon(p):
    return [Part(common(p.circle(0, 0, 0.92), -p.circle(0.42, -0.1, 0.78)))]


@thing("nature", colours=("grey", "brown", "purple"), turn=0.04)
def mountain(p):
    far = p.polygon((0.1, 0.75), (0.55, -0.25), (1.0, 0.75))
    near = p.polygon((-1.0, 0.75), (-0.25, -0.85), (0.6, 0.75))
    snow = p.polygon((-0.25, -0.85), (0.03, -0.32), (-0.12, -0.42), (-0.26, -0.25), (-0.38, -0.42), (-0.5, -0.32))
    return [Part(far, BODY, 0.75), Part(near), Part(snow, "paper")]


@thing("nature", colours=("green", "orange", "red", "brown"), kinds=("plant",), turn=0.5)
def leaf(p):
    blade = common(p.circle(0, -0.55, 1.0), p.circle(0, 0.55, 1.0))
    veins = [p.line(x, 0, x + 0.22, s * 0.24, 0.025) for x in (-0.4, -0.05, 0.3) for s in (-1, 1)]
    return [
        Part(p.line(-0.98, 0, -0.7, 0, 0.045), "brown"),
        Part(blade),
        Part(union(*veins, p.line(-0.8, 0, 0.75, 0, 0.03)), BODY, 0.55),
    ]


@thing("nature", colours=("white", "grey"), kinds=("cloud",), turn=0.05)
def cloud(p):
    puffs = [
        p.circle(-0.5, 0.05, 0.36),
        p.circle(0, -0.2, 0.47),
        p.circle(0.5, 0.02, 0.38),
        p.box(0, 0.25, 0.9, 0.2, corner=0.19),
    ]
    return [Part(union(*puffs))]


@thing("nature", colours=("red", "brown", "orange"), turn=0.1)
def mushroom(p):
    cap = common(p.ellipse(0, 0.05, 0.92, 0.88), p.v - 0.05)
    spots = union(p.circle(-0.42, -0.28, 0.14), p.circle(0.12, -0.52, 0.16), p.circle(0.48, -0.18, 0.12))
    return [Part(p.box(0, 0.48, 0.26, 0.48, corner=0.12), "beige"), Part(cap), Part(spots, "paper")]


@thing("nature", colours=("green",), kinds=("plant",), turn=0.05)
def cactus(p):
    arms = union(p.path([(0, 0.2), (-0.58, 0.2), (-0.58, -0.3)], 0.15), p.path([(0, 0.0), (0.58, 0.0), (0.58, -0.5)], 0.15))
    pot = p.polygon((-0.42, 0.6), (0.42, 0.6), (0.32, 0.98), (-0.32, 0.98))
    return [Part(union(arms, p.line(0, -0.72, 0, 0.6, 0.22))), Part(pot, "orange", 0.8)]


@thing("nature", colours=("white", "turquoise", "blue"), thin=True, turn=0.5)
def snowflake(p):
    strokes = []
    for angle in np.arange(6) * PI / 3:
        x, y = float(np.cos(angle)), float(np.sin(angle))
        strokes.append(p.line(0, 0, 0.92 * x, 0.92 * y, 0.065))
        for turn in (-0.8, 0.8):
            side = (0.55 * x + 0.33 * np.cos(angle + turn), 0.55 * y + 0.33 * np.sin(angle + turn))
            strokes.append(p.line(0.55 * x, 0.55 * y, *side, 0.055))
    return [Part(union(*strokes))]


@thing("nature", colours=("blue", "turquoise"), turn=0.15)
def raindrop(p):
    return [
        Part(union(p.circle(0, 0.3, 0.6), p.polygon((-0.52, 0.02), (0, -0.95), (0.52, 0.02)))),
        Part(p.ellipse(-0.25, 0.3, 0.09, 0.2, 0.3), "paper"),
    ]


@thing("nature", colours=("yellow",), turn=0.15)
def lightning(p):
    return [
        Part(p.polygon((0.2, -0.98), (-0.55, 0.12), (-0.05, 0.12), (-0.25, 0.98), (0.58, -0.2), (0.08, -0.2), (0.5, -0.98)))
    ]


@thing("nature", colours=("orange", "red", "yellow"), turn=0.1)
def fire(p):
    tongue = [(-0.6, 0.35), (-0.55, -0.3), (-0.3, 0.0), (0.0, -0.98), (0.25, -0.3), (0.42, -0.5), (0.62, 0.35)]
    return [
        Part(union(p.polygon(*tongue), common(p.circle(0, 0.32, 0.62), 0.3 - p.v))),
        Part(p.ellipse(0, 0.5, 0.26, 0.38), "yellow"),
    ]


@thing("nature", colours=("red", "green"), kinds=("fruit",), turn=0.12)
def apple(p):
    return [
        Part(p.line(0, -0.45, 0.1, -0.9, 0.06), "brown"),
        Part(p.ellipse(0.36, -0.78, 0.28, 0.12, -0.4), "green"),
        Part(common(union(p.circle(-0.3, 0.15, 0.62), p.circle(0.3, 0.15, 0.62)), -p.circle(0, -0.68, 0.2))),
        Part(p.ellipse(-0.5, -0.08, 0.1, 0.2, 0.5), "paper"),
    ]


@thing("nature", colours=("yellow", "green"), kinds=("fruit",), turn=0.4)
def banana(p):
    bow = common(p.circle(0, -0.25, 0.95), -p.circle(0, -0.72, 0.98))
    return [Part(bow), Part(union(p.circle(-0.9, 0.04, 0.06), p.circle(0.9, 0.04, 0.06)), "brown")]


@thing("nature", colours=("red", "maroon"), kinds=("fruit",), turn=0.1)
def cherry(p):
    stems = union(p.line(-0.48, 0.3, 0.15, -0.85, 0.045), p.line(0.5, 0.35, 0.15, -0.85, 0.045))
    return [
        Part(stems, "brown"),
        Part(p.ellipse(0.5, -0.75, 0.38, 0.17, 0.3), "green"),
        Part(union(p.circle(-0.48, 0.42, 0.45), p.circle(0.5, 0.48, 0.45))),
        Part(union(p.circle(-0.62, 0.28, 0.09), p.circle(0.36, 0.34, 0.09)), "paper"),
    ]


@thing("nature", colours=("orange",), turn=0.4)
def carrot(p):
    leaves = union(*[p.ellipse(x, -0.72, 0.1, 0.28, t) for x, t in ((-0.2, -0.6), (0, 0.0), (0.2, 0.6))])
    rings = union(
        p.line(-0.3, -0.12, -0.05, -0.1, 0.03),
        p.line(0.05, 0.2, 0.22, 0.18, 0.03),
        p.line(-0.15, 0.45, 0.0, 0.46, 0.03),
    )
    return [
        Part(leaves, "green"),
        Part(union(p.polygon((-0.42, -0.42), (0.42, -0.42), (0, 1.0)), p.ellipse(0, -0.4, 0.42, 0.16))),
        Part(rings, BODY, 0.65),
    ]


@thing("nature", colours=("purple", "green", "navy blue"), kinds=("fruit",), turn=0.1)
def grape(p):
    berries = [
        p.circle(x, y, 0.25)
        for y, row in (
            (-0.38, (-0.62, -0.2, 0.22, 0.64)),
            (0.0, (-0.42, 0.0, 0.42)),
            (0.38, (-0.2, 0.22)),
            (0.72, (0.0,)),
        )
        for x in row
    ]
    return [
        Part(p.line(0, -0.5, 0.05, -0.95, 0.05), "brown"),
        Part(p.ellipse(0.35, -0.78, 0.32, 0.15, -0.3), "green"),
        Part(union(*berries)),
        Part(common(union(*[np.abs(berry + 0.015) - 0.02 for berry in berries]), union(*berries)), BODY, 0.55),
    ]


@thing("nature", colours=("red", "pink"), kinds=("fruit",), turn=0.1)
def strawberry(p):
    seeds = [
        p.ellipse(x, y, 0.045, 0.075)
        for x, y in ((-0.42, -0.18), (0, -0.2), (0.42, -0.18), (-0.22, 0.15), (0.22, 0.15), (0, 0.5))
    ]
    flesh = union(
        p.circle(-0.32, -0.18, 0.46),
        p.circle(0.32, -0.18, 0.46),
        p.polygon((-0.76, -0.05), (0.76, -0.05), (0.1, 0.92), (-0.1, 0.92)),
    )
    crown = union(
        *[p.polygon((0, -0.8), (x, -0.35), (x * 0.4, -0.62)) for x in (-0.55, 0.55)],
        p.polygon((-0.3, -0.68), (0.3, -0.68), (0, -0.3)),
    )
    return [Part(flesh), Part(union(*seeds), "yellow"), Part(union(crown, p.line(0, -0.7, 0.05, -0.95, 0.05)), "green")]
