"""Does a neuron answer to what its label says? Its activations held against the label's known presence, image by image."""

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection
from mdissect.reportcard import known_presence

METRICS = ("auc", "average_precision", "iou", "f1", "pearson")


def agreement(dissection: Dissection, labels: pd.DataFrame | None = None, presence: pd.DataFrame | None = None) -> pd.DataFrame:
    """How closely neurons follow the concepts that they are called by.

    Parameters
    ----------
    dissection : Dissection
    labels : DataFrame, optional
        What `Dissection.labels` returned, calibrated or not; `dissection.labels()` when None.
    presence : DataFrame (n_images, n_shown), optional
        True, False or missing; as in `mdissect.reportcard.report_card`.

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
