"""The dissector's zero-shot AUC on labelled images, concept by concept, with an interval."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mdissect.arguments import RATE, table_with
from mdissect.dissection import Dissection
from mdissect.labels import why_none
from mdissect.metrics import auc_interval, auc_p_value
from mdissect.signatures import validated
from mdissect.trust.presence import known_presence, of_images

FEWEST = 5  # patients with, and without, a concept below which an AUC is meaningless
CHANCE, INVERTED, FEW = "not better than chance", "worse than chance", "too few images"


@validated(level=RATE)
def report_card(dissection: Dissection, presence: pd.DataFrame | None = None, level: float = 0.95) -> pd.DataFrame:
    """AUC of the dissector's similarity to each concept, for images that show it against those that do not.

    Parameters
    ----------
    dissection : Dissection
        Of any target: only the dissector's similarities and the probe's labels count.
    presence : DataFrame (n_images, n_shown), optional
        True, False or missing, indexed by image id, a column for each concept whose presence is known. When None: the truth of
        phantoms, or `mapped_presence` of the probe's own columns.
    level : float
        Of the intervals, which treat a patient's images as one. Each holds for its concept alone: of 256 intervals at 0.95
        about 13 miss the truth. The flags take account of this: without one are the concepts whose AUC is above 0.5 at a
        false discovery rate of 1 - level over the card (Benjamini and Hochberg, of two-sided p-values).

    Returns
    -------
    DataFrame
        A row per concept with known presence, best first: concept, present and absent (images), auc, low, high, p (two-sided,
        of an AUC of 0.5), q (over the card), flag ("", "not better than chance", "worse than chance" or "too few images": less
        than `FEWEST` patients with or without it, and no AUC).

    Raises
    ------
    ValueError
        The dissection has no image_concept_sims, level is out of range, or nothing is known of any concept.
    """
    if dissection.image_concept_sims is None:
        raise ValueError(f"the dissection has no image_concept_sims ({why_none(dissection)}")
    presence = known_presence(dissection) if presence is None else of_images(presence, dissection)
    position = {name: i for i, name in enumerate(dissection.concepts.names)}
    shown = [concept for concept in presence if concept in position]
    if not shown:
        raise ValueError("no concept of the dissection has known presence on this probe; give presence=, or other concepts")
    clusters = pd.factorize(np.array(dissection.patients or range(len(presence)), dtype=object))[0]
    rows = []
    for concept in shown:
        known = presence[concept].notna().to_numpy()
        y = presence[concept].to_numpy()[known].astype(bool)
        score, who = dissection.image_concept_sims[known, position[concept]], clusters[known]
        counts = {"concept": concept, "present": int(y.sum()), "absent": int((~y).sum())}
        few = min(len(set(who[y])), len(set(who[~y]))) < FEWEST
        auc, low, high = (np.nan,) * 3 if few else auc_interval(y, score, who, level)
        p = np.nan if few else auc_p_value(y, score, who)
        rows.append(counts | {"auc": auc, "low": low, "high": high, "p": p})
    card = _with_flags(pd.DataFrame(rows), 1 - level)
    return card.sort_values("auc", ascending=False, kind="stable", ignore_index=True)


def _with_flags(card: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The card with q, and its flags at a false discovery rate."""
    from scipy.stats import false_discovery_control

    card["q"], known = np.nan, card.p.notna()
    if known.any():
        card.loc[known, "q"] = false_discovery_control(card.p[known])
    found = np.where(card.auc > 0.5, "", INVERTED)
    return card.assign(flag=np.select([~known, card.q > rate], [FEW, CHANCE], found))


@validated(card=table_with("concept", "flag", made_by="report_card(...)"))
def unknown_concepts(card: pd.DataFrame, flags: Sequence[str] = (CHANCE, INVERTED)) -> list[str]:
    """The concepts that the dissector does not know, by its report card; best AUC first.

    Parameters
    ----------
    card : DataFrame
        What `report_card` returned.
    flags : sequence of str
        Which flags make a concept unknown. Too few images are no evidence about the dissector, so `FEW` is not among them.

    Raises
    ------
    ValueError
        A flag that no report card has.
    """
    if unknown := sorted(set(flags) - {CHANCE, INVERTED, FEW}):
        raise ValueError(
            f"no report card has the flag {', '.join(map(repr, unknown))}; use {CHANCE!r}, {INVERTED!r} or {FEW!r}"
        )
    return card.concept[card.flag.isin(list(flags))].tolist()


@validated()
def without_concepts(dissection: Dissection, names: Iterable[str]) -> Dissection:
    """The dissection without some concepts: neurons get their next best label.

    >>> known = without_concepts(found, unknown_concepts(report_card(found)))     # doctest: +SKIP

    The concepts leave the concept set too, so that they are neither learned nor missed and no base rate counts them. All
    other similarities stay as they were, with the softmax over all concepts that they came from: a neuron with another
    label keeps it. (Dissecting again with fewer concepts would change every similarity a little.) The labels of
    a calibrated dissection are judged again among what is left.

    Parameters
    ----------
    dissection : Dissection
        Stays as it is.
    names : iterable of str
        Such as `unknown_concepts` gives them.

    Returns
    -------
    Dissection
        Its settings list what was left out.

    Raises
    ------
    ValueError
        A name that is not a concept of the dissection, or nothing left.
    """
    names, all_names = list(dict.fromkeys(names)), list(dissection.concepts.names)
    if unknown := [name for name in names if name not in set(all_names)]:
        raise ValueError(f"{len(unknown)} names are no concepts of the dissection, such as {', '.join(unknown[:3])}")
    if len(names) == len(all_names):
        raise ValueError(f"all {len(names)} concepts would be left out; name some of them")
    left = np.array([name not in set(names) for name in all_names])
    sims, settings = dissection.image_concept_sims, dissection.settings
    result = replace(
        dissection.published,
        similarity={layer: scores[:, left] for layer, scores in dissection.similarity.items()},
        concepts=dissection.concepts.subset(names=[name for name in all_names if name not in set(names)]),
        image_concept_sims=None if sims is None else sims[:, left],
        text_embeddings=None if (texts := dissection.text_embeddings) is None else texts[left],
        settings={**dissection.published.settings, "n_concepts": int(left.sum()), "left_out": names},
    )
    return result if dissection.trusted is None else result.calibrated(**settings["calibrated"])
