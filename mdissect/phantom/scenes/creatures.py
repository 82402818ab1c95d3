"""Animals, as cartoons (see `shapes` for how a thing is drawn)."""

import numpy as np

from mdissect.phantom.scenes.shapes import BODY, Part, common, thing, union

PI = np.pi


def _eyes(p, x, y, radius):
    """A pair of white eyes with pupils, mirrored about the vertical axis."""
    pair = [(-x, y), (x, y)]
    return [
        Part(union(*[p.circle(*eye, radius) for eye in pair]), "paper"),
        Part(union(*[p.circle(*eye, radius * 0.55) for eye in pair]), "ink"),
    ]


@thing("animal", colours=("orange", "blue", "grey"), turn=0.2)
def fish(p):
    tail = p.polygon((0.35, 0), (0.98, -0.5), (0.85, 0), (0.98, 0.5))
    fins = union(p.polygon((-0.25, -0.4), (0.3, -0.75), (0.3, -0.3)), p.polygon((-0.1, 0.4), (0.25, 0.7), (0.25, 0.3)))
    return [
        Part(union(tail, fins), BODY, 0.8),
        Part(p.ellipse(-0.2, 0, 0.75, 0.48)),
        Part(p.circle(-0.6, -0.12, 0.13), "paper"),
        Part(p.circle(-0.62, -0.12, 0.07), "ink"),
        Part(p.arc(-0.65, 0, 0.38, 0.03, -0.8, 0.8), BODY, 0.6),
    ]


@thing("animal", colours=("blue", "red", "yellow", "brown"), kinds=("bird",), turn=0.15)
def bird(p):
    return [
        Part(union(p.line(-0.05, 0.5, -0.1, 0.95, 0.04), p.line(0.15, 0.5, 0.15, 0.95, 0.04)), "orange"),
        Part(p.polygon((0.4, 0.1), (0.98, -0.2), (0.9, 0.25)), BODY, 0.8),
        Part(union(p.ellipse(0.08, 0.2, 0.58, 0.42), p.circle(-0.42, -0.38, 0.36))),
        Part(p.polygon((-0.72, -0.5), (-0.72, -0.22), (-1.0, -0.33)), "orange"),
        Part(p.circle(-0.5, -0.45, 0.08), "ink"),
        Part(common(p.ellipse(0.2, 0.1, 0.38, 0.3, 0.3), -p.v + 0.02), BODY, 0.6),
    ]


@thing("animal", colours=("orange", "grey", "black"), kinds=("mammal", "pet"))
def cat(p):
    ears = [p.polygon((s * 0.82, -0.95), (s * 0.15, -0.5), (s * 0.78, 0.05)) for s in (-1, 1)]
    inner = [p.polygon((s * 0.7, -0.72), (s * 0.35, -0.48), (s * 0.68, -0.25)) for s in (-1, 1)]
    whiskers = [p.line(s * 0.35, y, s * 0.98, y + t, 0.025) for s in (-1, 1) for y, t in ((0.25, -0.08), (0.36, 0.1))]
    eyes = [(-0.34, -0.1), (0.34, -0.1)]
    return [
        Part(union(*ears, p.ellipse(0, 0.12, 0.85, 0.75))),
        Part(union(*inner, p.polygon((-0.12, 0.18), (0.12, 0.18), (0, 0.32))), "pink"),
        Part(union(*[p.ellipse(*eye, 0.17, 0.14) for eye in eyes]), "lime green"),
        Part(union(*[p.ellipse(*eye, 0.05, 0.13) for eye in eyes], *whiskers), "ink"),
        Part(union(p.arc(-0.13, 0.36, 0.13, 0.03, 0, PI), p.arc(0.13, 0.36, 0.13, 0.03, 0, PI)), "ink"),
    ]


@thing("animal", colours=("brown", "beige", "black"), kinds=("mammal", "pet"))
def dog(p):
    ears = union(p.ellipse(-0.72, 0.0, 0.25, 0.62, 0.2), p.ellipse(0.72, 0.0, 0.25, 0.62, -0.2))
    return [
        Part(p.ellipse(0, -0.1, 0.68, 0.75)),
        Part(ears, BODY, 0.6),
        Part(p.ellipse(0, 0.42, 0.42, 0.38), "paper"),
        Part(p.ellipse(0, 0.78, 0.12, 0.2), "pink"),
        Part(p.ellipse(0, 0.22, 0.2, 0.14), "ink"),
        Part(p.line(0, 0.3, 0, 0.6, 0.025), "ink"),
        *_eyes(p, 0.28, -0.2, 0.14),
    ]


@thing("animal", colours=("grey", "white", "brown"), kinds=("mammal", "pet"))
def rabbit(p):
    ears = union(p.ellipse(-0.32, -0.52, 0.19, 0.48, -0.15), p.ellipse(0.32, -0.52, 0.19, 0.48, 0.15))
    inner = union(p.ellipse(-0.32, -0.52, 0.09, 0.34, -0.15), p.ellipse(0.32, -0.52, 0.09, 0.34, 0.15))
    return [
        Part(union(ears, p.ellipse(0, 0.35, 0.64, 0.6))),
        Part(union(inner, p.ellipse(0, 0.42, 0.1, 0.08)), "pink"),
        Part(p.box(0, 0.72, 0.11, 0.14), "paper"),
        Part(union(p.circle(-0.27, 0.2, 0.1), p.circle(0.27, 0.2, 0.1), p.line(0, 0.48, 0, 0.58, 0.025)), "ink"),
    ]


@thing("animal", colours=("brown", "white", "black"), kinds=("mammal",))
def bear(p):
    ears = union(p.circle(-0.66, -0.62, 0.3), p.circle(0.66, -0.62, 0.3))
    return [
        Part(union(ears, p.circle(0, 0.08, 0.86))),
        Part(union(p.circle(-0.66, -0.62, 0.15), p.circle(0.66, -0.62, 0.15)), "pink"),
        Part(p.ellipse(0, 0.38, 0.42, 0.34), "beige"),
        Part(union(p.ellipse(0, 0.24, 0.17, 0.12), p.circle(-0.32, -0.1, 0.1), p.circle(0.32, -0.1, 0.1)), "ink"),
        Part(p.arc(0, 0.36, 0.17, 0.03, 0.3, PI - 0.3), "ink"),
    ]


@thing("animal", colours=("pink",), kinds=("mammal",))
def pig(p):
    ears = union(p.polygon((-0.9, -0.85), (-0.25, -0.65), (-0.7, -0.2)), p.polygon((0.9, -0.85), (0.25, -0.65), (0.7, -0.2)))
    return [
        Part(ears, BODY, 0.75),
        Part(p.circle(0, 0.06, 0.84)),
        Part(p.ellipse(0, 0.28, 0.36, 0.26), BODY, 0.75),
        Part(union(p.ellipse(-0.14, 0.28, 0.07, 0.12), p.ellipse(0.14, 0.28, 0.07, 0.12)), "ink"),
        Part(union(p.circle(-0.36, -0.15, 0.09), p.circle(0.36, -0.15, 0.09)), "ink"),
    ]


@thing("animal", colours=("orange", "blue", "yellow", "purple"), kinds=("insect",), turn=0.2)
def butterfly(p):
    upper = union(p.ellipse(-0.52, -0.35, 0.48, 0.42, 0.5), p.ellipse(0.52, -0.35, 0.48, 0.42, -0.5))
    lower = union(p.ellipse(-0.4, 0.42, 0.34, 0.4, 0.4), p.ellipse(0.4, 0.42, 0.34, 0.4, -0.4))
    spots = [p.circle(s * x, y, r) for s in (-1, 1) for x, y, r in ((0.6, -0.42, 0.13), (0.44, 0.48, 0.1))]
    feelers = union(p.line(0, -0.5, -0.22, -0.92, 0.03), p.line(0, -0.5, 0.22, -0.92, 0.03))
    return [
        Part(union(upper, lower)),
        Part(union(*spots), "paper"),
        Part(union(feelers, p.ellipse(0, 0, 0.11, 0.65)), "ink"),
    ]


@thing("animal", colours=("brown", "beige"))
def snail(p):
    radius = np.sqrt((p.u - 0.2) ** 2 + (p.v + 0.02) ** 2)
    turns = radius / 0.26 - np.arctan2(p.v + 0.02, p.u - 0.2) / (2 * PI)
    winding = common(np.abs(turns - np.round(turns)) * 0.26 - 0.045, radius - 0.58)
    foot = union(p.line(-0.7, 0.62, 0.85, 0.62, 0.17), p.line(-0.7, 0.62, -0.78, 0.05, 0.14))
    feelers = union(p.line(-0.8, 0, -0.92, -0.4, 0.04), p.line(-0.72, 0, -0.62, -0.4, 0.04))
    tips = union(p.circle(-0.92, -0.42, 0.08), p.circle(-0.62, -0.42, 0.08))
    return [Part(union(foot, feelers), "beige", 0.9), Part(tips, "ink"), Part(radius - 0.64), Part(winding, BODY, 0.5)]


@thing("animal", colours=("yellow", "white"), kinds=("bird",))
def duck(p):
    tail = p.polygon((0.5, 0.1), (0.98, -0.22), (0.85, 0.4))
    return [
        Part(p.polygon((-0.7, -0.48), (-0.98, -0.3), (-0.66, -0.2)), "orange"),
        Part(
            union(
                tail,
                common(p.ellipse(0.1, 0.2, 0.82, 0.62), -p.v + 0.05),
                p.circle(-0.42, -0.36, 0.4),
                p.box(-0.35, 0.05, 0.27, 0.2),
            )
        ),
        Part(p.arc(0.2, 0.2, 0.35, 0.05, 0.1, PI - 0.3), BODY, 0.6),
        Part(p.circle(-0.52, -0.45, 0.09), "ink"),
    ]


@thing("animal", colours=("black", "brown"), thin=True, turn=3.0)
def spider(p):
    legs = [
        p.path([(0, 0.05), (s * 0.5, y0), (s * 0.92, y1)], 0.05)
        for s in (-1, 1)
        for y0, y1 in ((-0.55, -0.85), (-0.25, -0.2), (0.2, 0.4), (0.45, 0.92))
    ]
    return [Part(union(*legs, p.ellipse(0, 0.25, 0.36, 0.44), p.circle(0, -0.3, 0.25))), *_eyes(p, 0.1, -0.38, 0.08)]


@thing("animal", colours=("green", "lime green", "brown"), thin=True, turn=0.2)
def snake(p):
    bends = [(-0.6, 0.2), (0.0, 0.2), (0.6, 0.2)]
    body = union(*[p.arc(x, y, 0.3, 0.13, s, s + PI) for (x, y), s in zip(bends, (PI, 0, PI), strict=True)])
    tail = p.line(0.9, 0.2, 0.9, 0.75, 0.1)
    head = union(p.line(-0.9, 0.2, -0.9, -0.35, 0.13), p.ellipse(-0.82, -0.5, 0.27, 0.2))
    return [
        Part(p.path([(-0.6, -0.5), (-0.4, -0.5), (-0.3, -0.58)], 0.03), "red"),
        Part(union(body, tail, head)),
        Part(p.circle(-0.8, -0.56, 0.06), "ink"),
    ]


@thing("animal", colours=("red", "orange"), kinds=("insect",), turn=0.4)
def ladybug(p):
    shell = p.ellipse(0, 0.15, 0.78, 0.78)
    spots = [p.circle(s * x, y, 0.14) for s in (-1, 1) for x, y in ((0.4, -0.18), (0.45, 0.32), (0.22, 0.68))]
    feelers = union(p.line(-0.15, -0.7, -0.35, -0.98, 0.035), p.line(0.15, -0.7, 0.35, -0.98, 0.035))
    return [
        Part(union(feelers, p.circle(0, -0.52, 0.38)), "ink"),
        Part(shell),
        Part(common(union(*spots, p.box(0, 0.2, 0.03, 0.8)), shell), "ink"),
        Part(union(p.circle(-0.16, -0.7, 0.07), p.circle(0.16, -0.7, 0.07)), "paper"),
    ]


@thing("animal", colours=("brown", "grey", "white"), kinds=("bird",))
def owl(p):
    ears = union(p.polygon((-0.68, -0.98), (-0.1, -0.6), (-0.6, -0.2)), p.polygon((0.68, -0.98), (0.1, -0.6), (0.6, -0.2)))
    wings = union(p.ellipse(-0.62, 0.3, 0.2, 0.5, 0.15), p.ellipse(0.62, 0.3, 0.2, 0.5, -0.15))
    return [
        Part(union(ears, p.ellipse(0, 0.1, 0.7, 0.85))),
        Part(wings, BODY, 0.6),
        *_eyes(p, 0.28, -0.3, 0.27),
        Part(p.polygon((-0.12, -0.15), (0.12, -0.15), (0, 0.15)), "orange"),
        Part(union(p.ellipse(-0.2, 0.94, 0.15, 0.06), p.ellipse(0.2, 0.94, 0.15, 0.06)), "orange"),
    ]


@thing("animal", colours=("black", "navy blue"), kinds=("bird",))
def penguin(p):
    wings = union(p.ellipse(-0.6, 0.15, 0.15, 0.5, 0.3), p.ellipse(0.6, 0.15, 0.15, 0.5, -0.3))
    return [
        Part(union(p.ellipse(-0.28, 0.92, 0.24, 0.08), p.ellipse(0.28, 0.92, 0.24, 0.08)), "orange"),
        Part(union(wings, p.ellipse(0, 0.05, 0.58, 0.92))),
        Part(p.ellipse(0, 0.32, 0.38, 0.56), "paper"),
        *_eyes(p, 0.2, -0.48, 0.13),
        Part(p.polygon((-0.13, -0.36), (0.13, -0.36), (0, -0.1)), "orange"),
    ]


@thing("animal", colours=("green", "brown"), turn=0.12)
def turtle(p):
    legs = union(p.ellipse(-0.4, 0.55, 0.16, 0.22), p.ellipse(0.45, 0.55, 0.16, 0.22))
    shell = common(p.ellipse(0, 0.4, 0.72, 0.88), p.v - 0.42)
    plates = union(
        p.path([(-0.3, 0.4), (-0.2, -0.1), (0.2, -0.1), (0.3, 0.4)], 0.035),
        p.path([(-0.2, -0.1), (-0.35, -0.25)], 0.035),
    )
    return [
        Part(union(legs, p.circle(-0.8, 0.12, 0.2), p.line(-0.75, 0.3, -0.5, 0.45, 0.13)), "lime green", 0.85),
        Part(p.polygon((0.6, 0.3), (0.98, 0.5), (0.6, 0.45)), "lime green", 0.85),
        Part(shell),
        Part(union(plates, p.line(0.2, -0.1, 0.35, -0.25, 0.035)), BODY, 0.5),
        Part(p.circle(-0.86, 0.06, 0.06), "ink"),
    ]


@thing("animal", colours=("purple", "orange", "pink"), turn=0.1)
def octopus(p):
    arms = [
        p.path([(s * x, 0.2), (s * (x + 0.12), 0.6), (s * (x + 0.02), 0.88)], 0.1) for s in (-1, 1) for x in (0.1, 0.4, 0.68)
    ]
    return [
        Part(union(*arms, p.ellipse(0, -0.22, 0.72, 0.68), p.box(0, 0.25, 0.68, 0.2, corner=0.1))),
        *_eyes(p, 0.26, -0.15, 0.17),
    ]


@thing("animal", colours=("blue", "navy blue", "grey"), kinds=("mammal",), turn=0.12)
def whale(p):
    fluke = union(
        p.ellipse(0.72, -0.5, 0.28, 0.14, 0.6),
        p.ellipse(0.98, -0.48, 0.24, 0.12, -0.9),
        p.line(0.5, 0.15, 0.85, -0.4, 0.12),
    )
    spout = union(p.arc(-0.55, -0.55, 0.2, 0.04, PI, 2 * PI - 0.2), p.arc(-0.15, -0.55, 0.2, 0.04, PI + 0.2, 2 * PI))
    body = union(common(p.ellipse(-0.15, 0.15, 0.82, 0.55), -p.v - 0.5), fluke)
    return [
        Part(union(spout, p.line(-0.35, -0.5, -0.35, -0.3, 0.04)), "sky blue"),
        Part(body),
        Part(common(p.ellipse(-0.2, 0.5, 0.66, 0.2), body), "paper"),
        Part(p.circle(-0.62, 0.08, 0.08), "ink"),
    ]
