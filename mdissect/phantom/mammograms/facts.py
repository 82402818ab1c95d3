"""Factor keys: the yes/no facts about a phantom that reports state."""

from mdissect.phantom.mammograms.factors import (
    BENIGN_MORPHOLOGIES,
    DISTRIBUTIONS,
    MASS_DENSITIES,
    MASS_MARGINS,
    MASS_SHAPES,
    SUSPICIOUS_MORPHOLOGIES,
)

_MORPHOLOGY = "calcification_morphology="
_PARTS = {
    "laterality": ("L", "R"),
    "view": ("CC", "MLO"),
    "density": ("A", "B", "C", "D"),
    "birads": (1, 2, 3, 4, 5),
    "mass": (),
    "mass_shape": MASS_SHAPES,
    "mass_margin": MASS_MARGINS,
    "mass_density": MASS_DENSITIES,
    "calcification": (),
    "calcification_suspicious": (),
    "calcification_morphology": SUSPICIOUS_MORPHOLOGIES + BENIGN_MORPHOLOGIES,
    "calcification_distribution": DISTRIBUTIONS,
    "distortion": (),
    "asymmetry": ("", "asymmetry", "focal", "global"),
    "skin_thickening": (),
    "skin_retraction": (),
    "nipple_retraction": (),
    "lymph_node": ("", "axillary", "intramammary"),
    "implant": ("", "saline", "silicone"),
    "biopsy_clip": (),
    "surgical_clips": (),
    "pacemaker": (),
    "nipple_marker": (),
    "scar_marker": (),
}
BASE_KEYS = tuple(f"{name}={value}" if value != "" else name for name, values in _PARTS.items() for value in values or ("",))
"""Factor keys that follow from a truth directly: a name alone (present or not), or name=value."""

ANY_OF = {
    "dense": ("density=C", "density=D"),
    "nondense": ("density=A", "density=B"),
    "routine": ("birads=1", "birads=2"),
    "suspicious": ("birads=4", "birads=5"),
    "mass_suspicious": tuple(f"mass_margin={margin}" for margin in MASS_MARGINS if margin != "circumscribed"),
    "calcification_benign": tuple(_MORPHOLOGY + name for name in BENIGN_MORPHOLOGIES),
    "calcification_micro": tuple(_MORPHOLOGY + name for name in (*SUSPICIOUS_MORPHOLOGIES, "round")),
    "calcification_coarse": (_MORPHOLOGY + "popcorn", _MORPHOLOGY + "dystrophic"),
    "calcification_lucent": (_MORPHOLOGY + "rim", _MORPHOLOGY + "skin"),
    "calcification_fat_necrosis": (_MORPHOLOGY + "rim", _MORPHOLOGY + "dystrophic"),
    "calcification_intermediate": (_MORPHOLOGY + "amorphous", _MORPHOLOGY + "coarse heterogeneous"),
    "calcification_high": (_MORPHOLOGY + "fine pleomorphic", _MORPHOLOGY + "fine linear branching"),
    "lesion_suspicious": ("mass_suspicious", "calcification_suspicious"),
    "skin_change": ("skin_thickening", "skin_retraction"),
    "clip": ("biopsy_clip", "surgical_clips"),
    "surgery": ("surgical_clips", "scar_marker"),
    "skin_marker": ("nipple_marker", "scar_marker"),
    "metal": ("biopsy_clip", "surgical_clips", "pacemaker"),
    "foreign_body": ("biopsy_clip", "surgical_clips", "pacemaker", "implant"),
}
"""Factor keys that hold where any of their sources does; sources come before the keys made of them."""
