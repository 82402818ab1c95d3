"""Zero-shot AUC of the demo models on held-out images, finding by finding."""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mdissect.metrics import auc, found_within
from mdissect.train.demo.world import World

MAMMOGRAM_PROMPTS: dict[str, tuple[str, str, str, str]] = {
    "mass": ("mass", "", "mass", "no mass"),
    "calcification": ("calcification", "", "calcification", "no calcification"),
    "implant": ("implant", "", "breast implant", "no implant"),
    "density D vs A": ("density=D", "density=A", "extremely dense breast", "almost entirely fatty breast"),
    "biopsy clip": ("biopsy_clip", "", "biopsy clip", "no biopsy clip"),
    "nipple marker": ("nipple_marker", "", "nipple marker", ""),
    "scar marker": ("scar_marker", "", "scar marker", ""),
    "skin thickening": ("skin_thickening", "", "skin thickening", "no skin thickening"),
    "surgical clip": ("surgical_clips", "", "surgical clip", ""),
    "pacemaker": ("pacemaker", "", "pacemaker", ""),
    "axillary lymph node": ("lymph_node=axillary", "", "axillary lymph node", ""),
    "nipple retraction": ("nipple_retraction", "", "nipple retraction", "no nipple retraction"),
    "asymmetry": ("asymmetry", "", "asymmetry", "no asymmetry"),
    "spiculated vs circumscribed": (
        "mass_margin=spiculated",
        "mass_margin=circumscribed",
        "spiculated mass",
        "circumscribed mass",
    ),
    "suspicious vs benign calcification": (
        "calcification_suspicious",
        "calcification_benign",
        "suspicious calcification",
        "benign calcification",
    ),
    "CC vs MLO": ("view=CC", "view=MLO", "craniocaudal view", "mediolateral oblique view"),
    "architectural distortion (gap)": ("distortion", "", "architectural distortion", ""),
    "saline vs silicone (gap)": ("implant=saline", "implant=silicone", "saline implant", "silicone implant"),
}
"""Finding: the fact of the positives, of the negatives ("" = all others), the text of the one and of the other."""

GOAL = ("mass", "calcification", "implant", "density D vs A", "biopsy clip", "skin thickening")
"""The findings whose mean is the model's headline number."""

SCENE_FAMILIES = ("object", "colour", "texture", "background")
FEWEST_POSITIVES = 5  # fewer make an AUC meaningless
N_BOOT = 500


def mammogram_scores(
    world: World, similarity: Callable[[str], np.ndarray], weights: np.ndarray | None = None
) -> dict[str, float]:
    """AUC of every finding of `MAMMOGRAM_PROMPTS`, and the mean of those in `GOAL`.

    `similarity` maps a text to its cosine similarity with every image of the world, (n_images,); `weights` (n_images,).
    """
    scores = {}
    for finding, (yes, no, yes_text, no_text) in MAMMOGRAM_PROMPTS.items():
        present = world.fact(yes)
        used = present | world.fact(no) if no else np.ones(len(world), dtype=bool)
        score = similarity(yes_text) - (similarity(no_text) if no_text else 0)
        scores[finding] = auc(present[used], score[used], None if weights is None else weights[used])
    return {"mean of six": float(np.mean([scores[finding] for finding in GOAL])), **scores}


def scene_scores(world: World, score_of: Mapping[str, np.ndarray], weights: np.ndarray | None = None) -> dict[str, float]:
    """Mean AUC over the values of each family (object, colour, texture, background), one value against all others.

    `score_of` maps a fact, such as "object=ball", to a score of every image (n_images,); `weights` (n_images,).
    """
    families: dict[str, list[float]] = {family: [] for family in SCENE_FAMILIES}
    for key, score in score_of.items():
        family, present = key.partition("=")[0], world.fact(key)
        if family in families and present.sum() >= FEWEST_POSITIVES:
            families[family].append(auc(present, score, weights))
    return {family: float(np.mean(values)) for family, values in families.items() if values}


def retrieval(images: np.ndarray, texts: np.ndarray, reports: Sequence[str]) -> dict[str, np.ndarray]:
    """Whether each image finds its own report among all within the first 1, 5 and 10, (n,) each; of ties as likely as not.

    Embeddings (n, d), row by row a pair, and the reports (n,); reports that say the same are right for each other's images.
    """
    said = np.unique(reports, return_inverse=True)[1]
    sims, own = images @ texts.T, said[:, None] == said
    return {f"report found within {k}": found_within(sims, own, k) for k in (1, 5, 10)}


def intervals(
    scored: Callable[[np.ndarray | None], dict[str, float]], patients: np.ndarray, n_boot: int = N_BOOT
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each score over resamples of the patients (n_images,); `scored` takes the weights of the images."""
    _, member = np.unique(patients, return_inverse=True)
    n = member.max() + 1
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), n_boot)
    found = [scored(times[member].astype(float)) for times in drawn]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a finding that no resample has is NaN
        return {name: tuple(np.nanquantile([one[name] for one in found], (0.025, 0.975))) for name in scored(None)}
