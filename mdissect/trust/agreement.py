"""Does a neuron answer to what its label says? Its activations held against the label's known presence, image by image.

A metric should fall when half of a concept's images are hidden from it (missing labels) and when as many others are counted
among them (extra labels); these are the sanity tests of Oikarinen, Yan and Weng (2025). By `tests/test_agreement.py`:

================== ============================================= =============================================
metric             missing labels                                extra labels
================== ============================================= =============================================
pearson            falls                                         falls
average_precision  falls                                         falls, but rises for a weak neuron of a common concept
iou, f1            fall                                          fall, but rise for a weak neuron of a common concept
auc                does not tell for a rare concept              falls
================== ============================================= =============================================

(The level that chance reaches grows with prevalence for three of them, and the hidden images are lost among the absent ones for
AUC.) So pearson is the one to rank labels by, and auc the one to read: 0.5 is chance for any concept. The plain cosine is not
offered: it rises with extra labels as soon as activations do not start at zero.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mdissect.calibrate import judge_neurons, rank_concepts
from mdissect.chance import Kept
from mdissect.dissection import Dissection
from mdissect.labels import nulls_of
from mdissect.similarity import log_likelihood
from mdissect.trust.presence import known_presence

METRICS = ("auc", "average_precision", "iou", "f1", "pearson")


def agreement(dissection: Dissection, labels: pd.DataFrame | None = None, presence: pd.DataFrame | None = None) -> pd.DataFrame:
    """How closely neurons follow the concepts that they are called by.

    Parameters
    ----------
    dissection : Dissection
    labels : DataFrame, optional
        What `Dissection.labels` returned, calibrated or not; `dissection.labels()` when None.
    presence : DataFrame (n_images, n_shown), optional
        True, False or missing; as in `mdissect.trust.report_card`.

    Returns
    -------
    DataFrame
        A row per label whose presence is known: layer, neuron, concept; auc and average_precision of the activation as a
        predictor of the concept; iou and f1 of the neuron's as many strongest images as show the concept; pearson between
        activation and presence; best_concept and best_auc, the concept that the neuron really follows best.

    Raises
    ------
    ValueError
        The dissection has no activations (it was read from a CSV).
    """
    if not dissection.activations:
        raise ValueError("the dissection has no activations (was it read from a CSV?); dissect anew")
    labels = dissection.labels() if labels is None else labels
    presence = known_presence(dissection) if presence is None else presence.reindex(dissection.probe_table.index)
    known = presence.notna().all(axis=1).to_numpy()
    shown = presence[known].astype(bool)
    shown = shown.loc[:, shown.any() & ~shown.all()]
    parts = []
    for layer, activations in dissection.activations.items():
        rows = labels[(labels.layer == layer) & labels.concept.isin(shown.columns)]
        if rows.empty:
            continue
        answers, truth = activations[known].astype(np.float64), shown.to_numpy()
        areas = auc_matrix(answers, truth)
        best = np.nanargmax(areas, axis=1)[rows.neuron]
        column = shown.columns.get_indexer(rows.concept)
        table = rows[["layer", "neuron", "concept"]].assign(auc=areas[rows.neuron, column])
        table = table.assign(**_pairwise(answers[:, rows.neuron], truth[:, column]))
        parts.append(table.assign(best_concept=shown.columns[best], best_auc=areas[rows.neuron, best]))
    columns = ["layer", "neuron", "concept", *METRICS, "best_concept", "best_auc"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def class_accuracy(
    dissection: Dissection, true_labels: Sequence[str], layer: str | None = None, q: float = 0.05, store: Kept = None
) -> pd.DataFrame:
    """How often neurons of known meaning, such as a classifier's outputs, get their name, and whether the score tells.

    Parameters
    ----------
    dissection : Dissection
    true_labels : sequence of str, (n_neurons,)
        What each neuron of the layer stands for: one of the dissection's concepts.
    layer : str, optional
        The last one when None.
    q, store
        As in `Dissection.labels`.

    Returns
    -------
    DataFrame
        Indexed by rule, "published" (the dissection's similarity) and "calibrated" (where it can be calibrated): named (share
        of the neurons), top_1 and top_5 (share of these whose name is the best, or among the five best), auc (of the score as
        a predictor of whether the best is right, over all neurons: the top similarity, or the statistic of `calibrate`; as in
        CLIP-Dissect's Table 3; NaN where all are right or none is).

    Raises
    ------
    ValueError
        Unknown layer, another number of labels than neurons, or labels that are no concepts (they are named).

    Examples
    --------
    >>> class_accuracy(dissection, ["church", "garbage truck"], layer="classifier").top_1["calibrated"]    # doctest: +SKIP
    1.0
    """
    layer = dissection.layers[-1] if layer is None else layer
    if layer not in dissection.layers:
        raise ValueError(f"no layer {layer}; there are {', '.join(dissection.layers)}")
    similarity, position = dissection.similarity[layer], {name: i for i, name in enumerate(dissection.concepts.names)}
    if len(true_labels) != len(similarity):
        raise ValueError(f"true_labels names {len(true_labels)} neurons, layer {layer} has {len(similarity)}")
    if strange := sorted(set(true_labels) - set(position)):
        raise ValueError(f"{len(strange)} true labels are no concepts of the dissection: {', '.join(map(repr, strange[:5]))}")
    truth = np.array([position[name] for name in true_labels])
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
    rows = {"published": _accuracy(truth, best, np.ones(len(truth), dtype=bool), similarity.max(axis=1))}
    if dissection.activations and dissection.settings.get("similarity", "soft_wpmi") == "soft_wpmi":
        rows["calibrated"] = _accuracy(truth, *_calibrated_ranking(dissection, layer, q, store))
    return pd.DataFrame(rows).T


def _calibrated_ranking(dissection: Dissection, layer: str, q: float, store: Kept) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every neuron: the best concepts (n_neurons, 5; -1 where it cannot be named), whether it is named, its statistic."""
    sims, activations = torch.from_numpy(dissection.image_concept_sims), torch.from_numpy(dissection.activations[layer])
    null, lam = nulls_of(dissection, store=store)[0], dissection.settings.get("lam", 1.0)
    table = judge_neurons(sims, activations, [null], q, lam)
    usable, named = table.statistic.notna().to_numpy(copy=True), table.label.to_numpy() >= 0
    likelihood = log_likelihood(sims, activations[:, torch.from_numpy(usable)], null.top_k, **null.options)
    order = rank_concepts(null, likelihood, null.evidence(likelihood), torch.from_numpy(named[usable]), lam).numpy()
    best = np.full((len(table), order.shape[1]), -1)
    best[usable] = order
    return best, named, table.statistic.fillna(0).to_numpy()


def _accuracy(truth: np.ndarray, best: np.ndarray, named: np.ndarray, score: np.ndarray) -> dict[str, float]:
    hits = best == truth[:, None]
    right = hits[:, 0]
    mixed = right.any() and not right.all()
    return {
        "named": named.mean(),
        "top_1": right[named].mean() if named.any() else np.nan,
        "top_5": hits[named].any(axis=1).mean() if named.any() else np.nan,
        "auc": auc_matrix(score[:, None], right[:, None])[0, 0] if mixed else np.nan,
    }


def auc_matrix(activations: np.ndarray, presence: np.ndarray) -> np.ndarray:
    """AUC of every neuron for every concept.

    Parameters
    ----------
    activations : (n_images, n_neurons)
    presence : (n_images, n_concepts) bool
        Neither all nor no image of a concept.

    Returns
    -------
    (n_neurons, n_concepts), ties counting half
    """
    from scipy.stats import rankdata

    present = presence.sum(axis=0)
    sums = rankdata(activations, axis=0).T @ presence
    return (sums - present * (present + 1) / 2) / (present * (len(presence) - present))


def _pairwise(activations: np.ndarray, presence: np.ndarray) -> dict[str, np.ndarray]:
    """The other metrics of column i of activations (n_images, n_pairs) with column i of presence."""
    order = np.argsort(-activations, axis=0, kind="stable")
    hits = np.take_along_axis(presence, order, axis=0)
    found, present = np.cumsum(hits, axis=0), presence.sum(axis=0)
    precision = found / np.arange(1, len(hits) + 1)[:, None]
    both = found[present - 1, np.arange(len(present))]  # among as many strongest images as show the concept
    centred, truth = activations - activations.mean(axis=0), presence - presence.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0) * (truth**2).sum(axis=0))
    return {
        "average_precision": (precision * hits).sum(axis=0) / present,
        "iou": both / (2 * present - both),
        "f1": both / present,
        "pearson": (centred * truth).sum(axis=0) / np.maximum(norms, np.finfo(float).tiny),
    }
