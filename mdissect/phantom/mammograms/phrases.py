"""The phrases of the mammography reports and the facts about a phantom that each states.

Each section maps the facts that must hold (factor keys joined by " & "; "" is true of every phantom; "no_x" holds where x
does not) to the wordings that state them, separated by " | ". Vague words use keys of `facts.ANY_OF`. The wordings follow
the BI-RADS lexicon (5th edition); those of the shipped concept set appear as they are written there. "Associated"
features ("mass with calcification") are those of the same image.
"""

from itertools import chain, product

from mdissect.phantom.mammograms.factors import (
    BENIGN_MORPHOLOGIES,
    DISTRIBUTIONS,
    MASS_DENSITIES,
    MASS_MARGINS,
    MASS_SHAPES,
    SUSPICIOUS_MORPHOLOGIES,
)
from mdissect.phantom.mammograms.statements import statements

_MORPHOLOGY = "calcification_morphology="
NEVER_SAID = frozenset({"implant=saline", "implant=silicone"})
"""Facts that no text states: a planted gap."""

TOPIC_WEIGHTS = {
    "anatomy": 0.2, "laterality": 0.15, "view": 0.35, "density": 0.9, "assessment": 0.6, "advice": 0.3,
    "mass": 1.4, "calcification": 1.5, "distortion": 1.5, "asymmetry": 1.5, "skin thickening": 1.5, "skin retraction": 1.8,
    "nipple": 1.6, "lymph node": 1.3, "implant": 1.3, "biopsy clip": 1.4, "foreign body": 0.5, "surgery": 1.5,
    "pacemaker": 2.0, "marker": 1.5, "diagnosis": 0.6,
}  # fmt: skip
"""Relative frequency of a topic among those that a phantom offers: rarer findings more often."""

VIEWS = {
    "view=CC": "craniocaudal view | CC view | craniocaudal projection",
    "view=MLO": "mediolateral oblique view | MLO view | mediolateral oblique projection",
}
SIDES = {"laterality=L": "left breast", "laterality=R": "right breast"}
SIDED_VIEWS = {
    "laterality=L & view=CC": "left craniocaudal view | left CC",
    "laterality=R & view=CC": "right craniocaudal view | right CC",
    "laterality=L & view=MLO": "left mediolateral oblique view | left MLO",
    "laterality=R & view=MLO": "right mediolateral oblique view | right MLO",
}
ANATOMY = {
    "": "breast | breast tissue | nipple | skin | skin line | breast outline | subcutaneous fat | glandular tissue"
    " | fibroglandular tissue | parenchyma | parenchymal pattern | adipose tissue | radiolucent fat | cooper's ligament"
    " | breast vessel | milk duct | retroareolar duct | breast density",
    "view=MLO": "pectoralis muscle | pectoral muscle edge | pectoral muscle | axilla | axillary tail | axillary region"
    " | low axilla | inframammary fold",
    "no_nipple_retraction": "nipple in profile | normal nipple",
    "no_skin_change": "normal skin | skin of normal thickness",
    "no_asymmetry": "symmetric tissue",
}
COMPOSITIONS = {
    "density=A": "almost entirely fatty | fatty breast | almost entirely fatty breast | entirely fatty breast composition"
    " | fat predominant | breast composition A | BI-RADS density A | fatty tissue",
    "density=B": "scattered fibroglandular density | scattered areas of fibroglandular density | breast composition B"
    " | BI-RADS density B | scattered fibroglandular tissue",
    "density=C": "heterogeneously dense | heterogeneously dense breast | breast composition C | BI-RADS density C"
    " | heterogeneously dense tissue",
    "density=D": "extremely dense | extremely dense breast | very dense breast tissue | breast composition D"
    " | BI-RADS density D | extremely dense tissue",
    "dense": "dense breast | dense tissue | high breast density | dense breast tissue | dense parenchyma",
    "nondense": "nondense breast | low breast density | breast of low density | mostly fatty breast",
}
COMPOSITION_SENTENCES = {
    "density=A": "the breast is almost entirely fatty | predominantly fat",
    "density=B": "there are scattered areas of fibroglandular density",
    "density=C": "the breast is heterogeneously dense, which may obscure small masses | tissue may obscure a small mass",
    "density=D": "the breast is extremely dense, which lowers the sensitivity of mammography | density lowers sensitivity",
    "dense": "the breast is dense",
    "nondense": "the breast is not dense",
}
MASSES = {
    "mass": "mass | breast mass | focal mass",
    "mass_shape=round": "rounded mass",
    "mass_shape=oval": "ovoid mass | egg-shaped mass",
    "mass_shape=irregular": "irregularly shaped mass",
    "mass_margin=circumscribed": "well-defined mass | sharply defined mass | mass with smooth margin",
    "mass_margin=obscured": "partially obscured mass | mass partly hidden by tissue",
    "mass_margin=indistinct": "ill-defined mass | mass with blurred margin",
    "mass_margin=microlobulated": "lobulated mass | mass with small lobulations",
    "mass_margin=spiculated": "stellate mass | spiculated lesion | mass with spicules | mass highly suggestive of malignancy",
    "mass_density=equal": "isodense mass",
    "mass_density=fat-containing": "radiolucent mass | benign mass | fat-containing lesion",
    "mass_shape=irregular & mass_density=high": "irregular high density mass",
    "mass_suspicious": "suspicious mass | mass suspicious for malignancy",
    "mass_margin=circumscribed & no_mass_density=fat-containing": "probably benign mass",
    "mass & calcification": "mass with calcification | mass with calcifications | mass and calcifications",
    "mass & skin_thickening": "mass with skin thickening",
    "mass & skin_retraction": "mass with skin retraction",
    "mass_shape=irregular & nipple_retraction": "irregular mass with nipple retraction",
}
DIAGNOSES = {
    "mass_density=fat-containing": "lipoma | hamartoma",
    "mass_density=fat-containing & mass_shape=round": "oil cyst",
    _MORPHOLOGY + "popcorn": "calcified fibroadenoma",
    _MORPHOLOGY + "rim": "calcified oil cyst",
    "birads=5": "malignancy | breast cancer | carcinoma",
}
CALCIFICATIONS = {
    "calcification": "calcification | breast calcification",
    "calcification_micro": "microcalcification",
    "calcification_coarse": "coarse calcification",
    "calcification_lucent": "lucent-centered calcification",
    "calcification_fat_necrosis": "fat necrosis calcification",
    "calcification_benign": "benign calcification | typically benign calcification | benign-appearing calcification",
    "calcification_suspicious": "suspicious calcification | suspicious microcalcification"
    " | suspicious calcification morphology | calcification suspicious for malignancy",
    "calcification_intermediate": "calcification of intermediate concern | indeterminate calcification",
    "calcification_high": "calcification of high concern | calcification of high probability of malignancy",
    _MORPHOLOGY + "popcorn": "popcorn-like coarse calcification | benign popcorn calcification",
    _MORPHOLOGY + "round": "punctate calcification",
    _MORPHOLOGY + "rim": "eggshell calcification | benign rim calcification",
    _MORPHOLOGY + "vascular": "arterial calcification | tram-track calcification | benign vascular calcification",
    _MORPHOLOGY + "rod-like": "large rod-like calcification | secretory calcification | plasma cell mastitis calcification",
    _MORPHOLOGY + "skin": "dermal calcification | benign skin calcification",
    _MORPHOLOGY + "dystrophic": "dystrophic coarse calcification",
    _MORPHOLOGY + "amorphous": "hazy calcification",
    _MORPHOLOGY + "fine pleomorphic": "pleomorphic calcification",
    _MORPHOLOGY + "fine linear branching": "fine linear calcification | branching calcification | casting calcification",
    "calcification_distribution=diffuse": "diffusely scattered calcification | scattered calcification",
    "calcification_distribution=grouped": "cluster of calcifications | clustered calcification",
    "calcification_distribution=linear": "linear distribution of calcification | calcification in a line",
    "calcification_distribution=grouped & calcification_micro": "group of microcalcifications",
    "calcification_distribution=diffuse & calcification_benign": "scattered benign calcification",
    "calcification_distribution=grouped & calcification_suspicious": "suspicious grouped calcification",
    "calcification_distribution=grouped & " + _MORPHOLOGY + "round": "grouped punctate calcification",
    "calcification & mass": "calcification associated with a mass",
}
DISTORTIONS = {
    "distortion": "architectural distortion | distortion of the parenchyma | distorted breast architecture"
    " | suspicious architectural distortion | focal retraction of the parenchyma | tethering of tissue"
    " | straightened cooper's ligament | subtle architectural distortion",
    "distortion & no_mass": "radiating lines without a mass | spiculation without a central mass",
    "distortion & scar_marker": "distortion at a surgical scar",
}
ASYMMETRIES = {
    "asymmetry": "asymmetry | asymmetric density",
    "asymmetry=asymmetry": "asymmetry in one view | asymmetric density in one view only",
    "asymmetry=focal": "focal asymmetry | focal asymmetric density",
    "asymmetry=global": "global asymmetry | asymmetric breast tissue | one-sided increase in density",
}
ASYMMETRY_REMARKS = {"asymmetry=asymmetry": "seen in one view only"}
SKIN_THICKENINGS = {
    "skin_thickening": "skin thickening | thickened skin | thickening of the skin",
    "skin_change": "skin change",
}
SKIN_RETRACTIONS = {"skin_retraction": "skin retraction | skin dimpling | retracted skin"}
NIPPLES = {
    "nipple_retraction": "nipple retraction | retracted nipple | nipple inversion | inverted nipple",
}
LYMPH_NODES = {
    "lymph_node": "lymph node | lymph node with fatty hilum | reniform lymph node | normal lymph node | benign lymph node",
    "lymph_node=axillary": "axillary lymph node | axillary node | normal axillary lymph node",
    "lymph_node=intramammary": "intramammary lymph node | benign intramammary lymph node | intramammary node",
}
IMPLANTS = {
    "implant": "implant | breast implant | implant in place | augmented breast | implant shell | implant capsule"
    " | intact implant | breast prosthesis",
    "implant=saline": "saline implant | saline breast implant | implant valve",
    "implant=silicone": "silicone implant | silicone breast implant | silicone gel",
}
BIOPSY_CLIPS = {
    "biopsy_clip": "biopsy clip | biopsy marker | biopsy marker clip | tissue marker | metallic marker",
}
FOREIGN_BODIES = {
    "clip": "clip | metallic clip",
    "metal": "metallic foreign body",
    "foreign_body": "foreign body",
}
SURGERY = {
    "surgical_clips": "surgical clips | surgical clip | clips in the surgical bed | lumpectomy site",
    "surgery": "postsurgical change",
    "scar_marker": "surgical scar | postsurgical scar | scar tissue | lumpectomy scar",
}
PACEMAKERS = {"pacemaker": "pacemaker | cardiac device | pacemaker generator"}
MARKERS = {
    "nipple_marker": "nipple marker | round marker on the nipple",
    "scar_marker": "scar marker | linear scar marker | wire marker over a scar",
    "skin_marker": "skin marker",
}
ASSESSMENTS = {
    "birads=1": "negative mammogram | normal mammogram | normal breast | unremarkable breast tissue | BI-RADS 1"
    " | BI-RADS category 1",
    "birads=2": "benign finding | BI-RADS 2 | BI-RADS category 2",
    "birads=3": "probably benign finding | BI-RADS 3 | BI-RADS category 3",
    "birads=4": "BI-RADS 4 | BI-RADS category 4 | moderate suspicion for malignancy",
    "birads=5": "BI-RADS 5 | BI-RADS category 5 | high suspicion for malignancy | highly suggestive of malignancy",
    "suspicious": "suspicious finding | suspicious abnormality",
    "lesion_suspicious": "suspicious lesion",
    "routine": "no evidence of malignancy",
    "no_suspicious": "no suspicious finding | no suspicious abnormality",
}
ADVICE = {
    "suspicious": "biopsy recommended | tissue diagnosis recommended",
    "birads=5": "surgical consultation",
    "birads=3": "short interval follow-up | follow-up in six months",
    "routine": "routine screening | annual mammogram | return to screening",
    "calcification_suspicious": "stereotactic biopsy",
    "mass_suspicious": "ultrasound-guided core biopsy | targeted ultrasound recommended",
    "asymmetry": "additional imaging needed | diagnostic mammogram recommended",
}
DENIALS = {
    "mass": "mass | focal mass | discrete mass | masses",
    "mass_suspicious": "suspicious mass | suspicious masses",
    "mass_margin=spiculated": "spiculated mass",
    "calcification": "calcification | calcifications | breast calcification",
    "calcification_micro": "microcalcification | microcalcifications",
    "calcification_suspicious": "suspicious calcification | suspicious calcifications | suspicious microcalcification",
    "distortion": "architectural distortion | distortion of the parenchyma",
    "asymmetry": "asymmetry | focal or global asymmetry",
    "skin_thickening": "skin thickening | thickening of the skin",
    "skin_retraction": "skin retraction",
    "nipple_retraction": "nipple retraction",
    "lymph_node": "lymph node",
    "implant": "implant | breast implant",
    "biopsy_clip": "biopsy clip",
    "surgical_clips": "surgical clip",
    "pacemaker": "pacemaker",
    "skin_marker": "skin marker",
    "scar_marker": "scar marker | surgical scar",
}


def _mass_compounds():
    """Masses by one, two and all three of their BI-RADS descriptors."""
    table = {}
    for shape in MASS_SHAPES:
        table[f"mass_shape={shape}"] = f"{shape} mass | mass with {shape} shape"
    for density in MASS_DENSITIES:
        table[f"mass_density={density}"] = f"{_dense(density)} mass"
    for margin in MASS_MARGINS:
        table[f"mass_margin={margin}"] = f"{margin} mass | mass with {margin} margin"
    for shape, margin in product(MASS_SHAPES, MASS_MARGINS):
        table[f"mass_shape={shape} & mass_margin={margin}"] = (
            f"{shape} {margin} mass | {shape} mass with {margin} margin | {margin} mass of {shape} shape"
        )
    for shape, margin, density in product(MASS_SHAPES, MASS_MARGINS, MASS_DENSITIES):
        table[f"mass_shape={shape} & mass_margin={margin} & mass_density={density}"] = (
            f"{shape} {_dense(density)} mass with {margin} margin | {_dense(density)} {shape} {margin} mass"
        )
    return table


def _dense(density):
    return density if density == "fat-containing" else f"{density} density"


def _calcification_compounds():
    """Calcifications by morphology, by distribution and by both."""
    table = {}
    for morphology in SUSPICIOUS_MORPHOLOGIES + BENIGN_MORPHOLOGIES:
        table[_MORPHOLOGY + morphology] = f"{morphology} calcification"
    for distribution in DISTRIBUTIONS:
        table[f"calcification_distribution={distribution}"] = (
            f"{distribution} calcification | calcification in a {distribution} distribution"
        )
    for morphology, distribution in product(SUSPICIOUS_MORPHOLOGIES + BENIGN_MORPHOLOGIES, DISTRIBUTIONS):
        table[f"{_MORPHOLOGY}{morphology} & calcification_distribution={distribution}"] = (
            f"{distribution} {morphology} calcification | {morphology} calcification in a {distribution} distribution"
        )
    return table


def _denied(wordings):
    return " | ".join(f"no {wording}" for wording in wordings.split(" | "))


STATEMENTS = tuple(
    chain(
        statements("anatomy", "visible", ANATOMY),
        statements("laterality", "side", SIDES),
        statements("view", "plain", VIEWS, SIDED_VIEWS),
        statements("density", "composition", COMPOSITIONS),
        statements("density", "plain", COMPOSITION_SENTENCES),
        statements("mass", "thing", MASSES, _mass_compounds()),
        statements("diagnosis", "diagnosis", DIAGNOSES),
        statements("calcification", "thing", CALCIFICATIONS, _calcification_compounds()),
        statements("distortion", "thing", DISTORTIONS),
        statements("asymmetry", "thing", ASYMMETRIES),
        statements("asymmetry", "plain", ASYMMETRY_REMARKS),
        statements("skin thickening", "thing", SKIN_THICKENINGS),
        statements("skin retraction", "thing", SKIN_RETRACTIONS),
        statements("nipple", "thing", NIPPLES),
        statements("lymph node", "thing", LYMPH_NODES),
        statements("implant", "thing", IMPLANTS),
        statements("biopsy clip", "thing", BIOPSY_CLIPS),
        statements("foreign body", "thing", FOREIGN_BODIES),
        statements("surgery", "thing", SURGERY),
        statements("pacemaker", "thing", PACEMAKERS),
        statements("marker", "thing", MARKERS),
        statements("assessment", "assessment", ASSESSMENTS),
        statements("advice", "advice", ADVICE),
        statements("denial", "denial", {f"no_{key}": _denied(wordings) for key, wordings in DENIALS.items()}),
    )
)
"""Everything that a report can state."""

_ASKED = chain.from_iterable(statement.keys for statement in STATEMENTS)
DENIED = tuple(dict.fromkeys(key for key in _ASKED if key.startswith("no_")))
"""Factor keys "no_x" that some statement needs: they hold where x does not."""
