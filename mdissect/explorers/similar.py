"""Neurons whose activations go together, within and across layers and models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect.explorers.reading import Reading

N_SIMILAR = 5  # of the neuron's own model, and as many of the others
FINE = 1e-3  # a standard deviation below this part of the mean
COLUMNS = ["model", "layer", "neuron", "label", "correlation", "images"]


def similar_neurons(readings: Mapping[str, Reading], model: str, layer: str, neuron: int, k: int = N_SIMILAR) -> pd.DataFrame:
    """The neurons whose activations correlate most with a neuron's: model, layer, neuron, label, correlation, images.

    Up to `k` of its own model and `k` of all others, the highest first; Pearson's r over the images (their number in the last
    column) that both models were shown, found by their ids. Only positive ones; a neuron that does not vary over these
    images, or is not finite, has none.
    """
    dissection = readings[model].dissection
    if layer not in dissection.activations:
        return pd.DataFrame(columns=COLUMNS)
    column, ids = dissection.activations[layer][:, neuron], dissection.probe_table.index
    own, others = [], []
    for other, reading in readings.items():
        here, there = _shared(ids, reading.dissection.probe_table.index)
        for name, activations in reading.dissection.activations.items():
            moments = reading.moments(name) if there is None else None
            r = _correlations(column[here], activations if there is None else activations[there], moments)
            if (other, name) == (model, layer):
                r[neuron] = -1
            rows = [(other, name, int(n), reading.label(name, int(n)), float(r[n]), len(here)) for n in _highest(r, k)]
            (own if other == model else others).extend(rows)
    tables = [pd.DataFrame(rows, columns=COLUMNS) for rows in (own, others) if rows]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    highest = [table.iloc[_highest(table.correlation.to_numpy(), k)] for table in tables]
    return pd.concat(highest, ignore_index=True)


def _shared(ids: pd.Index, others: pd.Index) -> tuple[np.ndarray, np.ndarray | None]:
    """Where the images of both stand in the one and in the other; None for all of the other, in its order."""
    if ids.equals(others):
        return np.arange(len(ids)), None
    there = others.get_indexer(ids)
    here = np.flatnonzero(there >= 0)
    return here, there[here]


def _correlations(column: np.ndarray, activations: np.ndarray, moments: tuple | None = None) -> np.ndarray:
    """Pearson's r (n_neurons,) of a column (n_images,) with others (n_images, n_neurons); -1 where there is none.

    `moments` are their means and standard deviations, where they are known.
    """
    if not (finite := np.isfinite(column)).all():
        column, activations, moments = column[finite], activations[finite], None
    if len(column) < 2 or (column == column[0]).all():
        return np.full(activations.shape[1], -1.0)
    centred = column - column.mean(dtype=np.float64)
    length = np.linalg.norm(centred)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean, spread = moments or (activations.mean(axis=0, dtype=np.float64), activations.std(axis=0))
        r = (centred.astype(activations.dtype) @ activations) / (spread * np.sqrt(len(column)) * length)
        coarse = np.flatnonzero(~(spread > FINE * np.abs(mean)))  # single precision does not suffice
        some = activations[:, coarse].astype(np.float64)
        some -= some[:1]
        r[coarse] = np.where(np.ptp(some, axis=0) > 0, centred @ some / (some.std(axis=0) * np.sqrt(len(column)) * length), -1)
    return np.where(np.isfinite(r), np.clip(r, -1, 1), -1)


def _highest(r: np.ndarray, k: int) -> np.ndarray:
    """Positions of the `k` highest positive values, alike to three digits in their order."""
    rounded = np.round(r, 3)
    order = np.argsort(-rounded, kind="stable")[:k]
    return order[rounded[order] > 0]
