"""Buildings and vehicles, as cartoons (see `shapes` for how a thing is drawn)."""

import numpy as np

from mdissect.phantom.scenes.shapes import BODY, Part, common, thing, union


@thing("object", kinds=("building",), turn=0.06)
def house(p):
    return [
        Part(p.box(0.45, -0.6, 0.1, 0.25), "maroon"),
        Part(p.box(0, 0.38, 0.72, 0.56)),
        Part(p.polygon((-0.95, -0.1), (0, -0.92), (0.95, -0.1)), "brown"),
        Part(p.box(0, 0.6, 0.15, 0.34), "ink"),
        Part(union(p.box(-0.43, 0.3, 0.14, 0.14), p.box(0.43, 0.3, 0.14, 0.14)), "paper"),
    ]


@thing("object", colours=("grey", "beige"), kinds=("building",), turn=0.05)
def castle(p):
    towers = [p.box(x, 0.2, 0.22, 0.72) for x in (-0.72, 0.72)]
    teeth = [p.box(x, -0.6, 0.09, 0.14) for x in (-0.85, -0.59, 0.59, 0.85)]
    wall = [p.box(x, 0.0, 0.09, 0.14) for x in (-0.36, 0, 0.36)]
    gate = union(p.box(0, 0.72, 0.2, 0.2), p.circle(0, 0.52, 0.2))
    return [
        Part(union(*towers, *teeth, *wall, p.box(0, 0.48, 0.6, 0.44))),
        Part(gate, "ink"),
        Part(union(p.box(-0.72, -0.05, 0.06, 0.14), p.box(0.72, -0.05, 0.06, 0.14)), "ink"),
    ]


@thing("object", colours=("orange", "green", "red", "blue"), turn=0.06)
def tent(p):
    return [
        Part(p.polygon((0, -0.75), (0.98, 0.7), (-0.98, 0.7))),
        Part(p.polygon((0, -0.25), (0.32, 0.7), (-0.32, 0.7)), "ink"),
    ]


@thing("object", colours=("red", "white"), kinds=("building",), turn=0.05)
def lighthouse(p):
    return [
        Part(p.polygon((-0.26, -0.5), (0.26, -0.5), (0.42, 0.95), (-0.42, 0.95))),
        Part(union(p.box(0, -0.08, 0.34, 0.13), p.box(0, 0.45, 0.39, 0.13)), "paper"),
        Part(p.box(0, -0.66, 0.22, 0.17), "yellow"),
        Part(p.polygon((-0.32, -0.8), (0, -1.0), (0.32, -0.8)), "ink"),
        Part(p.box(0, -0.48, 0.34, 0.05), "ink"),
    ]


@thing("object", kinds=("vehicle", "wheel"), turn=0.08)
def car(p):
    wheels = [(-0.52, 0.42), (0.52, 0.42)]
    cabin = p.polygon((-0.6, 0.0), (-0.38, -0.45), (0.28, -0.45), (0.55, 0.0))
    return [
        Part(union(p.box(0, 0.16, 0.98, 0.27, corner=0.12), cabin)),
        Part(union(p.box(-0.24, -0.17, 0.18, 0.15), p.box(0.2, -0.17, 0.15, 0.15)), "sky blue"),
        Part(union(*[p.circle(*wheel, 0.25) for wheel in wheels]), "ink"),
        Part(union(*[p.circle(*wheel, 0.1) for wheel in wheels]), "grey"),
    ]


@thing("object", colours=("yellow", "red"), kinds=("vehicle", "wheel"), turn=0.05)
def bus(p):
    wheels = [(-0.55, 0.55), (0.55, 0.55)]
    return [
        Part(p.box(0, 0.0, 0.98, 0.56, corner=0.1)),
        Part(union(*[p.box(x, -0.2, 0.15, 0.17) for x in (-0.72, -0.32, 0.08, 0.48)]), "sky blue"),
        Part(p.box(0.8, 0.08, 0.1, 0.4), "sky blue"),
        Part(union(*[p.circle(*wheel, 0.22) for wheel in wheels]), "ink"),
        Part(union(*[p.circle(*wheel, 0.08) for wheel in wheels]), "grey"),
    ]


@thing("object", kinds=("vehicle",), turn=0.1)
def boat(p):
    return [
        Part(p.box(0.02, -0.15, 0.045, 0.75), "ink"),
        Part(p.polygon((-0.1, -0.85), (-0.1, 0.3), (-0.85, 0.3))),
        Part(p.polygon((0.14, -0.7), (0.14, 0.3), (0.75, 0.3))),
        Part(p.polygon((-0.98, 0.4), (0.98, 0.4), (0.65, 0.85), (-0.65, 0.85)), "brown"),
    ]


@thing("object", colours=("white", "grey"), kinds=("vehicle",), turn=0.3)
def airplane(p):
    return [
        Part(p.polygon((0.15, 0.0), (-0.3, -0.85), (-0.5, -0.85), (-0.25, 0.0))),
        Part(p.polygon((-0.65, 0), (-0.98, -0.5), (-0.8, -0.5), (-0.45, 0))),
        Part(p.ellipse(0, 0.05, 0.98, 0.23)),
        Part(p.polygon((0.2, 0.1), (-0.3, 0.85), (-0.52, 0.85), (-0.22, 0.1)), BODY, 0.85),
        Part(union(*[p.circle(x, -0.01, 0.06) for x in (-0.35, -0.12, 0.11, 0.34)]), "navy blue"),
        Part(p.ellipse(0.7, -0.01, 0.14, 0.08), "sky blue"),
    ]


@thing("object", colours=("white", "red", "grey"), kinds=("vehicle",), turn=0.3)
def rocket(p):
    return [
        Part(p.polygon((-0.2, 0.6), (0.2, 0.6), (0, 1.0)), "orange"),
        Part(
            union(p.polygon((-0.25, 0.1), (-0.65, 0.68), (-0.25, 0.6)), p.polygon((0.25, 0.1), (0.65, 0.68), (0.25, 0.6))),
            "red",
        ),
        Part(common(p.ellipse(0, 0.1, 0.38, 1.08), p.v - 0.65)),
        Part(p.circle(0, -0.2, 0.17), "ink"),
        Part(p.circle(0, -0.2, 0.11), "sky blue"),
    ]


@thing("object", turn=0.08)
def hot_air_balloon(p):
    envelope = union(p.circle(0, -0.28, 0.68), p.polygon((-0.58, 0.05), (0.58, 0.05), (0.17, 0.6), (-0.17, 0.6)))
    ropes = union(p.line(-0.15, 0.6, -0.14, 0.75, 0.025), p.line(0.15, 0.6, 0.14, 0.75, 0.025))
    gores = union(np.abs(p.ellipse(0, -0.15, 0.3, 0.8)) - 0.025, p.box(0, 0, 0.02, 0.9))
    return [
        Part(ropes, "ink"),
        Part(p.box(0, 0.85, 0.2, 0.13, corner=0.04), "brown"),
        Part(envelope),
        Part(common(gores, envelope), BODY, 0.6),
    ]


@thing("object", kinds=("vehicle", "wheel"), thin=True, turn=0.08)
def bicycle(p):
    wheels = union(*[np.abs(p.circle(x, 0.3, 0.4)) - 0.05 for x in (-0.55, 0.55)])
    frame = p.path([(-0.55, 0.3), (-0.2, -0.25), (0.38, -0.25), (0.0, 0.3), (-0.55, 0.3)], 0.055)
    rest = union(p.path([(0.55, 0.3), (0.36, -0.45), (0.6, -0.5)], 0.055), p.line(0.0, 0.3, -0.24, -0.42, 0.05))
    return [Part(wheels, "ink"), Part(union(frame, rest)), Part(p.box(-0.26, -0.45, 0.17, 0.06), "ink")]


@thing("object", colours=("white", "beige"), kinds=("building",), turn=0.04)
def church(p):
    arch = union(p.box(-0.45, 0.75, 0.13, 0.2), p.circle(-0.45, 0.55, 0.13))
    windows = [union(p.box(x, 0.45, 0.08, 0.14), p.circle(x, 0.31, 0.08)) for x in (0.12, 0.45, 0.78)]
    spire = p.polygon((-0.85, -0.3), (-0.45, -0.8), (-0.05, -0.3))
    nave = p.polygon((-0.15, 0.15), (0.05, -0.2), (0.8, -0.2), (1.0, 0.15))
    symbol = union(p.box(-0.45, -0.83, 0.035, 0.17), p.box(-0.45, -0.86, 0.11, 0.035))
    return [
        Part(symbol, "ink"),
        Part(union(p.box(-0.45, 0.3, 0.34, 0.65), p.box(0.45, 0.5, 0.48, 0.45))),
        Part(union(spire, nave), "maroon"),
        Part(union(arch, *windows, p.circle(-0.45, 0.0, 0.13)), "ink"),
    ]


@thing("object", colours=("green", "orange", "white"), kinds=("vehicle", "wheel"), turn=0.05)
def truck(p):
    wheels = [(-0.6, 0.55), (0.05, 0.55), (0.66, 0.55)]
    return [
        Part(p.box(-0.3, -0.1, 0.66, 0.56, corner=0.06)),
        Part(union(p.box(0.7, 0.16, 0.28, 0.3, corner=0.06), p.box(0.2, 0.46, 0.75, 0.07)), "grey"),
        Part(p.polygon((0.55, 0.1), (0.55, -0.08), (0.78, -0.08), (0.92, 0.1)), "sky blue"),
        Part(union(*[p.circle(*wheel, 0.22) for wheel in wheels]), "ink"),
        Part(union(*[p.circle(*wheel, 0.09) for wheel in wheels]), "paper"),
    ]


@thing("object", turn=0.12)
def parachute(p):
    bites = [p.circle(x, 0.05, 0.21) for x in (-0.64, -0.21, 0.21, 0.64)]
    canopy = common(p.ellipse(0, 0.0, 0.92, 0.9), p.v, -union(*bites))
    cords = [p.line(x, -0.02, 0, 0.62, 0.022) for x in (-0.84, -0.42, 0.0, 0.42, 0.84)]
    rider = union(p.circle(0, 0.6, 0.1), p.box(0, 0.8, 0.09, 0.14, corner=0.05), p.line(-0.2, 0.55, 0.2, 0.55, 0.03))
    seams = union(*[np.abs(p.ellipse(0, 0.0, wide, 0.9)) - 0.02 for wide in (0.2, 0.6)])
    return [Part(union(*cords), "ink"), Part(canopy), Part(common(seams, canopy), BODY, 0.6), Part(rider, "ink")]
