"""What prompts change: the dissector's zero-shot AUC with concepts as bare phrases and in sentences."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect.arguments import RATE
from mdissect.concepts import Prompts
from mdissect.dissection import Dissection
from mdissect.embed import embed_concepts
from mdissect.models import Dissector
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.trust.presence import TooLittleKnownError, known_presence, of_images
from mdissect.trust.report_card import FEWEST

BARE = "bare phrase"
SENTENCES = (
    "a mammogram showing {}", "there is {} in the breast", "mammography: {}", "findings consistent with {}", "{} is seen",
)  # fmt: skip
PROMPTS = {
    "one sentence": Prompts(SENTENCES[:1]),
    "one sentence, empty one subtracted": Prompts(SENTENCES[:1], subtract_empty=True),
    "five sentences": Prompts(SENTENCES),
    "five sentences, empty ones subtracted": Prompts(SENTENCES, subtract_empty=True),
}


@validated(level=RATE)
def prompt_cards(
    dissection: Dissection,
    dissector: Dissector,
    prompts: Mapping[str, Prompts] = PROMPTS,
    presence: pd.DataFrame | None = None,
    level: float = 0.95,
    store: StoreLike = None,
) -> pd.DataFrame:
    """Mean AUC of the dissector's similarities for the concepts' presence, by prompts, beside that of bare phrases.

    >>> prompt_cards(found, load_dissector("demo/mammo"))[["prompts", "auc", "change"]]      # doctest: +SKIP

    Parameters
    ----------
    dissection : Dissection
        Of any target; its image embeddings are used, so that no image is read.
    dissector : Dissector
        The one that it was made with; it embeds the concepts.
    prompts : mapping of name to Prompts
        By default `PROMPTS`: one sentence and five, each also with the empty ones subtracted.
    presence : DataFrame (n_images, n_shown), optional
        As for `mdissect.trust.report_card`.
    level : float
        Of the intervals.
    store : path, optional
        Where text embeddings are kept.

    Returns
    -------
    DataFrame
        A row for the bare phrases, then one for each of `prompts`: prompts, templates (how many), concepts (of which presence
        is known, in and outside of `FEWEST` patients at least), auc (their mean), low, high, change (against the bare
        phrases), change_low, change_high, better (share of the concepts whose AUC is higher); NaN for
        the bare phrases themselves. Intervals are about other
        patients and the same concepts: all images of a patient and all concepts at once (DeLong's influence of a patient on
        each AUC, averaged over the concepts, with Student's t).

    Raises
    ------
    ValueError
        A dissection without image embeddings, another dissector than its own, no concept of known presence, or texts that
        the dissector refuses.
    """
    if dissection.image_embeddings is None:
        raise ValueError("the dissection has no image_embeddings (older than these, or read from a CSV); dissect again")
    own = dissection.settings.get("dissector_weights", dissector.fingerprint)
    if dissector.fingerprint != own:
        made = dissection.settings.get("dissector", "?")
        raise ValueError(f"dissector {dissector.name!r} is not the one that the dissection was made with ({made}); give that")
    presence = known_presence(dissection) if presence is None else of_images(presence, dissection)
    clusters = pd.factorize(np.array(dissection.patients or range(len(presence)), dtype=object))[0]
    names = dissection.concepts.names
    shown = [name for name in names if name in presence and _enough(presence[name], clusters)]
    if not shown:
        raise TooLittleKnownError(f"no concept has known presence in {FEWEST} patients and absence in {FEWEST}; give presence=")
    kept = [names.index(name) for name in shown]
    areas, pulls = {}, {}
    for name, one in {BARE: Prompts(), **prompts}.items():
        concepts = dissection.concepts.with_templates(one.templates or None, one.subtract_empty)
        sims = dissection.image_embeddings @ embed_concepts(dissector, concepts, store)[kept].T
        found = [_area(presence[concept], sims[:, i], clusters) for i, concept in enumerate(shown)]
        areas[name], pulls[name] = np.array([area for area, _ in found]), np.mean([pull for _, pull in found], axis=0)
    rows = []
    for name in areas:
        auc = _interval(areas[name].mean(), pulls[name], level)
        change, better = (np.nan,) * 3, np.nan
        if name != BARE:
            change = _interval((areas[name] - areas[BARE]).mean(), pulls[name] - pulls[BARE], level)
            better = float((areas[name] > areas[BARE]).mean())
        counts = {"prompts": name, "templates": 0 if name == BARE else len(prompts[name].templates), "concepts": len(shown)}
        numbers = zip(("auc", "low", "high", "change", "change_low", "change_high"), (*auc, *change), strict=True)
        rows.append(counts | dict(numbers) | {"better": better})
    return pd.DataFrame(rows)


def _enough(present: pd.Series, clusters: np.ndarray) -> bool:
    """Whether a concept is present, and absent, in enough patients."""
    known = present.notna().to_numpy()
    y, who = present.to_numpy()[known].astype(bool), clusters[known]
    return min(len(set(who[y])), len(set(who[~y]))) >= FEWEST


def _area(present: pd.Series, score: np.ndarray, clusters: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC of scores (n_images,), ties half, and how far each patient moves it, (n_patients,) (DeLong's components)."""
    from scipy.stats import rankdata

    known = present.notna().to_numpy()
    y, score, who = present.to_numpy()[known].astype(bool), score[known], clusters[known]
    m, n, ranks = int(y.sum()), int((~y).sum()), rankdata(score)
    place = np.empty(len(y))  # the share of the other class that an image is on the right side of
    place[y] = (ranks[y] - rankdata(score[y])) / n
    place[~y] = 1 - (ranks[~y] - rankdata(score[~y])) / m
    area = float(place[y].mean())
    return area, np.bincount(who, weights=(place - area) / np.where(y, m, n), minlength=int(clusters.max()) + 1)


def _interval(value: float, pull: np.ndarray, level: float) -> tuple[float, float, float]:
    """A mean with its interval, by how far each patient moves it."""
    from scipy.stats import t

    width = t.ppf((1 + level) / 2, len(pull) - 1) * np.sqrt(len(pull) / (len(pull) - 1) * (pull**2).sum())
    return float(value), float(value - width), float(value + width)
