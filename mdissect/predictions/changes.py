"""The changes of one factor of a phantom, all else equal: what is removed, or what takes the place of what.

A factor of level "finding" is removed where it is present, or the tissue becomes one step denser or fattier. A factor of level
"descriptor" gives way to another of its kind: a spiculated margin to a circumscribed one. What cannot be drawn with all else
equal is no factor: laterality and view (all that is drawn belongs to them), and the place of a finding (it follows from the
seed), so that a clip is removed and not moved.

Where a finding lies depends on the room that it has. An implant, a skin retraction and a nipple retraction take or move that
room, so that they are removed only from phantoms without any finding that would then move. A mass whose margin or shape changes
keeps its place as far as it has room; a spiculated one is drawn smaller than others. The ducts lead to the nipple wherever it
is, and a silicone or saline implant hides or shows what lies under it: these belong to the factor.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mdissect.arguments import counted, texts
from mdissect.concepts import closest
from mdissect.phantom.mammograms.factors import (
    BENIGN_MORPHOLOGIES,
    DENSITIES,
    DISTRIBUTIONS,
    FACTORS,
    FINDING_NAMES,
    MASS_DENSITIES,
    MASS_MARGINS,
    MASS_SHAPES,
    SUSPICIOUS_MORPHOLOGIES,
    Truth,
    birads_category,
)

FINDING, DESCRIPTOR = LEVELS = ("finding", "descriptor")
DENSER, FATTIER = "denser tissue", "fattier tissue"
#: Findings that change where others have room, and the findings that lie where there is room.
_SHAPES_THE_ROOM = ("implant", "skin_retraction", "nipple_retraction")
_NEEDS_ROOM = (
    "mass", "calcification", "distortion", "asymmetry", "lymph_node", "biopsy_clip", "surgical_clips", "nipple_marker",
    "scar_marker",
)  # fmt: skip
#: What takes the place of a value of a descriptor, by its first value; the second is for the first itself.
_INSTEAD = {
    "mass_margin": ("circumscribed", "spiculated"),
    "mass_shape": ("oval", "irregular"),
    "mass_density": ("equal", "high"),
    "calcification_morphology": ("round", "fine pleomorphic"),
    "calcification_distribution": ("grouped", "diffuse"),
    "implant": ("silicone", "saline"),
}
_VALUES = {
    "mass_margin": MASS_MARGINS,
    "mass_shape": MASS_SHAPES,
    "mass_density": MASS_DENSITIES,
    "calcification_morphology": SUSPICIOUS_MORPHOLOGIES + BENIGN_MORPHOLOGIES,
    "calcification_distribution": DISTRIBUTIONS,
    "implant": ("saline", "silicone"),
}


@dataclass(frozen=True)
class Change:
    """One factor and how it is changed.

    Attributes
    ----------
    factor : str
        As it is called in tables: "mass", "denser tissue", "mass margin: spiculated".
    level : {"finding", "descriptor"}
    words : str
        What is done to the image.
    apply : callable
        A phantom's truth -> the changed truth, or None where the factor cannot be changed.
    adds : bool
        The changed image has the factor and the original has not (or less of it), where otherwise the original has it.
    """

    factor: str
    level: str
    words: str
    apply: Callable[[Truth], Truth | None]
    adds: bool = False


def _removal(name: str) -> Change:
    """A finding is no longer there."""

    def remove(truth: Truth) -> Truth | None:
        if not getattr(truth, name):
            return None
        if name in _SHAPES_THE_ROOM and any(getattr(truth, other) for other in _NEEDS_ROOM):
            return None
        absent = None if name in ("mass", "calcification") else type(getattr(truth, name))()
        return _assessed(replace(truth, **{name: absent}))

    return Change(FINDING_NAMES[name], FINDING, "removed", remove)


def _step(factor: str, by: int) -> Change:
    """The density one step up or down."""

    def change(truth: Truth) -> Truth | None:
        place = DENSITIES.index(truth.density) + by
        return replace(truth, density=DENSITIES[place]) if 0 <= place < len(DENSITIES) else None

    return Change(factor, FINDING, f"density one step {'up' if by > 0 else 'down'}", change, adds=True)


def _exchange(part: str, value: str) -> Change:
    """A value of a descriptor gives way to another one."""
    usual, for_the_usual = _INSTEAD[part]
    other = for_the_usual if value == usual else usual

    def change(truth: Truth) -> Truth | None:
        if _value(truth, part) != value:
            return None
        changed = _with(truth, part, other)
        fat = changed.mass and changed.mass.density == "fat-containing"
        return None if fat and changed.mass.margin == "spiculated" else changed  # there is no such mass, and none is drawn

    return Change(f"{part.replace('_', ' ')}: {value}", DESCRIPTOR, f"{value} becomes {other}", change)


def _suspicion(suspicious: bool) -> Change:
    """Suspicious calcifications become benign ones of the same distribution, or benign ones suspicious."""
    other = "fine pleomorphic" if not suspicious else "round"

    def change(truth: Truth) -> Truth | None:
        held = truth.calcification
        return _with(truth, "calcification_morphology", other) if held and held.suspicious is suspicious else None

    name = "suspicious" if suspicious else "benign"
    return Change(f"calcification: {name}", DESCRIPTOR, f"{name} morphology becomes {other}", change)


def _value(truth: Truth, part: str) -> str:
    name, _, field = part.partition("_")
    return (getattr(getattr(truth, name), field, "") if field else getattr(truth, name)) or ""


def _with(truth: Truth, part: str, value: str) -> Truth:
    """The truth with another value of a descriptor; calcifications without a distribution get a grouped one with a new form."""
    name, _, field = part.partition("_")
    if not field:
        return replace(truth, **{name: value})
    held = replace(getattr(truth, name), **{field: value})
    if field == "morphology":
        held = replace(held, suspicious=value in SUSPICIOUS_MORPHOLOGIES, distribution=held.distribution or "grouped")
    return _assessed(replace(truth, **{name: held}))


def _assessed(truth: Truth) -> Truth:
    """The truth with the BI-RADS category that follows from its findings."""
    return replace(truth, birads=birads_category(**{name: getattr(truth, name) for name in FACTORS}))


#: All changes by factor, findings first.
CHANGES: dict[str, Change] = {
    change.factor: change
    for change in (
        *map(_removal, FACTORS),
        _step(DENSER, 1),
        _step(FATTIER, -1),
        _suspicion(True),
        _suspicion(False),
        *(_exchange(part, value) for part, values in _VALUES.items() for value in values),
    )
}


def redrawable(name: str, value: object) -> tuple[str, ...]:
    """Factors as a tuple: the check of an argument; ValueError for one that cannot be redrawn."""
    factors = texts(name, value)
    if unknown := [factor for factor in factors if factor not in CHANGES]:
        raise ValueError(
            f"{name} has {counted(unknown, 'factor')} that cannot be redrawn{closest(unknown[0], list(CHANGES))}; see "
            "mdissect.predictions.CHANGES"
        )
    return tuple(dict.fromkeys(factors))
