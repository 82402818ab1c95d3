"""What labels chosen on one half of the patients reach on the other, from correlations of all neurons and concepts."""

import numpy as np


def reached(on_test: np.ndarray, on_choosing: np.ndarray, its: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers of `trust.predicts` (n_neurons,) on one half, from the correlations (n_neurons, n_concepts) on both.

    `its` (n_neurons,) are the neurons' labels, chosen on the other half; `labels` those of all the layer's neurons.
    """
    predicts = at(on_test, its)
    return {
        "predicts": predicts,
        "optimism": at(on_choosing, its) - predicts,
        "ceiling": at(on_test, _best(on_choosing)),
        "floor": _of_others(on_test, its, labels),
    }


def at(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Each neuron's value (n_neurons, n_concepts) at its label, NaN without one."""
    return np.where(label >= 0, values[np.arange(len(label)), label], np.nan)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """The mean over halves (n_halves, n_neurons) of what is known."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.divide(np.where(known, values, 0).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)


def _best(values: np.ndarray) -> np.ndarray:
    """The concept of each neuron's largest value, -1 where none is known."""
    return np.where(np.isfinite(values).any(axis=1), np.where(np.isnan(values), -np.inf, values).argmax(axis=1), -1)


def _of_others(values: np.ndarray, its: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of each neuron's values (n_neurons, n_concepts) at the labels of the layer's other neurons."""
    worn = np.bincount(labels[labels >= 0], minlength=values.shape[1])
    others = worn - (np.arange(len(worn)) == its[:, None])  # -1 is no concept's place
    others = np.where(np.isfinite(values), others, 0)
    count = others.sum(axis=1)
    return np.divide(np.nansum(values * others, axis=1), count, out=np.full(len(count), np.nan), where=count > 0)
