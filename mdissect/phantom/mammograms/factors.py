"""The truth of a mammogram phantom: what a patient, a breast and a view show, without pixels.

Every factor has its own random stream, keyed by seed, patient, scope (patient, breast or view) and the factor's name, so
that leaving out a factor, or another order of images, changes nothing else.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from zlib import crc32

import numpy as np

DENSITIES = ("A", "B", "C", "D")
MASS_SHAPES = ("oval", "round", "irregular")
MASS_MARGINS = ("circumscribed", "obscured", "indistinct", "microlobulated", "spiculated")
MASS_DENSITIES = ("low", "equal", "high", "fat-containing")
SUSPICIOUS_MORPHOLOGIES = ("amorphous", "coarse heterogeneous", "fine pleomorphic", "fine linear branching")
BENIGN_MORPHOLOGIES = ("round", "rim", "popcorn", "vascular", "rod-like", "skin", "dystrophic")
DISTRIBUTIONS = ("diffuse", "regional", "grouped", "linear", "segmental")

#: Factors that ``sample_truth(exclude=...)`` can leave out.
FACTORS = (
    "mass", "calcification", "distortion", "asymmetry", "skin_thickening", "skin_retraction", "nipple_retraction",
    "lymph_node", "implant", "biopsy_clip", "surgical_clips", "pacemaker", "nipple_marker", "scar_marker",
)  # fmt: skip
#: The name under which each factor's boxes and masks are listed.
FINDING_NAMES = {"distortion": "architectural distortion"} | {
    factor: factor.replace("_", " ") for factor in FACTORS if factor != "distortion"
}

#: How often a breast (implant: a patient, pacemaker: a left MLO view) shows a factor.
PREVALENCE = {
    "mass": 0.36, "calcification": 0.36, "distortion": 0.12, "skin_thickening": 0.11, "skin_retraction": 0.05,
    "nipple_retraction": 0.08, "implant": 0.11, "biopsy_clip": 0.12, "surgical_clips": 0.05, "pacemaker": 0.08,
    "nipple_marker": 0.08, "scar_marker": 0.07,
}  # fmt: skip
DENSITY_PREVALENCE = (0.2, 0.3, 0.3, 0.2)
SUSPICIOUS_SHARE = 0.58
INTRAMAMMARY_NODE = 0.05
AXILLARY_NODE = 0.3
#: Per breast. An "asymmetry" is by definition seen in one of the two views, hence half as often per image.
ASYMMETRY_PREVALENCE = {"asymmetry": 0.08, "focal": 0.05, "global": 0.03}

_VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
_MARGIN_WEIGHTS = (0.30, 0.12, 0.16, 0.14, 0.28)
_SHAPE_WEIGHTS = {
    "circumscribed": (0.6, 0.4, 0.0),
    "obscured": (0.55, 0.35, 0.1),
    "indistinct": (0.3, 0.2, 0.5),
    "microlobulated": (0.4, 0.3, 0.3),
    "spiculated": (0.0, 0.12, 0.88),
}
_DENSITY_WEIGHTS = {
    "circumscribed": (0.25, 0.35, 0.15, 0.25),
    "obscured": (0.2, 0.6, 0.2, 0.0),
    "indistinct": (0.15, 0.45, 0.4, 0.0),
    "microlobulated": (0.1, 0.45, 0.45, 0.0),
    "spiculated": (0.05, 0.3, 0.65, 0.0),
}
_SUSPICIOUS_DISTRIBUTION_WEIGHTS = (0.08, 0.12, 0.4, 0.2, 0.2)
_BENIGN_DISTRIBUTIONS = {
    "round": ("grouped", "regional", "diffuse"),
    "rod-like": ("regional", "diffuse"),
    "skin": ("grouped", "regional"),
    "dystrophic": ("grouped", "regional"),
}


@dataclass(frozen=True)
class Mass:
    """A mass in BI-RADS words: shape, margin, density."""

    shape: str
    margin: str
    density: str


@dataclass(frozen=True)
class Calcification:
    """Calcifications: morphology, distribution ("" where none applies: popcorn, rim, vascular), suspicion."""

    morphology: str
    distribution: str
    suspicious: bool


@dataclass(frozen=True)
class Truth:
    """What one phantom image shows.

    ``patient`` is ``P`` and six digits (``index // 4``), ``density`` a BI-RADS density A-D, ``birads`` 1-5 (see
    `birads_category`). ``asymmetry`` is "", "asymmetry" (one view only), "focal" or "global"; ``lymph_node`` is "",
    "axillary" (MLO only) or "intramammary"; ``implant`` is "", "saline" or "silicone".
    """

    index: int
    patient: str
    laterality: str
    view: str
    density: str
    birads: int
    mass: Mass | None = None
    calcification: Calcification | None = None
    distortion: bool = False
    asymmetry: str = ""
    skin_thickening: bool = False
    skin_retraction: bool = False
    nipple_retraction: bool = False
    lymph_node: str = ""
    implant: str = ""
    biopsy_clip: bool = False
    surgical_clips: bool = False
    pacemaker: bool = False
    nipple_marker: bool = False
    scar_marker: bool = False

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of what is present, as in boxes and masks, in the order of `FACTORS`."""
        return tuple(FINDING_NAMES[factor] for factor in FACTORS if getattr(self, factor))

    def as_row(self) -> dict[str, str | int | bool]:
        """One flat row of scalars for a table; ``findings`` holds the finding names joined by "; "."""
        row = {name: getattr(self, name) for name in ("index", "patient", "laterality", "view", "density", "birads")}
        row |= {name: getattr(self, name) is not None for name in ("mass", "calcification")}
        mass, calcification = self.mass or Mass("", "", ""), self.calcification or Calcification("", "", False)
        row |= {f"mass_{name}": value for name, value in vars(mass).items()}
        row |= {f"calcification_{name}": value for name, value in vars(calcification).items()}
        row |= {name: getattr(self, name) for name in FACTORS if name not in row}
        return row | {"findings": "; ".join(self.findings)}


def truth_of_row(row: Mapping) -> Truth:
    """The truth of a row of `Truth.as_row`, such as a line of a phantom probe's table.

    Raises
    ------
    KeyError
        A column is missing: not a table of phantoms.
    """
    values = {f.name: row[f.name] for f in fields(Truth)}
    values["mass"] = Mass(row["mass_shape"], row["mass_margin"], row["mass_density"]) if row["mass"] else None
    calcification = (row["calcification_morphology"], row["calcification_distribution"], bool(row["calcification_suspicious"]))
    values["calcification"] = Calcification(*calcification) if row["calcification"] else None
    return Truth(**values)


def stream(seed: int, patient: int, scope: str, part: str) -> np.random.Generator:
    """The random stream of one part of a patient, shared by a scope: "" (all four views), "L" or "R" (a breast), or "L CC"."""
    return np.random.default_rng([seed, patient, crc32(scope.encode()), crc32(part.encode())])


def sample_truth(seed: int, index: int, exclude: Collection[str] = ()) -> Truth:
    """The truth of image ``index``, a pure function of the arguments.

    >>> sample_truth(seed=0, index=9).findings
    ('mass', 'architectural distortion', 'biopsy clip')

    Images 4 p to 4 p + 3 are patient p's L CC, R CC, L MLO and R MLO; density and implants agree over all four, a
    breast's lesions and devices over its two. ``exclude`` names factors (see `FACTORS`) to leave out; all others stay the
    same (the BI-RADS category follows what is left).

    Raises
    ------
    ValueError
        Negative seed or index, or an unknown name in ``exclude``.
    """
    exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    if seed < 0 or index < 0:
        raise ValueError(f"seed={seed} and index={index} must be 0 or more")
    if unknown := sorted(set(exclude) - set(FACTORS)):
        raise ValueError(f"exclude names unknown factors {unknown}; known are {', '.join(FACTORS)}")
    patient, (laterality, view) = index // 4, _VIEWS[index % 4]

    def draw(scope: str, part: str) -> np.random.Generator:
        return stream(seed, patient, scope, part)

    factors = {
        name: bool(draw(laterality, name).random() < PREVALENCE[name])
        for name in FACTORS
        if name in PREVALENCE and name not in ("mass", "calcification", "implant", "pacemaker")
    }
    factors["mass"] = _draw_mass(draw(laterality, "mass"))
    factors["calcification"] = _draw_calcification(draw(laterality, "calcification"))
    factors["asymmetry"] = _draw_asymmetry(draw(laterality, "asymmetry"), view)
    factors["lymph_node"] = _draw_lymph_node(draw(laterality, "lymph_node"), view)
    factors["implant"] = _draw_implant(draw("", "implant"))
    has_pacemaker = draw("", "pacemaker").random() < PREVALENCE["pacemaker"]
    factors["pacemaker"] = bool(has_pacemaker) and (laterality, view) == ("L", "MLO")
    factors = {name: value for name, value in factors.items() if name not in exclude}
    return Truth(
        index=index,
        patient=f"P{patient:06d}",
        laterality=laterality,
        view=view,
        density=_pick(draw("", "density"), DENSITIES, DENSITY_PREVALENCE),
        birads=birads_category(**factors),
        **factors,
    )


def birads_category(mass: Mass | None = None, calcification: Calcification | None = None, **factors) -> int:
    """The BI-RADS category that follows from the findings: the highest of the following.

    1  nothing but a pacemaker or a nipple marker
    2  implant, clips, scar marker, lymph node, global asymmetry, benign calcifications, fat-containing mass
    3  circumscribed mass, grouped round calcifications, asymmetry, focal asymmetry
    4  other masses, suspicious calcifications, distortion, skin thickening, skin or nipple retraction
    5  spiculated mass; irregular indistinct mass of high density; fine linear branching calcifications; fine
       pleomorphic ones in a linear or segmental distribution
    """
    category = 1
    if any(factors.get(name) for name in ("implant", "biopsy_clip", "surgical_clips", "scar_marker", "lymph_node")):
        category = 2
    if asymmetry := factors.get("asymmetry"):
        category = 2 if asymmetry == "global" else 3
    if any(factors.get(name) for name in ("distortion", "skin_thickening", "skin_retraction", "nipple_retraction")):
        category = 4
    return max(category, _mass_category(mass), _calcification_category(calcification))


def _mass_category(mass: Mass | None) -> int:
    if mass is None:
        return 1
    if mass.density == "fat-containing":
        return 2
    if mass.margin == "spiculated" or mass == Mass("irregular", "indistinct", "high"):
        return 5
    return 3 if mass.margin == "circumscribed" else 4


def _calcification_category(calcification: Calcification | None) -> int:
    if calcification is None:
        return 1
    if not calcification.suspicious:
        return 3 if (calcification.morphology, calcification.distribution) == ("round", "grouped") else 2
    if calcification.morphology == "fine linear branching":
        return 5
    ductal = calcification.distribution in ("linear", "segmental")
    return 5 if calcification.morphology == "fine pleomorphic" and ductal else 4


def _pick(rng: np.random.Generator, values: tuple[str, ...], weights: tuple[float, ...] | None = None) -> str:
    return values[int(rng.choice(len(values), p=weights))]


def _draw_mass(rng: np.random.Generator) -> Mass | None:
    if rng.random() >= PREVALENCE["mass"]:
        return None
    margin = _pick(rng, MASS_MARGINS, _MARGIN_WEIGHTS)
    shape = _pick(rng, MASS_SHAPES, _SHAPE_WEIGHTS[margin])
    return Mass(shape, margin, _pick(rng, MASS_DENSITIES, _DENSITY_WEIGHTS[margin]))


def _draw_calcification(rng: np.random.Generator) -> Calcification | None:
    if rng.random() >= PREVALENCE["calcification"]:
        return None
    if rng.random() < SUSPICIOUS_SHARE:
        morphology = _pick(rng, SUSPICIOUS_MORPHOLOGIES)
        return Calcification(morphology, _pick(rng, DISTRIBUTIONS, _SUSPICIOUS_DISTRIBUTION_WEIGHTS), True)
    morphology = _pick(rng, BENIGN_MORPHOLOGIES)
    distributions = _BENIGN_DISTRIBUTIONS.get(morphology)
    return Calcification(morphology, _pick(rng, distributions) if distributions else "", False)


def _draw_asymmetry(rng: np.random.Generator, view: str) -> str:
    kinds = tuple(ASYMMETRY_PREVALENCE)
    weights = tuple(ASYMMETRY_PREVALENCE.values())
    kind = _pick(rng, (*kinds, ""), (*weights, 1 - sum(weights)))
    only_view = _pick(rng, ("CC", "MLO"))
    return "" if kind == "asymmetry" and view != only_view else kind


def _draw_lymph_node(rng: np.random.Generator, view: str) -> str:
    if rng.random() < INTRAMAMMARY_NODE:
        return "intramammary"
    axillary = rng.random() < AXILLARY_NODE / (1 - INTRAMAMMARY_NODE)
    return "axillary" if axillary and view == "MLO" else ""


def _draw_implant(rng: np.random.Generator) -> str:
    present = rng.random() < PREVALENCE["implant"]
    return _pick(rng, ("saline", "silicone")) if present else ""
