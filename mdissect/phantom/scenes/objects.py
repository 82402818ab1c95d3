"""Household things, tools, clothes and instruments, as cartoons (see `shapes` for how a thing is drawn)."""

import numpy as np

from mdissect.phantom.scenes.shapes import BODY, Part, common, thing, union

PI = np.pi


@thing("object", colours=("brown", "yellow"), kinds=("tool",), thin=True, turn=0.35)
def ladder(p):
    rungs = [p.box(0, float(y), 0.4, 0.075) for y in np.linspace(-0.75, 0.75, 5)]
    return [Part(union(*rungs, p.box(-0.42, 0, 0.1, 0.98), p.box(0.42, 0, 0.1, 0.98)))]


@thing("object", turn=0.1)
def mug(p):
    return [
        Part(np.abs(p.ellipse(0.45, 0.12, 0.4, 0.36)) - 0.09),
        Part(p.box(-0.15, 0.12, 0.58, 0.7, corner=0.1)),
        Part(p.ellipse(-0.15, -0.55, 0.56, 0.14), "brown", 0.7),
    ]


@thing("object", colours=("green", "brown", "blue"), turn=0.1)
def bottle(p):
    return [
        Part(union(p.box(0, 0.4, 0.4, 0.56, corner=0.12), p.ellipse(0, -0.12, 0.39, 0.36), p.box(0, -0.6, 0.15, 0.3))),
        Part(p.box(0, -0.9, 0.17, 0.09), "ink"),
        Part(p.box(0, 0.42, 0.4, 0.22), "paper"),
    ]


@thing("object", turn=0.15)
def umbrella(p):
    bites = [p.ellipse(x, 0.08, 0.32, 0.16) for x in (-0.63, 0, 0.63)]
    return [
        Part(union(p.box(0, 0.3, 0.045, 0.55), p.arc(0.15, 0.82, 0.15, 0.045, 0, PI)), "ink"),
        Part(common(p.circle(0, 0.05, 0.95), p.v - 0.08, -union(*bites))),
    ]


@thing("object", colours=("yellow", "grey"), kinds=("tool",), thin=True, turn=0.5)
def key(p):
    teeth = union(p.box(0.55, 0.2, 0.08, 0.2), p.box(0.83, 0.17, 0.09, 0.17))
    return [Part(union(np.abs(p.circle(-0.52, 0, 0.32)) - 0.13, p.box(0.35, 0, 0.58, 0.11), teeth))]


@thing("object", colours=("brown", "beige"), kinds=("furniture",), turn=0.08)
def chair(p):
    legs = [p.box(x, 0.62, 0.08, 0.36) for x in (-0.46, 0.5)]
    return [
        Part(union(*legs, p.box(-0.46, -0.35, 0.1, 0.62))),
        Part(p.box(0.02, 0.22, 0.6, 0.13)),
        Part(p.box(-0.46, -0.55, 0.14, 0.42, corner=0.08)),
    ]


@thing("object", colours=("brown", "beige", "white"), kinds=("furniture",), turn=0.05)
def table(p):
    return [
        Part(union(p.box(-0.72, 0.25, 0.1, 0.6), p.box(0.72, 0.25, 0.1, 0.6)), BODY, 0.8),
        Part(p.box(0, -0.38, 0.98, 0.15)),
    ]


@thing("object", kinds=("furniture",), turn=0.05)
def lamp(p):
    return [
        Part(p.box(0, 0.3, 0.06, 0.5), "ink"),
        Part(p.ellipse(0, 0.85, 0.42, 0.12), "ink"),
        Part(p.polygon((-0.35, -0.9), (0.35, -0.9), (0.72, 0.05), (-0.72, 0.05))),
        Part(p.ellipse(0, 0.06, 0.7, 0.09), "yellow"),
    ]


@thing("object", turn=0.06)
def clock(p):
    marks = [p.circle(float(0.62 * np.cos(a)), float(0.62 * np.sin(a)), 0.055) for a in np.arange(12) * PI / 6]
    return [
        Part(p.circle(0, 0, 0.95)),
        Part(p.circle(0, 0, 0.75), "paper"),
        Part(union(*marks, p.line(0, 0, 0, -0.5, 0.05), p.line(0, 0, 0.36, 0.16, 0.06)), "ink"),
    ]


@thing("object", turn=3.0)
def ball(p):
    disc = p.circle(0, 0, 0.92)
    panels = np.sin(3 * np.arctan2(p.v - 0.1, p.u + 0.1)) * 0.5 * np.sqrt((p.u + 0.1) ** 2 + (p.v - 0.1) ** 2)
    return [Part(disc), Part(common(disc, panels), "paper"), Part(p.circle(-0.1, 0.1, 0.15))]


@thing("object", turn=0.12)
def book(p):
    return [
        Part(p.box(0.04, 0.05, 0.7, 0.88, corner=0.05), "paper"),
        Part(p.box(-0.06, -0.03, 0.7, 0.88, corner=0.05)),
        Part(p.box(-0.62, -0.03, 0.1, 0.88), BODY, 0.6),
        Part(union(p.box(0.1, -0.48, 0.36, 0.06), p.box(0.1, -0.28, 0.26, 0.05)), "paper"),
    ]


@thing("object", kinds=("clothing",), turn=0.1)
def hat(p):
    return [
        Part(union(p.box(0, -0.2, 0.55, 0.58, corner=0.1), p.ellipse(0, 0.48, 0.98, 0.24))),
        Part(p.box(0, 0.18, 0.56, 0.13), "ink"),
    ]


@thing("object", kinds=("clothing",), turn=0.08)
def shirt(p):
    outline = [(-0.3, -0.75), (0.3, -0.75), (0.98, -0.35), (0.75, 0.1), (0.52, -0.05), (0.52, 0.85)]
    return [
        Part(p.polygon(*outline, *[(-x, y) for x, y in outline[:1:-1]])),
        Part(p.ellipse(0, -0.77, 0.24, 0.17), "ink"),
    ]


@thing("object", colours=("white", "beige"), turn=0.12)
def envelope(p):
    flap = p.path([(-0.9, -0.55), (0, 0.12), (0.9, -0.55)], 0.035)
    return [Part(p.box(0, 0, 0.95, 0.62)), Part(flap, "ink"), Part(p.circle(0, 0.1, 0.15), "red")]


@thing("object", colours=("grey", "black"), kinds=("tool",), turn=0.5)
def hammer(p):
    head = union(p.box(0.12, -0.58, 0.5, 0.29), p.polygon((-0.35, -0.87), (-0.35, -0.35), (-0.9, -0.66)))
    return [Part(p.box(0, 0.22, 0.12, 0.76, corner=0.06), "brown"), Part(head)]


@thing("object", turn=0.05)
def candle(p):
    return [
        Part(p.box(0, 0.4, 0.38, 0.52)),
        Part(p.box(0, 0.88, 0.6, 0.1, corner=0.05), "ink"),
        Part(p.line(0, -0.05, 0, -0.25, 0.03), "ink"),
        Part(union(p.circle(0, -0.42, 0.2), p.polygon((-0.18, -0.5), (0, -0.98), (0.18, -0.5))), "orange"),
        Part(p.ellipse(0, -0.38, 0.09, 0.15), "yellow"),
    ]


@thing("object", turn=0.08)
def flag(p):
    sway = 0.09 * np.sin(p.u * 4.5)
    cloth = common(np.abs(p.u - 0.14) - 0.8, np.abs(p.v + 0.38 + sway) - 0.5)
    return [Part(cloth), Part(p.box(-0.72, 0, 0.07, 0.98), "brown"), Part(p.circle(-0.72, -0.93, 0.1), "yellow")]


@thing("object", colours=("brown", "orange", "red"), kinds=("instrument",), turn=0.4)
def guitar(p):
    return [
        Part(p.box(0, -0.5, 0.09, 0.42), "brown", 0.7),
        Part(p.box(0, -0.88, 0.16, 0.12), "ink"),
        Part(union(p.circle(0, 0.46, 0.53), p.circle(0, -0.08, 0.38))),
        Part(p.circle(0, 0.14, 0.17), "ink"),
        Part(p.box(0, 0.68, 0.2, 0.05), "ink"),
    ]


@thing("object", colours=("yellow", "grey"), kinds=("instrument",), turn=0.2)
def bell(p):
    cup = union(common(p.circle(0, -0.15, 0.58), p.v), p.polygon((-0.58, -0.1), (0.58, -0.1), (0.88, 0.6), (-0.88, 0.6)))
    return [
        Part(p.circle(0, 0.66, 0.2), "ink"),
        Part(np.abs(p.circle(0, -0.8, 0.12)) - 0.05),
        Part(cup),
        Part(p.box(0, 0.55, 0.9, 0.09), BODY, 0.75),
    ]


@thing("object", colours=("yellow",), kinds=("clothing",), turn=0.1)
def crown(p):
    points = [(-0.92, -0.5), (-0.45, 0.05), (0, -0.72), (0.45, 0.05), (0.92, -0.5), (0.75, 0.65), (-0.75, 0.65)]
    jewels = union(*[p.circle(x, y, 0.1) for x, y in points[:5:2]])
    return [
        Part(p.polygon(*points)),
        Part(jewels),
        Part(union(*[p.circle(x, 0.42, 0.1) for x in (-0.42, 0, 0.42)]), "red"),
    ]


@thing("object", colours=("black", "red", "brown"), thin=True, turn=0.1)
def sunglasses(p):
    rims = [p.circle(x, 0, 0.38) for x in (-0.5, 0.5)]
    return [
        Part(union(*rims), "ink"),
        Part(union(*[np.abs(rim) - 0.09 for rim in rims], p.arc(0, 0.02, 0.13, 0.06, PI, 2 * PI))),
        Part(union(p.line(-0.86, -0.1, -0.98, -0.3, 0.06), p.line(0.86, -0.1, 0.98, -0.3, 0.06))),
    ]


@thing("object", colours=("yellow", "white"), turn=0.12)
def light_bulb(p):
    return [
        Part(union(p.circle(0, -0.3, 0.62), p.polygon((-0.5, 0.05), (0.5, 0.05), (0.26, 0.48), (-0.26, 0.48)))),
        Part(p.path([(-0.2, 0.3), (-0.2, -0.2), (0, -0.02), (0.2, -0.2), (0.2, 0.3)], 0.04), "ink"),
        Part(p.box(0, 0.66, 0.27, 0.2, corner=0.05), "grey"),
        Part(union(*[p.box(0, y, 0.3, 0.03) for y in (0.56, 0.66, 0.76)], p.circle(0, 0.88, 0.1)), "ink"),
    ]


@thing("object", colours=("yellow", "red", "green"), kinds=("tool",), turn=0.6)
def pencil(p):
    return [
        Part(p.box(0.12, 0, 0.62, 0.28)),
        Part(p.box(0.12, 0, 0.62, 0.09), BODY, 0.75),
        Part(p.box(0.82, 0, 0.14, 0.28, corner=0.05), "pink"),
        Part(p.box(0.68, 0, 0.06, 0.28), "grey"),
        Part(p.polygon((-0.5, -0.28), (-0.5, 0.28), (-0.98, 0)), "beige"),
        Part(p.polygon((-0.8, -0.105), (-0.8, 0.105), (-0.98, 0)), "ink"),
    ]


@thing("object", colours=("black", "grey"), turn=0.08)
def camera(p):
    return [
        Part(union(p.box(0, 0.12, 0.95, 0.58, corner=0.1), p.box(0, -0.5, 0.36, 0.16))),
        Part(p.circle(0, 0.12, 0.43), "grey"),
        Part(p.circle(0, 0.12, 0.34), "ink"),
        Part(p.circle(-0.08, 0.04, 0.12), "sky blue"),
        Part(p.box(0.68, -0.26, 0.14, 0.08), "paper"),
    ]


@thing("object", turn=0.05)
def television(p):
    antenna = union(p.line(0, -0.5, -0.4, -0.95, 0.04), p.line(0, -0.5, 0.4, -0.95, 0.04))
    return [
        Part(union(antenna, p.box(-0.5, 0.85, 0.07, 0.12), p.box(0.5, 0.85, 0.07, 0.12)), "ink"),
        Part(p.box(0, 0.15, 0.95, 0.65, corner=0.12)),
        Part(p.box(-0.17, 0.15, 0.62, 0.48, corner=0.12), "ink"),
        Part(p.polygon((-0.6, 0.4), (-0.3, -0.2), (-0.12, -0.2), (-0.42, 0.4)), "grey"),
        Part(union(p.circle(0.7, -0.1, 0.1), p.circle(0.7, 0.2, 0.1)), "ink"),
    ]


@thing("object", turn=0.08)
def gift_box(p):
    bow = union(p.ellipse(-0.27, -0.62, 0.3, 0.15, 0.5), p.ellipse(0.27, -0.62, 0.3, 0.15, -0.5))
    ribbon = "paper"
    return [
        Part(p.box(0, 0.3, 0.75, 0.62)),
        Part(p.box(0, -0.22, 0.85, 0.2), BODY, 0.85),
        Part(union(p.box(0, 0.25, 0.13, 0.67), bow), ribbon),
    ]


@thing("object", colours=("black", "grey", "red"), turn=0.08)
def cassette_player(p):
    reels = [(-0.26, 0.08), (0.26, 0.08)]
    return [
        Part(np.abs(p.box(0, -0.45, 0.6, 0.35, corner=0.15)) - 0.06, "ink"),
        Part(p.box(0, 0.15, 0.95, 0.62, corner=0.1)),
        Part(p.box(0, 0.08, 0.55, 0.3, corner=0.06), "paper"),
        Part(union(*[np.abs(p.circle(*reel, 0.14)) - 0.06 for reel in reels]), "ink"),
        Part(union(*[p.box(x, 0.58, 0.09, 0.09) for x in (-0.5, -0.25, 0.0, 0.25, 0.5)]), "paper"),
    ]


@thing("object", colours=("red", "white", "yellow"), turn=0.05)
def gas_pump(p):
    hose = p.path([(0.35, 0.5), (0.62, 0.55), (0.82, 0.3), (0.82, -0.35), (0.62, -0.6)], 0.055)
    return [
        Part(union(hose, p.box(-0.15, 0.88, 0.62, 0.1)), "ink"),
        Part(p.box(-0.15, 0.0, 0.52, 0.9, corner=0.12)),
        Part(p.box(-0.15, -0.42, 0.36, 0.28), "paper"),
        Part(union(p.box(-0.15, -0.5, 0.24, 0.05), p.box(-0.15, -0.34, 0.24, 0.05)), "ink"),
        Part(union(p.circle(-0.15, 0.3, 0.17), p.polygon((-0.3, 0.22), (-0.15, -0.05), (0.0, 0.22))), "ink"),
    ]
