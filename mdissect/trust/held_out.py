"""The truth of labels on patients that they were not chosen on, beside the best that any concept reaches there."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, texts
from mdissect.dissection import Dissection
from mdissect.metrics import auc_matrix
from mdissect.signatures import validated
from mdissect.trust.halves import RULES, Halves, chosen_layers, halves_of, naming
from mdissect.trust.presence import TooLittleKnownError, known_presence, of_images
from mdissect.trust.report_card import FEWEST, without_concepts

BEST, IN_SAMPLE = "best concept", "best concept, in sample"
LEVEL = 0.95


def _rules(name: str, value: Sequence[str]) -> tuple[str, ...]:
    rules = texts(name, value)
    if unknown := [rule for rule in rules if rule not in RULES]:
        raise ValueError(f"{name} has no rule {unknown[0]!r}; there are {', '.join(RULES)}")
    return rules


@validated(layers=texts, rules=_rules, n_splits=AT_LEAST_ONE)
def held_out_auc(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    rules: Sequence[str] = ("calibrated", "published"),
    presence: pd.DataFrame | None = None,
    n_splits: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """AUC of neurons for their labels on patients that the labels were not chosen on, by rule.

    >>> trust.held_out_auc(found, ["bn2"])[["rule", "auc", "low", "high"]]      # doctest: +SKIP

    The patients are split into two halves at random; each rule names every neuron on one half, among the concepts whose
    presence is known, and the AUC of its activations for the images that show this concept is taken on the other half; both
    ways.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    rules : sequence of str
        As `rule` of `trust.predicts`. The first one is compared with each of the others.
    presence : DataFrame (n_images, n_shown), optional
        As in `trust.report_card`.
    n_splits : int
        Random splits of the patients.

    Returns
    -------
    DataFrame
        A row per layer and rule, and two for the truth's own best concept: "best concept" is that of the largest AUC on the
        choosing half, "best concept, in sample" that of the largest on the very half it is measured on, which flatters:
        the largest of hundreds of AUCs is large by luck too. Columns: layer, rule, auc (mean over neurons, splits and both
        ways), low, high, ahead (AUC of the first rule minus its own), ahead_low, ahead_high, neurons, concepts (to choose
        from: those that enough patients show, and others do not).

    Raises
    ------
    ValueError
        Unknown layer or rule; a single patient; nothing known of any concept; a dissection without activations.

    Notes
    -----
    The intervals (95 %) are over patients: each patient's share in every AUC (DeLong's placements) is summed over neurons,
    splits and ways, and squared. Concepts are kept as they were chosen.
    """
    layers, halves = chosen_layers(dissection, layers), halves_of(dissection, n_splits, seed)
    presence = known_presence(dissection) if presence is None else of_images(presence, dissection)
    if not (among := well_known(presence, dissection, halves.patient)):
        raise TooLittleKnownError(
            f"no concept of the dissection is known to be shown by {2 * FEWEST} patients and not by as many others; give "
            "presence=, or a larger probe"
        )
    left_out = [name for name in dissection.concepts.names if name not in set(among)]
    known = without_concepts(dissection, left_out) if left_out else dissection
    shown, parts = presence[known.concepts.names].to_numpy(dtype=bool), []
    namings = {rule: naming(known, rule) for rule in rules}
    for layer in layers:
        name = {rule: partial(one, layer) for rule, one in namings.items()}
        table = _layer(known.activations[layer].astype(np.float64), shown, halves, name)
        parts.append(table.assign(layer=layer, concepts=len(among)))
    columns = ["layer", "rule", "auc", "low", "high", "ahead", "ahead_low", "ahead_high", "neurons", "concepts"]
    return pd.concat(parts, ignore_index=True)[columns]


@validated()
def well_known(presence: pd.DataFrame, dissection: Dissection, patient: np.ndarray) -> list[str]:
    """The concepts known of every image that enough patients show, and enough do not."""
    names = set(dissection.concepts.names)
    whole = [name for name in presence if name in names and presence[name].notna().all()]
    shown = presence[whole].to_numpy(dtype=bool)
    enough = [
        min(len(set(patient[column])), len(set(patient[~column]))) >= 2 * FEWEST for column in shown.T
    ]  # so that a half has `FEWEST` on average
    return [name for name, one in zip(whole, enough, strict=True) if one]


def _layer(activations: np.ndarray, shown: np.ndarray, halves: Halves, namings: dict[str, Callable]) -> pd.DataFrame:
    """A row per rule and for the truth's best concepts."""
    from scipy.special import ndtri  # the normal distribution's quantiles

    usable = np.isfinite(activations).all(axis=0) & (activations.max(axis=0) > activations.min(axis=0))
    rules, parts = [*namings, BEST, IN_SAMPLE], {}
    for choose, test in halves.both_ways:
        mixed = shown[choose].any(axis=0) & ~shown[choose].all(axis=0)
        truth = np.where(mixed, auc_matrix(activations[choose], shown[choose]), -1)
        there = shown[test].any(axis=0) & ~shown[test].all(axis=0)
        reached = np.where(there, auc_matrix(activations[test], shown[test]), -1)
        labels = {rule: name(choose) for rule, name in namings.items()}
        labels |= {BEST: truth.argmax(axis=1), IN_SAMPLE: reached.argmax(axis=1)}
        for rule, label in labels.items():
            named = usable & (label >= 0) & there[label]
            parts.setdefault(rule, []).append(placed(activations[test][:, named], shown[test][:, label[named]], test))
    means, shares = {}, {}
    for rule, each in parts.items():
        count = sum(len(areas) for areas, _, _ in each)
        means[rule] = sum(areas.sum() for areas, _, _ in each) / count if count else np.nan
        image = sum(np.bincount(test, weights=places, minlength=len(activations)) for _, places, test in each)
        shares[rule] = np.bincount(halves.patient, weights=image, minlength=halves.n_patients) / max(count, 1)
    rows, width = [], ndtri((1 + LEVEL) / 2) * np.sqrt(halves.n_patients / (halves.n_patients - 1))
    for rule in rules:
        error, apart = (width * np.sqrt((one**2).sum()) for one in (shares[rule], shares[rules[0]] - shares[rule]))
        ahead = means[rules[0]] - means[rule]
        row = {"rule": rule, "auc": means[rule], "low": means[rule] - error, "high": means[rule] + error}
        rows.append(
            row | {"ahead": ahead, "ahead_low": ahead - apart, "ahead_high": ahead + apart, "neurons": int(usable.sum())}
        )
    return pd.DataFrame(rows)


@validated()
def placed(activations: np.ndarray, shown: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUC of each column for the same column of `shown`, each image's influence summed over columns, and the images."""
    from scipy.stats import rankdata

    ranks = rankdata(activations, axis=0)
    present = shown.sum(axis=0)
    absent = len(shown) - present
    within = np.empty_like(ranks)  # rank among the images of the same kind
    for i in range(ranks.shape[1]):
        within[shown[:, i], i] = rankdata(activations[shown[:, i], i])
        within[~shown[:, i], i] = rankdata(activations[~shown[:, i], i])
    place = np.where(shown, (ranks - within) / absent, 1 - (ranks - within) / present)
    areas = np.where(shown, place, 0).sum(axis=0) / present
    influence = (place - areas) / np.where(shown, present, absent)
    return areas, influence.sum(axis=1), images
