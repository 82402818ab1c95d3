"""Agreement of a neuron's activations with the known presence of its label, image by image.

A metric should fall when half of a concept's images are hidden from it (missing labels) and when as many others are counted
among them (extra labels); these are the sanity tests of Oikarinen, Yan and Weng (2025). By `tests/trust/test_agreement.py`:

================== ============================================= =============================================
metric             missing labels                                extra labels
================== ============================================= =============================================
pearson            falls                                         falls
average_precision  falls                                         falls, but rises for a weak neuron of a common concept
iou, f1            fall                                          fall, but rise for a weak neuron of a common concept
auc                hardly changes for a rare concept             falls
================== ============================================= =============================================

(The level that chance reaches grows with prevalence for three of them, and the hidden images are lost among the absent ones for
AUC.) So pearson is the one to rank labels by, and auc the one to read: 0.5 is chance for any concept. The plain cosine is not
offered: it rises with extra labels as soon as activations do not start at zero.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import table_with
from mdissect.calibrate import judge_neurons
from mdissect.choice import rank_concepts
from mdissect.dissection import Dissection
from mdissect.labels import layer_of, nulls_of, own_rule, why_none
from mdissect.metrics import auc_matrix, strongest
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES
from mdissect.trust.presence import known_presence, of_images

LABELS = table_with("layer", "neuron", "concept", made_by="Dissection.labels(...)")
METRICS = ("auc", "average_precision", "iou", "f1", "pearson")


@validated(labels=LABELS)
def agreement(dissection: Dissection, labels: pd.DataFrame | None = None, presence: pd.DataFrame | None = None) -> pd.DataFrame:
    """How closely neurons follow the concepts that they are named by.

    Parameters
    ----------
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
        raise ValueError(f"the dissection has no activations ({why_none(dissection)}")
    labels = dissection.labels() if labels is None else labels
    presence = known_presence(dissection) if presence is None else of_images(presence, dissection)
    known = presence.notna().all(axis=1).to_numpy()
    shown = presence[known].astype(bool)
    shown = shown.loc[:, shown.any() & ~shown.all()]
    parts = []
    for layer, activations in dissection.activations.items():
        rows = labels[(labels.layer == layer) & labels.concept.isin(shown.columns)]
        if rows.empty:
            continue
        responses, truth = activations[known].astype(np.float64), shown.to_numpy()
        areas = auc_matrix(responses, truth)
        best = np.nanargmax(areas, axis=1)[rows.neuron]
        column = shown.columns.get_indexer(rows.concept)
        table = rows[["layer", "neuron", "concept"]].assign(auc=areas[rows.neuron, column])
        table = table.assign(**_pairwise(responses[:, rows.neuron], truth[:, column]))
        parts.append(table.assign(best_concept=shown.columns[best], best_auc=areas[rows.neuron, best]))
    columns = ["layer", "neuron", "concept", *METRICS, "best_concept", "best_auc"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@validated()
def class_accuracy(dissection: Dissection, true_labels: Sequence[str]) -> pd.DataFrame:
    """How often neurons of known meaning, a classifier's outputs, get their name, and whether the score predicts it.

    >>> class_accuracy(dissection, ["church", "garbage truck"]).top_1["calibrated"]    # doctest: +SKIP
    1.0

    Parameters
    ----------
    true_labels : sequence of str, (n_neurons,)
        The class of each neuron of the last layer: one of the dissection's concepts.

    Returns
    -------
    DataFrame
        Indexed by rule, "published" (the dissection's similarity) and "calibrated" (at q = 0.05, where it can be): named (share
        of the neurons), top_1 and top_5 (share of these whose name is the best, or among the five best), auc (of the score as
        a predictor of whether the best is right, over all neurons: the top similarity, or the statistic of `calibrate`; as in
        CLIP-Dissect's Table 3; NaN where all are right or none is).

    Raises
    ------
    ValueError
        Another number of labels than neurons, or labels that are no concepts (they are named).
    """
    layer = dissection.layers[-1]
    similarity, position = dissection.similarity[layer], {name: i for i, name in enumerate(dissection.concepts.names)}
    if len(true_labels) != len(similarity):
        raise ValueError(f"true_labels names {len(true_labels)} neurons, layer {layer} has {len(similarity)}")
    if unknown := sorted(set(true_labels) - set(position)):
        raise ValueError(f"{len(unknown)} true labels are no concepts of the dissection: {', '.join(map(repr, unknown[:5]))}")
    truth = np.array([position[name] for name in true_labels])
    best = strongest(similarity, 5, axis=1)
    rows = {"published": _accuracy(truth, best, np.ones(len(truth), dtype=bool), similarity.max(axis=1))}
    if dissection.activations and own_rule(dissection) in SIMILARITIES:
        rows["calibrated"] = _accuracy(truth, *_calibrated_ranking(dissection, layer))
    return pd.DataFrame(rows).T


def _calibrated_ranking(dissection: Dissection, layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every neuron: the best concepts (n_neurons, 5; -1 where it cannot be named), whether it is named, its statistic."""
    null, data = nulls_of(dissection)[0], layer_of(dissection, layer)
    table = judge_neurons(data.sims, torch.from_numpy(dissection.activations[layer]), [null])
    named, statistic = table.label.to_numpy() >= 0, torch.from_numpy(table.statistic.to_numpy(copy=True))
    passing = torch.from_numpy(named[data.neurons])
    order = rank_concepts(data.scores(null), statistic[data.neurons], passing).numpy()
    best = np.full((len(table), order.shape[1]), -1)
    best[data.neurons] = order
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


def _pairwise(activations: np.ndarray, presence: np.ndarray) -> dict[str, np.ndarray]:
    """The other metrics of column i of activations (n_images, n_pairs) with column i of presence."""
    order = strongest(activations, len(activations))
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
